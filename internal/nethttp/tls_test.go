package nethttp

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
	"github.com/quoit-go/quoit/internal/testenv/webtest"
)

// TestHTTP2PingPong streams in both directions at once: each message waits
// for the answer to the one before.
func TestHTTP2PingPong(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, tr testenv.Transport) {
		addr := webtest.Serve(t, tr, &http.Server{TLSConfig: webtest.ServerTLS(), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			rc := http.NewResponseController(w)
			rc.Flush()
			buf := make([]byte, 1024)
			for {
				n, err := r.Body.Read(buf)
				w.Write(buf[:n])
				rc.Flush()
				if err != nil {
					return
				}
			}
		})})
		client, _ := webtest.Client(t, testenv.Net, webtest.ClientTLS())
		pr, pw := io.Pipe()
		resp, err := client.Post("https://"+addr, "", pr)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		for i := range 200 {
			msg := fmt.Appendf(nil, "message %03d", i)
			if _, err := pw.Write(msg); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, len(msg))
			if _, err := io.ReadFull(resp.Body, got); err != nil || !bytes.Equal(got, msg) {
				t.Fatalf("message %d: %q, %v", i, got, err)
			}
		}
		pw.Close()
		if _, err := resp.Body.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("at the end: %v, want EOF", err)
		}
	})
}

// TestHTTPTLSVersions resumes sessions and shows client certificates, which
// the server must still see on a resumed session.
func TestHTTPTLSVersions(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			enginetest.Each(t, func(t *testing.T, tr testenv.Transport) {
				conf := webtest.ServerTLS()
				conf.ClientAuth, conf.ClientCAs = tls.RequireAndVerifyClientCert, webtest.Certs().Roots
				addr := webtest.Serve(t, tr, &http.Server{TLSConfig: conf, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					fmt.Fprintf(w, "%v %s", r.TLS.DidResume, r.TLS.PeerCertificates[0].Subject.CommonName)
				})})
				cc := webtest.ClientTLS()
				cc.MinVersion, cc.MaxVersion = version, version
				cc.Certificates = []tls.Certificate{webtest.Certs().Client}
				cc.ClientSessionCache = tls.NewLRUClientSessionCache(8)
				client, rt := webtest.Client(t, tr, cc)
				rt.DisableKeepAlives = true
				for i := range 4 {
					got, err := webtest.Get(client, "https://"+addr)
					if want := fmt.Sprintf("%v client one", i > 0); err != nil || got != want {
						t.Errorf("conn %d: got %q, %v, want %q", i, got, err, want)
					}
				}
				cc.Certificates = nil
				cc.ClientSessionCache = nil
				stranger, _ := webtest.Client(t, tr, cc)
				if got, err := webtest.Get(stranger, "https://"+addr); err == nil {
					t.Errorf("no certificate: got %q", got)
				}
			})
		})
	}
}

// TestTLSDeadlineIsTemporary: crypto/tls lets a conn live on after a read
// that timed out only if the error says that it is temporary.
func TestTLSDeadlineIsTemporary(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, tr testenv.Transport) {
		htTLSPair(t, tr, func(server, client *tls.Conn) error {
			var b [5]byte
			for i := range 20 {
				d := time.Duration(rand.IntN(3)-1) * time.Millisecond
				if err := server.SetReadDeadline(time.Now().Add(d)); err != nil {
					return err
				}
				if _, err := server.Read(b[:]); !errors.Is(err, os.ErrDeadlineExceeded) {
					return fmt.Errorf("round %d: read: %w", i, err)
				}
				if err := server.SetReadDeadline(time.Now().Add(testenv.Bound)); err != nil {
					return err
				}
				if _, err := io.WriteString(client, "hello"); err != nil {
					return err
				}
				if _, err := io.ReadFull(server, b[:]); err != nil || string(b[:]) != "hello" {
					return fmt.Errorf("round %d: %q, %w", i, b, err)
				}
			}
			return nil
		})
	})
}

