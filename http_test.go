package quoit_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/quoit-go/quoit"
	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
	"github.com/quoit-go/quoit/internal/testenv/webtest"
)

// An http.Server and an http.Client over quoit do what they do over net, which
// each test asks first. What is rarer is in internal/nethttp.

// TestHTTPKeepAlive has a bare conn: http.Transport may give one up early.
func TestHTTPKeepAlive(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, tr testenv.Transport) {
		addr := webtest.Serve(t, tr, &http.Server{
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprintf(w, "%s %s", r.URL.Path, r.RemoteAddr)
			}),
		})
		c := testenv.Dial(t, addr)
		br := bufio.NewReader(c)
		for i := range 200 {
			fmt.Fprintf(c, "GET /n%d HTTP/1.1\r\nHost: x\r\n\r\n", i)
			resp, err := http.ReadResponse(br, nil)
			if err != nil {
				t.Fatalf("request %d: %v", i, err)
			}
			got, err := io.ReadAll(resp.Body)
			if want := fmt.Sprintf("/n%d %s", i, c.LocalAddr()); err != nil || string(got) != want {
				t.Fatalf("request %d: got %q, %v, want %q", i, got, err, want)
			}
		}
	})
}

func TestHTTPPipelining(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, tr testenv.Transport) {
		addr := webtest.Serve(t, tr, &http.Server{Handler: http.HandlerFunc(webtest.Echo)})
		const n = 300
		var reqs bytes.Buffer
		for i := range n {
			body := strings.Repeat(strconv.Itoa(i%10), i)
			fmt.Fprintf(&reqs, "POST /%d HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", i, len(body), body)
		}
		c := testenv.Dial(t, addr)
		sent := make(chan error, 1)
		go func() {
			_, err := c.Write(reqs.Bytes())
			sent <- err
		}()
		br := bufio.NewReader(c)
		for i := range n {
			resp, err := http.ReadResponse(br, nil)
			if err != nil {
				t.Fatalf("response %d: %v", i, err)
			}
			body, err := io.ReadAll(resp.Body)
			if err != nil || string(body) != strings.Repeat(strconv.Itoa(i%10), i) {
				t.Fatalf("response %d: %q, %v", i, body, err)
			}
		}
		if err := testenv.Recv(t, sent, "write of the requests"); err != nil {
			t.Error(err)
		}
	})
}

func TestHTTPChunkedUpload(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, tr testenv.Transport) {
		addr := webtest.Serve(t, tr, &http.Server{Handler: http.HandlerFunc(webtest.Sum)})
		client, _ := webtest.Client(t, testenv.Net, nil)
		for _, size := range []int64{0, 1, 4095, 4096, 4097, 1 << 20, 12<<20 + 7} {
			h := sha256.New()
			body := io.TeeReader(testenv.Stream(uint64(size), size), h)
			req, err := http.NewRequest("POST", "http://"+addr, struct{ io.Reader }{body})
			if err != nil {
				t.Fatal(err)
			}
			req.ContentLength = -1
			req.Trailer = http.Header{"Sum": nil}
			req.Body = &webtest.Trailer{Reader: body, At: func() { req.Trailer.Set("Sum", "end") }}
			resp, err := client.Do(req)
			if err != nil {
				t.Fatalf("size %d: %v", size, err)
			}
			got, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			want := fmt.Sprintf("%d %x <nil> end", size, h.Sum(nil))
			if err != nil || string(got) != want {
				t.Errorf("size %d: got %q, %v, want %q", size, got, err, want)
			}
		}
	})
}

func TestHTTPServeFile(t *testing.T) {
	size := int64(64 << 20)
	if testing.Short() {
		size = 8 << 20
	}
	path := filepath.Join(t.TempDir(), "big")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(f, h), testenv.Stream(64, size))
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	want := h.Sum(nil)
	enginetest.Each(t, func(t *testing.T, tr testenv.Transport) {
		addr := webtest.Serve(t, tr, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.ServeFile(w, r, path)
		})})
		for _, from := range []testenv.Transport{testenv.Net, tr} {
			client, _ := webtest.Client(t, from, nil)
			resp, err := client.Get("http://" + addr)
			if err != nil {
				t.Fatal(err)
			}
			h := sha256.New()
			n, err := io.Copy(h, resp.Body)
			resp.Body.Close()
			if err != nil || n != size || !bytes.Equal(h.Sum(nil), want) {
				t.Errorf("client on %s: %d bytes, %v, sum right: %v", from.Name, n, err, bytes.Equal(h.Sum(nil), want))
			}
			for _, r := range []struct{ off, n int64 }{{0, 1}, {0, 4096}, {12345, 1 << 20}, {size - 10, 10}, {size / 2, size / 8}} {
				htRange(t, client, addr, r.off, r.n)
			}
		}
	})
}

