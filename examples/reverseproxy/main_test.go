package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"testing"

	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
	"github.com/quoit-go/quoit/internal/testenv/webtest"
)

func TestMain(m *testing.M) { os.Exit(enginetest.Main(m)) }

// start returns a client of a proxy before handler, and the proxy's address.
func start(t *testing.T, handler http.HandlerFunc) (*http.Client, string) {
	t.Helper()
	backend := webtest.Serve(t, testenv.Net, &http.Server{Handler: handler})
	proxy, err := newProxy("http://" + backend)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Transport.(*http.Transport).CloseIdleConnections)
	addr := webtest.Serve(t, enginetest.Quoit, &http.Server{Handler: proxy})
	client, _ := webtest.Client(t, testenv.Net, nil)
	return client, "http://" + addr
}

// Bodies go there and back whole, from many clients at once.
func TestForward(t *testing.T) {
	enginetest.Counts(t, 2, 2)
	client, url := start(t, func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body) // first: net/http's HTTP/1 ends a body when its answer begins
		if err != nil {
			t.Error(err)
		}
		w.Write(b)
	})
	var wg sync.WaitGroup
	for i := range uint64(8) {
		wg.Go(func() {
			for j := range uint64(5) {
				size := int64(1 + i*j*20_000)
				resp, err := client.Post(url, "", testenv.Stream(i, size))
				if err != nil {
					t.Error(err)
					return
				}
				sink := &testenv.Sink{Seed: i}
				_, err = io.Copy(sink, resp.Body)
				resp.Body.Close()
				if err != nil || sink.Off != size {
					t.Errorf("%d of %d bytes: %v", sink.Off, size, err)
				}
			}
		})
	}
	wg.Wait()
}

// The server behind the proxy is told of the client.
func TestForwarded(t *testing.T) {
	client, url := start(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Header.Get("X-Forwarded-For"), " ", r.URL.Path)
	})
	if got, err := webtest.Get(client, url+"/a/b"); err != nil || got != "127.0.0.1 /a/b" {
		t.Errorf("got %q, %v", got, err)
	}
}

// Where no server is, the proxy says so.
func TestBadGateway(t *testing.T) {
	proxy, err := newProxy("http://127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	addr := webtest.Serve(t, enginetest.Quoit, &http.Server{Handler: proxy})
	client, _ := webtest.Client(t, testenv.Net, nil)
	resp, err := client.Post("http://"+addr, "", bytes.NewReader(nil))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusBadGateway {
		t.Errorf("status %s", resp.Status)
	}
}

func TestBadURL(t *testing.T) {
	for _, to := range []string{"", "localhost:8080", "http://", "%"} {
		if _, err := newProxy(to); err == nil {
			t.Errorf("%q is taken for the URL of a server", to)
		}
	}
}
