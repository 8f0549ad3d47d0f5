// Package webtest has servers and clients of net/http, and their keys, for the
// tests of several packages.
package webtest

import (
	"bytes"
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
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quoit-go/quoit/internal/testenv"
)

// errorLog collects an http.Server's error log.
type errorLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *errorLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *errorLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Serve serves srv on tr until the test ends and returns the address. With
// srv.TLSConfig set it serves TLS. A panic in the server fails the test.
func Serve(t *testing.T, tr testenv.Transport, srv *http.Server) string {
	t.Helper()
	ln, err := tr.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ServeOn(t, ln, srv)
	return ln.Addr().String()
}

// ServeSent is Serve with a client whose bytes are there before the server
// begins: they cannot be late for its timeouts.
func ServeSent(t *testing.T, tr testenv.Transport, srv *http.Server, send string) *net.TCPConn {
	t.Helper()
	ln, err := tr.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ServeOn(t, ln, srv) // which closes ln, even if the dial fails
	c := testenv.Dial(t, ln.Addr().String())
	if _, err := io.WriteString(c, send); err != nil {
		t.Fatal(err)
	}
	return c
}

// ServeOn is Serve on a listener, which it closes.
func ServeOn(t *testing.T, ln net.Listener, srv *http.Server) {
	t.Helper()
	logged := new(errorLog)
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
		if err := testenv.Recv(t, done, "return of Serve after Close"); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve returned %v", err)
		}
		if s := logged.String(); strings.Contains(s, "panic") {
			t.Errorf("server panicked:\n%s", s)
		}
	})
}

// Client returns a client that dials with tr and leaves nothing behind.
func Client(t *testing.T, tr testenv.Transport, conf *tls.Config) (*http.Client, *http.Transport) {
	t.Helper()
	rt := &http.Transport{
		DialContext:         tr.Dial,
		TLSClientConfig:     conf,
		ForceAttemptHTTP2:   conf != nil,
		MaxIdleConnsPerHost: 256,
	}
	t.Cleanup(rt.CloseIdleConnections)
	return &http.Client{Transport: rt, Timeout: testenv.Bound}, rt
}

// Get fetches url and checks the status.
func Get(c *http.Client, url string) (string, error) {
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

// PKI is a certificate authority with a server's and a client's key.
type PKI struct {
	Roots          *x509.CertPool
	Server, Client tls.Certificate
}

// Certs makes the authority, once.
var Certs = sync.OnceValue(func() PKI {
	ca, caKey, _ := cert(nil, nil, "quoit test CA")
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	_, _, server := cert(ca, caKey, "localhost")
	_, _, client := cert(ca, caKey, "client one")
	return PKI{roots, server, client}
})

// cert makes a key and a certificate, signed by ca or by itself. It panics
// on failure: only a broken random source makes it fail.
func cert(ca *x509.Certificate, caKey *ecdsa.PrivateKey, name string) (*x509.Certificate, *ecdsa.PrivateKey, tls.Certificate) {
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

// ServerTLS and ClientTLS are plain configurations that trust each other.
func ServerTLS() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{Certs().Server}}
}

func ClientTLS() *tls.Config { return &tls.Config{RootCAs: Certs().Roots} }

// Tool returns the path of a load generator. Under CI a missing one fails.
func Tool(t *testing.T, name string) string {
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
