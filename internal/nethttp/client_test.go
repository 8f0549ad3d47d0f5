package nethttp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/quoit-go/quoit"
	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
	"github.com/quoit-go/quoit/internal/testenv/webtest"
)

// htReused fetches url and says whether the conn had been used before.
func htReused(client *http.Client, url string) (reused bool, err error) {
	ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused },
	})
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		return false, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return reused, err
}

// htWantReuse wants idle conns used again. On a slow machine one or the other
// request may want a new one: http.Transport gives up on a conn whose write it
// has not seen return 50 ms after the response.
func htWantReuse(t *testing.T, reused func() bool) {
	t.Helper()
	n := 0
	for range 20 {
		if reused() {
			n++
		}
	}
	if n < 10 {
		t.Errorf("%d of 20 requests found an idle conn", n)
	}
}

// TestHTTPTransportReuse: http.Transport reads from an idle conn all the
// time, to notice that the server has closed it.
func TestHTTPTransportReuse(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, tr testenv.Transport) {
		var states htStates
		var mu sync.Mutex
		conns := map[string]net.Conn{}
		addr := webtest.Serve(t, testenv.Net, &http.Server{
			ConnState: func(c net.Conn, s http.ConnState) {
				states.hook(c, s)
				mu.Lock()
				defer mu.Unlock()
				conns[c.RemoteAddr().String()] = c
			},
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") }),
		})
		var local net.Conn
		client, rt := webtest.Client(t, tr, nil)
		rt.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := tr.Dial(ctx, network, address)
			local = c
			return c, err
		}
		reused := func() bool {
			t.Helper()
			reused, err := htReused(client, "http://"+addr)
			if err != nil {
				t.Fatal(err)
			}
			return reused
		}
		wantFresh := func() {
			t.Helper()
			if reused() {
				t.Error("a closed conn used again")
			}
		}
		closed := func() bool {
			s := states.of(local)
			return len(s) > 0 && s[len(s)-1] == http.StateClosed
		}
		wantFresh()
		htWantReuse(t, reused)
		rt.CloseIdleConnections()
		testenv.Poll(t, "server sees that the idle conn was closed", closed)
		wantFresh()
		mu.Lock()
		conns[local.LocalAddr().String()].Close() // the server's end
		mu.Unlock()
		// The transport notices by its pending read; a request in between is
		// repeated on a new conn.
		testenv.Poll(t, "a fresh conn", func() bool { return !reused() })
		htWantReuse(t, reused)
		rt.CloseIdleConnections()
		rt.IdleConnTimeout = htShortTimeout
		wantFresh()
		testenv.Poll(t, "server sees that the idle conn timed out", closed)
	})
}

func TestHTTPTransportCancel(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, tr testenv.Transport) {
		gone := make(chan error, 64)
		addr := webtest.Serve(t, tr, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/body" {
				io.WriteString(w, "first part")
				http.NewResponseController(w).Flush()
			}
			select {
			case <-r.Context().Done():
				gone <- nil
			case <-time.After(testenv.Bound):
				gone <- errors.New("the server saw no disconnect")
			}
		})})
		client, rt := webtest.Client(t, tr, nil)
		for range 20 { // cancelled while waiting for the header
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
			req, _ := http.NewRequestWithContext(ctx, "GET", "http://"+addr, nil)
			resp, err := client.Do(req)
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("%v, %v", resp, err)
			}
		}
		for { // the handlers that the requests reached
			select {
			case <-gone:
				continue
			case <-time.After(htShortTimeout):
			}
			break
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		req, _ := http.NewRequestWithContext(ctx, "GET", "http://"+addr+"/body", nil)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if _, err := io.ReadFull(resp.Body, make([]byte, 10)); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(htShortTimeout/10, cancel)
		if n, err := io.Copy(io.Discard, resp.Body); n != 0 || !errors.Is(err, context.Canceled) {
			t.Errorf("read of the body: %d, %v", n, err)
		}
		if err := testenv.Recv(t, gone, "disconnect"); err != nil {
			t.Error(err)
		}
		rt.ResponseHeaderTimeout = htShortTimeout
		var ne net.Error
		if _, err := client.Get("http://" + addr); !errors.As(err, &ne) || !ne.Timeout() {
			t.Errorf("header timeout: %v", err)
		}
		if err := testenv.Recv(t, gone, "disconnect"); err != nil {
			t.Error(err)
		}
	})
}

// TestHTTPDialErrors wants the errors of a refused and a cancelled dial to
// reach the caller of a client.
func TestHTTPDialErrors(t *testing.T) {
	addr := testenv.Refused(t)
	var text []string
	enginetest.Each(t, func(t *testing.T, tr testenv.Transport) {
		client, _ := webtest.Client(t, tr, nil)
		_, err := client.Get("http://" + addr)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		req, _ := http.NewRequestWithContext(ctx, "GET", "http://"+addr, nil)
		_, cerr := client.Do(req)
		text = append(text, fmt.Sprint(err, cerr))
		if !errors.Is(cerr, context.Canceled) {
			t.Errorf("cancelled: %v", cerr)
		}
	})
	if len(text) == 2 && text[0] != text[1] {
		t.Errorf("net:   %s\nquoit: %s", text[0], text[1])
	}
}

