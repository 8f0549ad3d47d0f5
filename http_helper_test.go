package quoit_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	mrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quoit-go/quoit"
)

// htBound is the longest that one step of a test may take. It is a guard
// against hangs, not an expectation.
const htBound = 30 * time.Second

// htTransport is one way to listen and to dial.
type htTransport struct {
	name   string
	listen func(network, address string) (net.Listener, error)
	dial   func(ctx context.Context, network, address string) (net.Conn, error)
}

var (
	htNet   = htTransport{"net", net.Listen, new(net.Dialer).DialContext}
	htQuoit = htTransport{"quoit", testListen, quoit.DialContext}
)

// testSteering is what QUOIT_TEST_STEERING=hash asks for: that listeners have a
// socket for each ring.
func testSteering(network string) quoit.Steering {
	if network == "unix" || os.Getenv("QUOIT_TEST_STEERING") != "hash" {
		return nil
	}
	return quoit.SteerByHash()
}

// testListen is quoit.Listen, but for testSteering.
func testListen(network, address string) (net.Listener, error) {
	s := testSteering(network)
	if s == nil {
		return quoit.Listen(network, address)
	}
	lc := quoit.ListenConfig{Steering: s}
	return lc.Listen(context.Background(), network, address)
}

// htEach runs f once on net, which says what is right, and once on quoit.
func htEach(t *testing.T, f func(t *testing.T, tr htTransport)) {
	t.Helper()
	for _, tr := range []htTransport{htNet, htQuoit} {
		t.Run(tr.name, func(t *testing.T) {
			htWatch(t, 2*htBound)
			f(t, tr)
		})
	}
}

// htWatch ends the process with all stacks if the test, its cleanup included,
// is not over after d.
func htWatch(t *testing.T, d time.Duration) {
	t.Helper()
	name := t.Name()
	timer := time.AfterFunc(d, func() {
		panic(fmt.Sprintf("%s: hung for %v\n%s", name, d, htStacks()))
	})
	t.Cleanup(func() { timer.Stop() })
}

func htStacks() []byte {
	buf := make([]byte, 4<<20)
	return buf[:runtime.Stack(buf, true)]
}

// htPoll waits until cond holds.
func htPoll(t *testing.T, what string, cond func() bool) {
	t.Helper()
	if !htEventually(cond) {
		t.Fatalf("not after %v: %s\n%s", htBound, what, htStacks())
	}
}

func htEventually(cond func() bool) bool {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(htBound); time.Now().Before(end); <-tick.C {
		if cond() {
			return true
		}
	}
	return cond()
}

// htPace lets time pass on a peer that is slow on purpose.
func htPace(d time.Duration) { <-time.After(d) }

// htRecv takes a value from c within the bound.
func htRecv[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(htBound):
		t.Fatalf("not after %v: %s\n%s", htBound, what, htStacks())
		panic("unreachable")
	}
}

// htLog collects an http.Server's error log.
type htLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *htLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *htLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// htServe serves srv on tr until the test ends and returns the address. With
// srv.TLSConfig set it serves TLS. A panic in the server fails the test.
func htServe(t *testing.T, tr htTransport, srv *http.Server) string {
	t.Helper()
	ln, err := tr.listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	htServeOn(t, ln, srv)
	return ln.Addr().String()
}

// htServeSent is htServe with a client whose bytes are there before the server
// begins: they cannot be late for its timeouts.
func htServeSent(t *testing.T, tr htTransport, srv *http.Server, send string) *net.TCPConn {
	t.Helper()
	ln, err := tr.listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer htServeOn(t, ln, srv) // which closes ln, even if the dial fails
	c := htDial(t, ln.Addr().String())
	if _, err := io.WriteString(c, send); err != nil {
		t.Fatal(err)
	}
	return c
}

func htServeOn(t *testing.T, ln net.Listener, srv *http.Server) {
	t.Helper()
	logged := new(htLog)
	if srv.ErrorLog == nil {
		srv.ErrorLog = log.New(logged, "", 0)
	}
	done := make(chan error, 1)
	go func() {
		if srv.TLSConfig != nil {
			done <- srv.ServeTLS(ln, "", "")
		} else {
			done <- srv.Serve(ln)
		}
	}()
	t.Cleanup(func() {
		srv.Close()
		if err := htRecv(t, done, "return of Serve after Close"); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve returned %v", err)
		}
		if s := logged.String(); strings.Contains(s, "panic") {
			t.Errorf("server panicked:\n%s", s)
		}
	})
}

