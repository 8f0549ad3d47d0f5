package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
	"github.com/quoit-go/quoit/internal/testenv/webtest"
)

func TestMain(m *testing.M) { os.Exit(enginetest.Main(m)) }

func TestFetchAll(t *testing.T) {
	enginetest.Counts(t, 0, 1)
	addr := webtest.Serve(t, testenv.Net, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.URL.Path)
	})})
	client := newClient()
	defer client.CloseIdleConnections()
	var urls []string
	var want strings.Builder
	for i := range 20 {
		path := "/" + strings.Repeat("a", i)
		urls = append(urls, "http://"+addr+path)
		fmt.Fprintf(&want, "http://%s%s: HTTP/1.1, 200 OK, %d bytes\n", addr, path, len(path))
	}
	for range 2 { // the second time over idle conns
		var got bytes.Buffer
		if ok := fetchAll(t.Context(), &got, client, urls); !ok || got.String() != want.String() {
			t.Errorf("ok %t, got\n%s", ok, &got)
		}
	}
}

// An error has its URL, and does not stop the others.
func TestFetchAllError(t *testing.T) {
	addr := webtest.Serve(t, testenv.Net, &http.Server{Handler: http.HandlerFunc(webtest.Hello)})
	client := newClient()
	defer client.CloseIdleConnections()
	var got bytes.Buffer
	if fetchAll(t.Context(), &got, client, []string{"http://127.0.0.1:1/", "http://" + addr}) {
		t.Error("port 1 was fetched")
	}
	if s := got.String(); !strings.Contains(s, "127.0.0.1:1") || !strings.Contains(s, addr+": HTTP/1.1, 200 OK, 13 bytes\n") {
		t.Errorf("got\n%s", s)
	}
}
