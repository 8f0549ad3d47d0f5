package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/quoit-go/quoit"
)

const greeting = "Hello, World!"

// newHandler serves the files of dir, if not empty, the counters of stats, and page
// if there is one.
func newHandler(dir string, stats func() quoit.Stats, page http.Handler, upgraded *connSet) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", serveGreeting)
	mux.HandleFunc("/echo", serveEcho)
	mux.HandleFunc("GET /bytes", serveBytes)
	mux.HandleFunc("GET /upgrade-echo", upgraded.serveEcho)
	mux.HandleFunc("GET /stats", func(w http.ResponseWriter, r *http.Request) { serveStats(w, stats()) })
	if page != nil {
		mux.Handle("/debug/quoit", page)
	}
	if dir != "" {
		mux.Handle("GET /static/", http.StripPrefix("/static/", http.FileServer(http.Dir(dir))))
	}
	return mux
}

func serveGreeting(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	io.WriteString(w, greeting)
}

// serveEcho answers while the body still arrives, also over HTTP/1.1.
func serveEcho(w http.ResponseWriter, r *http.Request) {
	if r.Body == http.NoBody {
		return
	}
	rc := http.NewResponseController(w)
	rc.EnableFullDuplex() // an error means HTTP/2, which is so anyway
	w.Header().Set("Content-Type", "application/octet-stream")
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Body.Read(buf)
		if n > 0 {
			if _, werr := w.Write(buf[:n]); werr != nil {
				return
			}
			if ferr := rc.Flush(); ferr != nil {
				return
			}
		}
		switch {
		case err == io.EOF:
			return
		case err != nil:
			panic(http.ErrAbortHandler) // a clean end would look like the whole body
		}
	}
}

const (
	maxBytes = 64 << 30
	// period is a prime, so that a lost or repeated power of two shows.
	period = 251
)

// pattern is what /bytes repeats: the byte at offset i is i%period.
var pattern = func() []byte {
	b := make([]byte, 256*period)
	for i := range b {
		b[i] = byte(i % period)
	}
	return b
}()

func serveBytes(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.ParseInt(r.FormValue("n"), 10, 64)
	if err != nil || n < 0 || n > maxBytes {
		http.Error(w, fmt.Sprintf("n: want a number from 0 to %d", int64(maxBytes)), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	for n > 0 {
		m, err := w.Write(pattern[:min(n, int64(len(pattern)))])
		if err != nil {
			return
		}
		n -= int64(m)
	}
}

func serveStats(w http.ResponseWriter, stats quoit.Stats) {
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.Encode(stats)
}

// connSet holds the conns taken over from net/http, which no longer closes
// them.
type connSet struct {
	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	closed bool
}

func (s *connSet) add(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	if s.conns == nil {
		s.conns = map[net.Conn]struct{}{}
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *connSet) remove(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

func (s *connSet) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for c := range s.conns {
		c.Close()
	}
}

func (s *connSet) serveEcho(w http.ResponseWriter, r *http.Request) {
	if !headerHas(r.Header, "Connection", "upgrade") || !headerHas(r.Header, "Upgrade", "echo") {
		if r.ProtoMajor == 1 { // HTTP/2 forbids both
			w.Header().Set("Connection", "Upgrade")
			w.Header().Set("Upgrade", "echo")
		}
		http.Error(w, "want Upgrade: echo", http.StatusUpgradeRequired)
		return
	}
	c, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotImplemented)
		return
	}
	defer c.Close()
	if !s.add(c) {
		return
	}
	defer s.remove(c)
	if _, err := io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"); err != nil {
		return
	}
	io.Copy(c, rw.Reader) // first what was read together with the header
}

// headerHas reports whether a comma-separated header holds token.
func headerHas(h http.Header, name, token string) bool {
	for _, v := range h.Values(name) {
		for item := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(item), token) {
				return true
			}
		}
	}
	return false
}