// htRange fetches n bytes at off of the stream 64.
func htRange(t *testing.T, client *http.Client, addr string, off, n int64) {
	t.Helper()
	req, err := http.NewRequest("GET", "http://"+addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", off, off+n-1))
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	sink := testenv.Sink{Seed: 64, Off: off}
	got, err := io.Copy(&sink, resp.Body)
	if err != nil || got != n || resp.StatusCode != http.StatusPartialContent {
		t.Errorf("range %d+%d: %d bytes, %s, %v", off, n, got, resp.Status, err)
	}
}

// TestHTTPShortConns runs thousands of conns of one short request each. A
// server that loses what Close must flush, or closes too early, shows here.
func TestHTTPShortConns(t *testing.T) {
	heads := []string{
		"GET /%d HTTP/1.0\r\n\r\n",
		"GET /%d HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
	}
	n := 2000
	if testing.Short() {
		n = 300
	}
	enginetest.Each(t, func(t *testing.T, tr testenv.Transport) {
		addr := webtest.Serve(t, tr, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "hello from %s", r.URL.Path)
		})})
		var wg sync.WaitGroup
		var next, failed atomic.Int64
		for range 8 {
			wg.Go(func() {
				for i := next.Add(1); i <= int64(n*len(heads)); i = next.Add(1) {
					req := fmt.Sprintf(heads[i%2], i)
					if err := webtest.Ask(addr, req, fmt.Sprintf("hello from /%d", i)); err != nil {
						if failed.Add(1) < 10 {
							t.Errorf("request %d: %v", i, err)
						}
					}
				}
			})
		}
		wg.Wait()
		if f := failed.Load(); f != 0 {
			t.Errorf("%d of %d requests failed", f, n*len(heads))
		}
	})
}

func TestHTTPExpectContinue(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, tr testenv.Transport) {
		addr := webtest.Serve(t, tr, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/no" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			webtest.Echo(w, r)
		})})
		c := testenv.Dial(t, addr)
		br := bufio.NewReader(c)
		for i := range 3 { // 100 and the final answer, on one conn
			fmt.Fprintf(c, "POST /yes HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 6\r\n\r\n")
			resp, err := http.ReadResponse(br, nil)
			if err != nil || resp.StatusCode != http.StatusContinue {
				t.Fatalf("round %d: %v, %v", i, resp, err)
			}
			io.WriteString(c, "sesame")
			resp, err = http.ReadResponse(br, nil)
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Fatalf("round %d: %v, %v", i, resp, err)
			}
			if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "sesame" {
				t.Fatalf("round %d: %q, %v", i, b, err)
			}
		}
		fmt.Fprintf(c, "POST /no HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 6\r\n\r\n")
		resp, err := http.ReadResponse(br, nil)
		if err != nil || resp.StatusCode != http.StatusUnauthorized || !resp.Close {
			t.Fatalf("refused: %v, %v", resp, err)
		}
		io.Copy(io.Discard, resp.Body)
		io.WriteString(c, "sesame") // net/http's discarding of the body waits for it
		if _, err := br.ReadByte(); err != io.EOF {
			t.Errorf("after the refusal: %v, want EOF", err)
		}
	})
}

