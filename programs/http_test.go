//go:build linux

package programs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	mrand "math/rand/v2"
	"net"
	"net/http"
	"time"

	"github.com/quoit-go/quoit/internal/testenv"
)

// httpClient is a client for one trial that trusts the certificate of newCert.
func (r *running) httpClient(pool *x509.CertPool, h2 bool) *http.Client {
	tr := &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: pool},
		ForceAttemptHTTP2:   h2,
		DisableCompression:  true,
		MaxIdleConnsPerHost: 8,
	}
	r.Cleanup(tr.CloseIdleConnections)
	return &http.Client{
		Transport:     tr,
		Timeout:       testenv.Bound,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// ask sends a request and notes the answer without what changes from run to run.
func (r *running) ask(client *http.Client, method, url string, body []byte, header ...string) {
	r.Helper()
	req, err := http.NewRequestWithContext(r.Context(), method, url, bytes.NewReader(body))
	r.must(err)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := client.Do(req)
	r.must(err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	r.must(err)
	r.answer("%s %s %v: %s %s %v %q, %d bytes %x", method, req.URL.Path, header, res.Proto, res.Status,
		res.Header.Values("Content-Range"), res.Header.Get("Content-Type"), len(text), sha256.Sum256(text))
}

// newCert writes a certificate for 127.0.0.1 and its key.
func (r *running) newCert(certFile, keyFile string) *x509.CertPool {
	r.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	r.must(err)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"}, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	r.must(err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	r.must(err)
	r.write(certFile, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	r.write(keyFile, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})))
	cert, err := x509.ParseCertificate(der)
	r.must(err)
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return pool
}

// payload returns n bytes that only seed decides.
func payload(seed byte, n int) []byte {
	b := make([]byte, n)
	mrand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

// get returns the text of a page.
func get(client *http.Client, url string) (string, error) {
	res, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return string(text), err
}