// htProxy serves a reverse proxy for the server at addr.
func htProxy(t *testing.T, tr testenv.Transport, addr string) string {
	t.Helper()
	target, err := url.Parse("http://" + addr)
	if err != nil {
		t.Fatal(err)
	}
	_, rt := webtest.Client(t, tr, nil)
	return webtest.Serve(t, tr, &http.Server{Handler: &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: rt,
	}})
}

func TestHTTPReverseProxy(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, tr testenv.Transport) {
		back := webtest.Serve(t, tr, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b, err := io.ReadAll(r.Body) // the proxy gives up the body when the answer begins
			if err != nil {
				t.Error(err)
			}
			w.Write(b)
		})})
		front := htProxy(t, tr, back)
		client, _ := webtest.Client(t, testenv.Net, nil)
		var wg sync.WaitGroup
		for i := range 32 {
			wg.Go(func() {
				size := int64(i) * 12345
				for range 3 {
					resp, err := client.Post("http://"+front, "", &webtest.Trailer{Reader: testenv.Stream(uint64(i), size), At: func() {}})
					if err != nil {
						t.Errorf("client %d: %v", i, err)
						return
					}
					sink := testenv.Sink{Seed: uint64(i)}
					n, err := io.Copy(&sink, resp.Body)
					resp.Body.Close()
					if err != nil || n != size || resp.StatusCode != http.StatusOK {
						t.Errorf("client %d: %d bytes of %d, %s, %v", i, n, size, resp.Status, err)
					}
				}
			})
		}
		wg.Wait()
	})
}

// TestHTTPCopyFromConn answers with what a backend sends, which is more than net/http looks
// at and less than it would buffer: the client has it before the backend goes on, for
// the ResponseWriter's ReadFrom is asked.
func TestHTTPCopyFromConn(t *testing.T) {
	const first, all = 600, 100_000
	enginetest.Each(t, func(t *testing.T, tr testenv.Transport) {
		testenv.Watch(t, 2*testenv.Bound)
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		front := webtest.Serve(t, tr, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, err := tr.Dial(r.Context(), "tcp", ln.Addr().String())
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			w.Header().Set("Content-Length", fmt.Sprint(all))
			if n, err := io.Copy(w, c); n != all || err != nil {
				t.Errorf("%d bytes, %v", n, err)
			}
		})})
		c := testenv.Dial(t, front)
		defer c.Close()
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		back, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		data := testenv.Stream(5, all)
		if _, err := io.CopyN(back, data, first); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		sink := testenv.Sink{Seed: 5}
		if _, err := io.CopyN(&sink, resp.Body, first); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(back, data); err != nil {
			t.Fatal(err)
		}
		back.Close()
		if n, err := io.Copy(&sink, resp.Body); n != all-first || err != nil {
			t.Errorf("%d bytes more, %v", n, err)
		}
	})
}

// TestHTTPReverseProxyUpgrade tunnels an upgraded conn: the proxy hijacks its
// own and copies between the two.
func TestHTTPReverseProxyUpgrade(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, tr testenv.Transport) {
		back := webtest.Serve(t, tr, &http.Server{Handler: webtest.Hijacker(t, func(c net.Conn, rw *bufio.ReadWriter) error {
			_, err := io.Copy(c, io.LimitReader(rw, 1<<20))
			return err
		})})
		front := htProxy(t, tr, back)
		for range 5 {
			c := testenv.Dial(t, front)
			fmt.Fprintf(c, webtest.Upgrade, "proxied")
			br := bufio.NewReader(c)
			if err := webtest.Switched(br); err != nil {
				t.Fatal(err)
			}
			sent := make(chan error, 1)
			go func() {
				_, err := io.Copy(c, testenv.Stream(11, 1<<20))
				sent <- err
			}()
			sink := testenv.Sink{Seed: 11}
			if n, err := io.Copy(&sink, br); n != 1<<20 || err != nil {
				t.Errorf("%d bytes back, %v", n, err)
			}
			if err := testenv.Recv(t, sent, "writer"); err != nil {
				t.Error(err)
			}
			c.Close()
		}
	})
}

// TestHTTPDialer uses a Dialer's options under http.Transport.
func TestHTTPDialer(t *testing.T) {
	testenv.Watch(t, 2*testenv.Bound)
	addr := webtest.Serve(t, enginetest.Quoit, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.RemoteAddr)
	})})
	d := &quoit.Dialer{Timeout: testenv.Bound, KeepAlive: -1, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	client, rt := webtest.Client(t, enginetest.Quoit, nil)
	rt.DialContext = d.DialContext
	body, err := webtest.Get(client, "http://"+addr)
	if host, _, _ := net.SplitHostPort(body); err != nil || host != "127.0.0.2" {
		t.Errorf("got %q, %v", body, err)
	}
}
