package main

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"os"
	"testing"

	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
	"github.com/quoit-go/quoit/internal/testenv/webtest"
)

func TestMain(m *testing.M) { os.Exit(enginetest.Main(m)) }

// Each name has its own certificate, over HTTP/1.1 and HTTP/2, and no other
// name has one.
func TestNames(t *testing.T) {
	enginetest.Counts(t, 5, 0)
	srv, err := newServer("one.localhost", "two.localhost")
	if err != nil {
		t.Fatal(err)
	}
	addr := webtest.Serve(t, enginetest.Quoit, srv)
	for _, name := range []string{"one.localhost", "two.localhost"} {
		for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
			leaf, body := get(t, srv, addr, name, proto)
			if leaf.Subject.CommonName != name || body != name+" over "+proto+"\n" {
				t.Errorf("%s, %s: certificate of %s, answer %q", name, proto, leaf.Subject.CommonName, body)
			}
		}
	}
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: testenv.Bound}, "tcp", addr, &tls.Config{ServerName: "three.localhost", InsecureSkipVerify: true})
	if err == nil {
		c.Close()
		t.Error("three.localhost has a certificate")
	}
}

// get asks for / of name and returns the certificate that it verified.
func get(t *testing.T, srv *http.Server, addr, name, proto string) (leaf *x509.Certificate, body string) {
	t.Helper()
	cert, err := srv.TLSConfig.GetCertificate(&tls.ClientHelloInfo{ServerName: name})
	if err != nil {
		t.Fatal(err)
	}
	conf := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: name}
	conf.RootCAs.AddCert(cert.Leaf)
	client, tr := webtest.Client(t, testenv.Net, conf)
	tr.ForceAttemptHTTP2 = proto == "HTTP/2.0"
	resp, err := client.Get("https://" + addr + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.TLS.PeerCertificates[0], string(b)
}