// TestHTTPDisconnectCancels: net/http reads in the background while a handler
// runs; the client's going must end that read and cancel the context.
func TestHTTPDisconnectCancels(t *testing.T) {
	leave := []struct {
		name string
		do   func(*net.TCPConn) error
	}{
		{"close", (*net.TCPConn).Close},
		{"reset", func(c *net.TCPConn) error { return errors.Join(c.SetLinger(0), c.Close()) }},
		{"half-close", (*net.TCPConn).CloseWrite},
	}
	enginetest.Each(t, func(t *testing.T, tr testenv.Transport) {
		entered, gone := make(chan bool), make(chan error)
		addr := webtest.Serve(t, tr, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			entered <- true
			select {
			case <-r.Context().Done():
				gone <- r.Context().Err()
			case <-time.After(testenv.Bound):
				gone <- errors.New("context not cancelled")
			}
		})})
		for _, req := range []string{
			"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
			"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody",
		} {
			for _, l := range leave {
				c := testenv.Dial(t, addr)
				io.WriteString(c, req)
				testenv.Recv(t, entered, "handler")
				if err := l.do(c); err != nil {
					t.Fatal(err)
				}
				if err := testenv.Recv(t, gone, "cancelled context"); err == nil || err.Error() != "context canceled" {
					t.Errorf("%s after %.4q: %v", l.name, req, err)
				}
				c.Close()
			}
		}
	})
}

func TestHTTPTestServer(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("tls=%v", secure), func(t *testing.T) {
			testenv.Watch(t, testenv.Bound)
			ts := httptest.NewUnstartedServer(http.HandlerFunc(webtest.Echo))
			ln, err := quoit.NewListener(ts.Listener)
			if err != nil {
				t.Fatal(err)
			}
			ts.Listener = ln
			if secure {
				ts.EnableHTTP2 = true
				ts.StartTLS()
			} else {
				ts.Start()
			}
			defer ts.Close()
			want := strings.Repeat("round and round ", 4096)
			for range 20 {
				resp, err := ts.Client().Post(ts.URL, "text/plain", strings.NewReader(want))
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || string(b) != want || (resp.ProtoMajor == 2) != secure {
					t.Fatalf("%d bytes of %d over %s, %v", len(b), len(want), resp.Proto, err)
				}
			}
		})
	}
}

// TestHTTP2 runs many streams over one conn.
func TestHTTP2(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, tr testenv.Transport) {
		var opened atomic.Int32
		addr := webtest.Serve(t, tr, &http.Server{
			TLSConfig: webtest.ServerTLS(),
			Handler:   http.HandlerFunc(webtest.Echo),
			ConnState: func(_ net.Conn, s http.ConnState) {
				if s == http.StateNew {
					opened.Add(1)
				}
			},
		})
		client, _ := webtest.Client(t, tr, webtest.ClientTLS())
		if _, err := webtest.Get(client, "https://"+addr); err != nil { // so that the rest share its conn
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for i := range 150 {
			wg.Go(func() {
				size := int64(i) * 1500
				resp, err := client.Post("https://"+addr, "", testenv.Stream(uint64(i), size))
				if err != nil {
					t.Errorf("stream %d: %v", i, err)
					return
				}
				defer resp.Body.Close()
				sink := testenv.Sink{Seed: uint64(i)}
				if n, err := io.Copy(&sink, resp.Body); n != size || err != nil || resp.ProtoMajor != 2 {
					t.Errorf("stream %d: %d bytes of %d over %s, %v", i, n, size, resp.Proto, err)
				}
			})
		}
		wg.Wait()
		if n := opened.Load(); n != 1 {
			t.Errorf("%d connections, want 1", n)
		}
	})
}

// TestHTTPHijackEcho echoes as a WebSocket server does. The first frames come
// together with the request, so that the hijack's reader holds them.
func TestHTTPHijackEcho(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, tr testenv.Transport) {
		addr := webtest.Serve(t, tr, &http.Server{Handler: webtest.Hijacker(t, func(c net.Conn, rw *bufio.ReadWriter) error {
			buf := make([]byte, 32<<10)
			for {
				n, err := rw.Read(buf)
				if _, werr := c.Write(buf[:n]); werr != nil {
					return werr
				}
				if err == io.EOF {
					return nil
				}
				if err != nil {
					return err
				}
			}
		})})
		for _, early := range []int{0, 1, 100, 4000, 40000, 400000} {
			const total = 1 << 20
			c := testenv.Dial(t, addr)
			var head bytes.Buffer
			fmt.Fprintf(&head, webtest.Upgrade, fmt.Sprint(early))
			io.Copy(&head, testenv.Stream(7, int64(early)))
			sent := make(chan error, 1)
			go func() {
				_, err := c.Write(head.Bytes())
				rest := testenv.StreamReader{Seed: 7, Off: int64(early)}
				_, cerr := io.Copy(c, io.LimitReader(&rest, total-int64(early)))
				sent <- errors.Join(err, cerr, c.CloseWrite())
			}()
			br := bufio.NewReader(c)
			if err := webtest.Switched(br); err != nil {
				t.Fatal(err)
			}
			sink := testenv.Sink{Seed: 7}
			n, err := io.Copy(&sink, br)
			if n != total || err != nil {
				t.Errorf("%d bytes early: %d bytes back, %v", early, n, err)
			}
			if err := testenv.Recv(t, sent, "writer"); err != nil {
				t.Error(err)
			}
			c.Close()
		}
	})
}

