package conformance

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"sync"
	"testing"

	"github.com/quoit-go/quoit/internal/testenv"
)

// serveHTTP serves h over quoit until the test ends and returns the address.
func serveHTTP(t *testing.T, network string, tlsConfig *tls.Config, h http.Handler) net.Addr {
	t.Helper()
	srv := &http.Server{Handler: h, TLSConfig: tlsConfig, ErrorLog: log.New(t.Output(), "", 0), Protocols: new(http.Protocols)}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetHTTP2(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	ln := newListener(t, quoitStack, network)
	served := make(chan error, 1)
	go func() {
		if tlsConfig != nil {
			served <- srv.ServeTLS(ln, "", "")
		} else {
			served <- srv.Serve(ln)
		}
	}()
	t.Cleanup(func() {
		srv.Close()
		if err := testenv.Recv(t, served, "end of Serve"); err != http.ErrServerClosed {
			t.Errorf("Serve: %v", err)
		}
	})
	return ln.Addr()
}

// newTransport dials addr through quoit whatever the URL says.
func newTransport(t *testing.T, addr net.Addr) *http.Transport {
	tr := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			c, err := quoitStack.Dial(ctx, addr.Network(), addr.String())
			if err == nil {
				onRing(t, c)
			}
			return c, err
		},
	}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// hashBody answers with the hash of the body and then n bytes.
func hashBody(w http.ResponseWriter, r *http.Request) {
	h := sha256.New()
	if _, err := io.Copy(h, r.Body); err != nil {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("X-Sum", hex.EncodeToString(h.Sum(nil)))
	n, err := strconv.Atoi(r.FormValue("n"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Write(payload(uint64(n), n))
}

// TestHTTP2 has a hundred streams on one conn, with bodies both ways.
func TestHTTP2(t *testing.T) {
	serverTLS, clientTLS := tlsConfigs()
	for _, tt := range []struct {
		name, network string
		tls           bool
	}{
		{"cleartext tcp", "tcp", false},
		{"cleartext unix", "unix", false},
		{"TLS", "tcp", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var config *tls.Config
			scheme := "http"
			if tt.tls {
				config, scheme = serverTLS.Clone(), "https"
			}
			addr := serveHTTP(t, tt.network, config, http.HandlerFunc(hashBody))
			tr := newTransport(t, addr)
			tr.TLSClientConfig = clientTLS.Clone()
			tr.Protocols = new(http.Protocols)
			tr.Protocols.SetHTTP2(true)
			tr.Protocols.SetUnencryptedHTTP2(!tt.tls)
			client := &http.Client{Transport: tr, Timeout: testenv.Bound}
			// Requests that find no conn dial one each, and package http gives
			// each of those 2 s to get going.
			checkHash(t, client, scheme+"://localhost", 2, 1, 1)
			var wg sync.WaitGroup
			for i := range 100 {
				wg.Go(func() { checkHash(t, client, scheme+"://localhost", 2, (i*7919)%200_000, (i*104729)%200_000) })
			}
			wg.Wait()
			checkHash(t, client, scheme+"://localhost", 2, 8<<20, 8<<20)
		})
	}
}

// checkHash sends up bytes to a hashBody server and receives down bytes.
func checkHash(t *testing.T, client *http.Client, url string, major, up, down int) {
	t.Helper()
	body := payload(uint64(up), up)
	resp, err := client.Post(url+"/?n="+strconv.Itoa(down), "application/octet-stream", bytes.NewReader(body))
	if err != nil {
		t.Error(err)
		return
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil || !bytes.Equal(got, payload(uint64(down), down)) {
		t.Errorf("%d bytes up, %d down: got %d, %v", up, down, len(got), err)
	}
	sum := sha256.Sum256(body)
	if resp.Header.Get("X-Sum") != hex.EncodeToString(sum[:]) || resp.ProtoMajor != major {
		t.Errorf("%d bytes up: sum %s, %s", up, resp.Header.Get("X-Sum"), resp.Proto)
	}
}
