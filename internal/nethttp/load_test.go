package nethttp

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
	"github.com/quoit-go/quoit/internal/testenv/webtest"
)

// htRun runs a load generator and returns what it printed.
func htRun(t *testing.T, bound time.Duration, path string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", path, args, err, out)
	}
	return string(out)
}

func htLoadSeconds() int {
	if testing.Short() {
		return 1
	}
	return 3
}

// TestHTTPWrk wants no socket error and no status but 200, however short the
// conns are.
func TestHTTPWrk(t *testing.T) {
	wrk := webtest.Tool(t, "wrk")
	old := filepath.Join(t.TempDir(), "http10.lua")
	script := `request = function() return "GET / HTTP/1.0\r\nHost: x\r\n\r\n" end`
	if err := os.WriteFile(old, []byte(script), 0o644); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		conns int
		args  []string
	}{
		{"keep-alive", 1, nil},
		{"keep-alive", 64, nil},
		{"keep-alive", 256, nil},
		{"close", 64, []string{"-H", "Connection: close"}},
		{"close", 256, []string{"-H", "Connection: close"}},
		{"http10", 64, []string{"-s", old}},
	}
	requests := regexp.MustCompile(`(\d+) requests in`)
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%s/%d", tt.name, tt.conns), func(t *testing.T) {
			testenv.Watch(t, 2*testenv.Bound)
			addr := webtest.Serve(t, enginetest.Quoit, &http.Server{Handler: http.HandlerFunc(webtest.Hello)})
			args := []string{"-t1", fmt.Sprintf("-c%d", tt.conns), fmt.Sprintf("-d%ds", htLoadSeconds()), "--timeout", "20s"}
			args = append(args, tt.args...)
			out := htRun(t, testenv.Bound, wrk, append(args, "http://"+addr+"/")...)
			if regexp.MustCompile(`Socket errors|Non-2xx`).MatchString(out) {
				t.Error(out)
			}
			m := requests.FindStringSubmatch(out)
			if m == nil || m[1] == "0" {
				t.Fatalf("no requests:\n%s", out)
			}
			t.Logf("%s requests", m[1])
		})
	}
}

// TestHTTPH2Load runs HTTP/2 over TLS and wants every request to succeed.
func TestHTTPH2Load(t *testing.T) {
	h2load := webtest.Tool(t, "h2load")
	testenv.Watch(t, 2*testenv.Bound)
	addr := webtest.Serve(t, enginetest.Quoit, &http.Server{Handler: http.HandlerFunc(webtest.Hello), TLSConfig: webtest.ServerTLS()})
	out := htRun(t, testenv.Bound, h2load, "-t1", "-c32", "-m16", fmt.Sprintf("-D%d", htLoadSeconds()), "https://"+addr+"/")
	re := regexp.MustCompile(`requests: (\d+) total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout`)
	m := re.FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("cannot read:\n%s", out)
	}
	var n [7]int
	for i, s := range m[1:] {
		n[i+1], _ = strconv.Atoi(s)
	}
	if n[3] == 0 || n[3] != n[2] || n[4]+n[5]+n[6] != 0 {
		t.Error(out)
	}
	t.Logf("%d requests", n[3])
}

// TestHTTPCurl uploads and downloads with another implementation of HTTP.
func TestHTTPCurl(t *testing.T) {
	curl := webtest.Tool(t, "curl")
	const size = 8 << 20
	dir := t.TempDir()
	up, down := filepath.Join(dir, "up"), filepath.Join(dir, "down")
	content, err := io.ReadAll(testenv.Stream(33, size))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(up, content, 0o644); err != nil {
		t.Fatal(err)
	}
	enginetest.Each(t, func(t *testing.T, tr testenv.Transport) {
		for _, secure := range []bool{false, true} {
			srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == "GET" {
					http.ServeFile(w, r, up)
					return
				}
				webtest.Sum(w, r)
			})}
			url := "http://"
			if secure {
				srv.TLSConfig, url = webtest.ServerTLS(), "https://"
			}
			url += webtest.Serve(t, tr, srv)
			common := []string{"-sS", "-k", "--fail", "--max-time", "20"}
			htRun(t, testenv.Bound, curl, append(common, "-o", down, url)...)
			if got, err := os.ReadFile(down); err != nil || !bytes.Equal(got, content) {
				t.Errorf("tls=%v: download: %d bytes, %v", secure, len(got), err)
			}
			want := fmt.Sprintf("%d %x <nil> ", size, sha256.Sum256(content))
			for _, how := range [][]string{nil, {"--http1.1"}, {"--http1.1", "-H", "Transfer-Encoding: chunked"}, {"--http1.0", "--no-alpn"}} {
				how = append(how, "-T", up)
				if out := htRun(t, testenv.Bound, curl, append(append(common, how...), url)...); out != want {
					t.Errorf("tls=%v: upload %q: got %q, want %q", secure, how, out, want)
				}
			}
		}
	})
}
