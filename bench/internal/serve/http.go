package serve

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/quoit-go/quoit/bench/internal/workload"
)

func (s Spec) http() (server, error) {
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", hello)
	mux.HandleFunc("GET /bulk", bulk)
	mux.HandleFunc("POST /upload", upload)
	mux.HandleFunc("GET "+workload.PathCPU, cpu)
	mux.HandleFunc("GET "+workload.PathFile, file)
	if s.Path == workload.PathFile {
		if _, err := bulkFile(); err != nil { // before anyone measures
			return nil, err
		}
	}
	srv := &http.Server{Handler: mux, Protocols: new(http.Protocols)}
	if s.Timeouts {
		srv.ReadHeaderTimeout = 10 * time.Second
		srv.ReadTimeout, srv.WriteTimeout = time.Minute, time.Minute
		srv.IdleTimeout = 2 * time.Minute
	}
	if s.Kind == workload.ServeH2 {
		srv.Protocols.SetUnencryptedHTTP2(true)
		srv.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 1000}
		return srv.Serve, nil
	}
	srv.Protocols.SetHTTP1(true)
	if s.Kind == workload.ServeHTTP {
		return srv.Serve, nil
	}
	cert, err := selfSigned()
	if err != nil {
		return nil, err
	}
	srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
	return func(ln net.Listener) error { return srv.ServeTLS(ln, "", "") }, nil
}

func hello(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, workload.Hello) }

func cpu(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, workload.Compute()) }

func bulk(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", strconv.Itoa(workload.BulkBytes))
	writeBulk(w, workload.BulkBytes) // or what the generator takes until it leaves at a run's end
}

// filePart is what the served file holds of a bulk body. The pattern repeats
// in it a whole number of times.
const filePart = 512 * 65521

// fileMu is for the file's offset: a conn that was abandoned may linger.
var fileMu sync.Mutex

// file serves a bulk body from a file, which net/http sends by sendfile.
func file(w http.ResponseWriter, _ *http.Request) {
	fileMu.Lock()
	defer fileMu.Unlock()
	f, err := bulkFile()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(workload.BulkBytes))
	for left := int64(workload.BulkBytes); left > 0; {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return
		}
		n, err := io.CopyN(w, f, min(left, filePart))
		if err != nil {
			return
		}
		left -= n
	}
}

// bulkFile makes the file on first use. It has no name: the process's end
// removes it.
var bulkFile = sync.OnceValues(func() (*os.File, error) {
	f, err := os.CreateTemp("", "quoit-bench-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, err
	}
	return f, writeBulk(f, filePart)
})

// upload checks the ends of each piece it reads: checking every byte would
// hide the transport behind the comparison.
func upload(w http.ResponseWriter, r *http.Request) {
	buf := make([]byte, 1<<16)
	var off int64
	for {
		n, err := r.Body.Read(buf)
		p := buf[:n]
		first, last := p[:min(n, 16)], p[max(n-16, 0):]
		if !workload.MatchesPattern(first, off) || !workload.MatchesPattern(last, off+int64(n-len(last))) {
			http.Error(w, "the body is wrong", http.StatusBadRequest)
			return
		}
		off += int64(n)
		if err == io.EOF {
			break
		}
		if err != nil {
			return
		}
	}
	if off != workload.BulkBytes {
		http.Error(w, "the body is short", http.StatusBadRequest)
		return
	}
	io.WriteString(w, workload.Hello)
}

func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now()
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(24 * time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
