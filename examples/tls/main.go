// Command tls serves HTTPS and HTTP/2 over quoit, for two names with a
// certificate each, which it makes at start.
//
//	go run ./examples/tls
//	curl -k https://one.localhost:8443/
//	curl -kv https://two.localhost:8443/ 2>&1 | grep subject
//
// A server with certificates in files reads them with tls.LoadX509KeyPair; with
// one name only, http.Server.ServeTLS does that.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"flag"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/quoit-go/quoit"
)

func main() {
	addr := flag.String("addr", "localhost:8443", "`address` to listen on")
	flag.Parse()
	srv, err := newServer("one.localhost", "two.localhost")
	if err != nil {
		log.Fatal(err)
	}
	ln, err := quoit.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("serving https://%s over %s", ln.Addr(), quoit.Default().Stats().Transport)
	log.Fatal(srv.ServeTLS(ln, "", "")) // no files: TLSConfig has the certificates
}

// newServer returns a server that has a certificate for each name, and no
// answer for other names.
func newServer(names ...string) (*http.Server, error) {
	certs := map[string]*tls.Certificate{}
	for _, name := range names {
		cert, err := selfSigned(name)
		if err != nil {
			return nil, err
		}
		certs[name] = cert
	}
	return &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "%s over %s\n", r.TLS.ServerName, r.Proto)
		}),
		ReadHeaderTimeout: 10 * time.Second,
		TLSConfig: &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if cert, ok := certs[hello.ServerName]; ok {
				return cert, nil
			}
			return nil, fmt.Errorf("no certificate for %q", hello.ServerName)
		}},
	}, nil
}

// selfSigned makes a certificate for name.
func selfSigned(name string) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: name},
		DNSNames:    []string{name},
		NotBefore:   now.Add(-time.Hour), // clocks differ
		NotAfter:    now.AddDate(0, 1, 0),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},

		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}