// TestTLSCloseWrite half-closes above and below TLS.
func TestTLSCloseWrite(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, tr testenv.Transport) {
		htTLSPair(t, tr, func(server, client *tls.Conn) error {
			const total = 3 << 20
			echoed := make(chan error, 1)
			go func() {
				_, err := io.Copy(server, server)
				echoed <- errors.Join(err, server.CloseWrite())
			}()
			sent := make(chan error, 1)
			go func() {
				_, err := io.Copy(client, testenv.Stream(3, total))
				sent <- errors.Join(err, client.CloseWrite())
			}()
			sink := testenv.Sink{Seed: 3}
			if n, err := io.Copy(&sink, client); n != total || err != nil {
				return fmt.Errorf("%d bytes back, %w", n, err)
			}
			return errors.Join(<-echoed, <-sent)
		})
	})
}

// htTLSPair runs f on the two ends of a TLS conn whose server end is tr's.
func htTLSPair(t *testing.T, tr testenv.Transport, f func(server, client *tls.Conn) error) {
	t.Helper()
	ln, err := tr.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client := tls.Client(testenv.Dial(t, ln.Addr().String()), &tls.Config{RootCAs: webtest.Certs().Roots, ServerName: "localhost"})
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(testenv.Bound))
	server := tls.Server(c, webtest.ServerTLS())
	shaken := make(chan error, 1)
	go func() { shaken <- server.Handshake() }()
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Bound)
	defer cancel()
	if err := errors.Join(client.HandshakeContext(ctx), testenv.Recv(t, shaken, "handshake")); err != nil {
		t.Fatal(err)
	}
	if err := f(server, client); err != nil {
		t.Error(err)
	}
}

// TestHTTPMalformedTLS sends broken records, stops in the middle of a
// handshake, and wants the server to serve on.
func TestHTTPMalformedTLS(t *testing.T) {
	hello := htClientHello(t)
	flipped := bytes.Clone(hello)
	flipped[len(flipped)/2] ^= 0xff
	huge := append([]byte{22, 3, 1, 0xff, 0xff}, make([]byte, 70000)...)
	tests := []struct {
		name string
		data []byte
	}{
		{"nothing", nil},
		{"plain HTTP", []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")},
		{"random", func() []byte { b := make([]byte, 5000); testenv.Fill(b, 5, 0); return b }()},
		{"half a hello", hello[:len(hello)/2]},
		{"flipped", flipped},
		{"hello twice", append(bytes.Clone(hello), hello...)},
		{"huge record", huge},
		{"alert", []byte{21, 3, 3, 0, 2, 2, 40}},
		{"data first", []byte{23, 3, 3, 0, 5, 1, 2, 3, 4, 5}},
	}
	enginetest.Each(t, func(t *testing.T, tr testenv.Transport) {
		addr := webtest.Serve(t, tr, &http.Server{TLSConfig: webtest.ServerTLS(), Handler: http.HandlerFunc(webtest.Echo)})
		client, rt := webtest.Client(t, testenv.Net, webtest.ClientTLS())
		for _, tt := range tests {
			for _, end := range []func(*net.TCPConn){
				func(c *net.TCPConn) { c.CloseWrite(); io.Copy(io.Discard, c) },
				func(c *net.TCPConn) { c.Close() },
				func(c *net.TCPConn) { c.SetLinger(0); c.Close() },
			} {
				c := testenv.Dial(t, addr)
				c.Write(tt.data) // the server may have closed it by then
				end(c)
				c.Close()
			}
			rt.CloseIdleConnections()
			if _, err := webtest.Get(client, "https://"+addr); err != nil {
				t.Errorf("after %s: %v", tt.name, err)
			}
		}
	})
}

// htClientHello returns the bytes that a client opens a handshake with.
func htClientHello(t *testing.T) []byte {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	go func() {
		tls.Client(b, &tls.Config{ServerName: "localhost"}).Handshake()
		b.Close()
	}()
	buf := make([]byte, 16<<10)
	a.SetDeadline(time.Now().Add(testenv.Bound))
	n, err := a.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}