// htBusy serves "/" at once and "/slow" when release is closed.
func htBusy(t *testing.T, tr testenv.Transport) (srv *http.Server, addr string, entered chan bool, release chan bool) {
	t.Helper()
	entered, release = make(chan bool, 64), make(chan bool)
	srv = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/slow" {
			return
		}
		entered <- true
		select {
		case <-release:
			io.Copy(w, testenv.Stream(1, 1<<20))
		case <-r.Context().Done():
		case <-time.After(testenv.Bound):
		}
	})}
	return srv, webtest.Serve(t, tr, srv), entered, release
}

// atFree is tr, whose listener leaves a port that nobody else takes.
func atFree(t *testing.T, tr testenv.Transport) testenv.Transport {
	listen := tr.Listen
	tr.Listen = func(network, _ string) (net.Listener, error) {
		return listen(network, testenv.Free(t, "127.0.0.1"))
	}
	return tr
}

func TestHTTPShutdown(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, tr testenv.Transport) {
		srv, addr, entered, release := htBusy(t, atFree(t, tr))
		const n = 10
		idle, active := make([]*net.TCPConn, n), make([]*net.TCPConn, n)
		for i := range n {
			idle[i], active[i] = testenv.Dial(t, addr), testenv.Dial(t, addr)
			if err := webtest.RoundTrip(idle[i], bufio.NewReader(idle[i]), "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			io.WriteString(active[i], "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
			testenv.Recv(t, entered, "handler")
		}
		ctx, cancel := context.WithTimeout(t.Context(), testenv.Bound)
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- srv.Shutdown(ctx) }()
		for i, c := range idle {
			if b, err := io.ReadAll(c); err != nil || len(b) != 0 {
				t.Errorf("idle conn %d: %q, %v, want EOF", i, b, err)
			}
		}
		if c, err := net.DialTimeout("tcp", addr, testenv.Bound); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial during Shutdown: %v, %v", c, err)
		}
		select {
		case err := <-done:
			t.Errorf("Shutdown returned %v while handlers run", err)
		default:
		}
		close(release)
		for i, c := range active {
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Errorf("active conn %d: %v", i, err)
				continue
			}
			sink := testenv.Sink{Seed: 1}
			if n, err := io.Copy(&sink, resp.Body); n != 1<<20 || err != nil || !resp.Close {
				t.Errorf("active conn %d: %d bytes, %v, close %v", i, n, err, resp.Close)
			}
		}
		if err := testenv.Recv(t, done, "return of Shutdown"); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	})
}

func TestHTTPServerClose(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, tr testenv.Transport) {
		srv, addr, entered, _ := htBusy(t, atFree(t, tr))
		var conns []*net.TCPConn
		for range 10 {
			idle, active, fresh := testenv.Dial(t, addr), testenv.Dial(t, addr), testenv.Dial(t, addr)
			if err := webtest.RoundTrip(idle, bufio.NewReader(idle), "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			io.WriteString(active, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
			testenv.Recv(t, entered, "handler")
			conns = append(conns, idle, active, fresh)
		}
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
		for i, c := range conns {
			b, err := io.ReadAll(c)
			if len(b) != 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("conn %d: %q, %v, want EOF or reset", i, b, err)
			}
		}
		if c, err := net.DialTimeout("tcp", addr, testenv.Bound); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial after Close: %v, %v", c, err)
		}
	})
}