// htDial connects with plain net and bounds everything done on the conn.
func htDial(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, htBound)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(htBound)); err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn)
}

// htClient returns a client that dials with tr and leaves nothing behind.
func htClient(t *testing.T, tr htTransport, conf *tls.Config) (*http.Client, *http.Transport) {
	t.Helper()
	rt := &http.Transport{
		DialContext:         tr.dial,
		TLSClientConfig:     conf,
		ForceAttemptHTTP2:   conf != nil,
		MaxIdleConnsPerHost: 256,
	}
	t.Cleanup(rt.CloseIdleConnections)
	return &http.Client{Transport: rt, Timeout: htBound}, rt
}

// htGet fetches url and checks the status.
func htGet(c *http.Client, url string) (string, error) {
	resp, err := c.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %s", resp.Status)
	}
	return string(b), err
}

// htTable is what streams are made of. Its length is odd, and no multiple of
// anything that a buffer's length is one of.
var htTable = sync.OnceValue(func() []byte {
	b := make([]byte, 1<<20-3)
	mrand.NewChaCha8([32]byte{}).Read(b)
	return b
})

// htFrom returns the part of the table that the stream named seed holds from
// off on, up to n bytes. Every byte depends on its position, so that a lost,
// doubled or foreign one shows.
func htFrom(seed uint64, off int64, n int) []byte {
	t := htTable()
	start := mrand.NewPCG(seed, 0).Uint64() % uint64(len(t))
	i := int((start + uint64(off)) % uint64(len(t)))
	return t[i:min(i+n, len(t))]
}

// htFill writes to b what the stream named seed holds from off on.
func htFill(b []byte, seed uint64, off int64) {
	for len(b) > 0 {
		n := copy(b, htFrom(seed, off, len(b)))
		b, off = b[n:], off+int64(n)
	}
}

// htDiff returns the index of the first byte of b that is not in its place
// in the stream, or -1.
func htDiff(b []byte, seed uint64, off int64) int {
	for done := 0; done < len(b); {
		want := htFrom(seed, off+int64(done), len(b)-done)
		got := b[done : done+len(want)]
		if !bytes.Equal(got, want) {
			for i := range got {
				if got[i] != want[i] {
					return done + i
				}
			}
		}
		done += len(want)
	}
	return -1
}

// htStream reads the first n bytes of the stream named seed.
func htStream(seed uint64, n int64) io.Reader {
	return io.LimitReader(&htStreamReader{seed: seed}, n)
}

type htStreamReader struct {
	seed uint64
	off  int64
}

func (r *htStreamReader) Read(b []byte) (int, error) {
	htFill(b, r.seed, r.off)
	r.off += int64(len(b))
	return len(b), nil
}

var errHTWrong = errors.New("wrong byte")

// htSink is a writer that checks what it gets against a stream.
type htSink struct {
	seed uint64
	off  int64
}

func (w *htSink) Write(b []byte) (int, error) {
	if i := htDiff(b, w.seed, w.off); i >= 0 {
		return i, fmt.Errorf("stream %#x: %w at %d", w.seed, errHTWrong, w.off+int64(i))
	}
	w.off += int64(len(b))
	return len(b), nil
}

// htPKI is a certificate authority with a server's and a client's key.
type htPKI struct {
	roots          *x509.CertPool
	server, client tls.Certificate
}

var htCerts = sync.OnceValue(func() htPKI {
	ca, caKey, _ := htCert(nil, nil, "quoit test CA")
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	_, _, server := htCert(ca, caKey, "localhost")
	_, _, client := htCert(ca, caKey, "client one")
	return htPKI{roots, server, client}
})

// htCert makes a key and a certificate, signed by ca or by itself. It panics
// on failure: only a broken random source makes it fail.
func htCert(ca *x509.Certificate, caKey *ecdsa.PrivateKey, name string) (*x509.Certificate, *ecdsa.PrivateKey, tls.Certificate) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:     []string{name},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	if ca == nil {
		tmpl.IsCA, tmpl.BasicConstraintsValid = true, true
		tmpl.KeyUsage |= x509.KeyUsageCertSign
		ca, caKey = tmpl, key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, ca, key.Public(), caKey)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return cert, key, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// htServerTLS and htClientTLS are plain configurations that trust each other.
func htServerTLS() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{htCerts().server}}
}

func htClientTLS() *tls.Config { return &tls.Config{RootCAs: htCerts().roots} }

// htTool returns the path of a load generator. Under CI a missing one fails.
func htTool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is missing: %v", name, err)
	}
	t.Skipf("%s is not installed", name)
	return ""
}
