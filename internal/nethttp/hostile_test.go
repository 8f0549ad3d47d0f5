package nethttp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
	"github.com/quoit-go/quoit/internal/testenv/webtest"
)

// htHostileServer serves an echo, a stream and a page, and checks at the end
// that an ordinary client is still served.
func htHostileServer(t *testing.T, tr testenv.Transport) string {
	t.Helper()
	addr := webtest.Serve(t, tr, &http.Server{
		ReadHeaderTimeout: testenv.Bound, // no client may keep the server for ever
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/stream":
				io.Copy(w, testenv.Stream(21, 1<<20))
			case "/echo":
				webtest.Echo(w, r)
			default:
				io.WriteString(w, "page")
			}
		}),
	})
	t.Cleanup(func() {
		if err := webtest.Ask(addr, "GET / HTTP/1.0\r\n\r\n", "page"); err != nil {
			t.Errorf("an ordinary client afterwards: %v", err)
		}
	})
	return addr
}

// TestHTTPByteSegments sends a request in segments of one byte each.
func TestHTTPByteSegments(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, tr testenv.Transport) {
		addr := htHostileServer(t, tr)
		c := testenv.Dial(t, addr)
		br := bufio.NewReader(c)
		body := strings.Repeat("drop by drop ", 50)
		req := fmt.Sprintf("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		for range 3 {
			for i := range req {
				if _, err := io.WriteString(c, req[i:i+1]); err != nil {
					t.Fatal(err)
				}
			}
			resp, err := http.ReadResponse(br, nil)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(resp.Body); string(b) != body || err != nil {
				t.Fatalf("%q, %v", b, err)
			}
		}
	})
}

// TestHTTPGarbage sends random bytes and broken requests, half-closes, and
// wants an orderly end each time.
func TestHTTPGarbage(t *testing.T) {
	seed := rand.Uint64()
	inputs := []string{
		"", "\r\n\r\n", "\x00", "GET", "GET / HTTP/9.9\r\n\r\n", "GET / HTTP/1.1\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
		"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"GET / HTTP/1.1\r\n" + strings.Repeat("A: b\r\n", 100000),
		strings.Repeat("x", 2<<20),
	}
	for i := range uint64(20) {
		b := make([]byte, 1<<i)
		testenv.Fill(b, seed+i, 0)
		inputs = append(inputs, string(b))
	}
	enginetest.Each(t, func(t *testing.T, tr testenv.Transport) {
		t.Logf("seed %#x", seed)
		addr := htHostileServer(t, tr)
		for i, in := range inputs {
			c := testenv.Dial(t, addr)
			sent := make(chan bool, 1)
			go func() {
				io.WriteString(c, in) // the server may reset it
				c.CloseWrite()
				sent <- true
			}()
			if _, err := io.Copy(io.Discard, c); err != nil && !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("input %d, %.20q: %v", i, in, err)
			}
			testenv.Recv(t, sent, "writer")
			c.Close()
		}
	})
}

// TestHTTPReset resets the conn at a random point: before, in and after the
// request, before, in and after the response, while others are served.
func TestHTTPReset(t *testing.T) {
	rounds := 50
	if testing.Short() {
		rounds = 20
	}
	seed := rand.Uint64()
	enginetest.Each(t, func(t *testing.T, tr testenv.Transport) {
		t.Logf("seed %#x", seed)
		addr := htHostileServer(t, tr)
		var wg sync.WaitGroup
		for w := range uint64(8) {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(seed, w))
				for range rounds {
					if err := htResetOnce(addr, rng); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		for i := range rounds { // the good client among them
			if err := webtest.Ask(addr, "GET / HTTP/1.0\r\n\r\n", "page"); err != nil {
				t.Errorf("request %d: %v", i, err)
			}
		}
		wg.Wait()
	})
}

// htResetOnce opens a conn, does some of a request and resets. Only a failure
// to connect is an error.
func htResetOnce(addr string, rng *rand.Rand) error {
	nc, err := net.DialTimeout("tcp", addr, testenv.Bound)
	if err != nil {
		return err
	}
	c := nc.(*net.TCPConn)
	defer c.Close()
	c.SetDeadline(time.Now().Add(testenv.Bound))
	c.SetLinger(0)
	var req string
	back := 50000 // the least that comes back
	if rng.IntN(2) == 0 {
		req, back = "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n", 1<<20
	} else {
		req = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 50000\r\n\r\n" + strings.Repeat("y", 50000)
	}
	if rng.IntN(2) == 0 {
		req = req[:rng.IntN(len(req))]
		io.WriteString(c, req)
		return nil
	}
	go io.WriteString(c, req)
	io.CopyN(io.Discard, c, rng.Int64N(int64(back)))
	return nil
}

// TestHTTPHalfClose: a client that half-closes after its request still gets
// the whole response, unless the server reads EOF as a disconnect while the
// handler runs, which net/http does; so the answer here is the whole one.
func TestHTTPHalfClose(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, tr testenv.Transport) {
		addr := htHostileServer(t, tr)
		for range 20 {
			c := testenv.Dial(t, addr)
			io.WriteString(c, "GET /stream HTTP/1.0\r\n\r\n")
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			sink := testenv.Sink{Seed: 21}
			if n, err := io.Copy(&sink, resp.Body); n != 1<<20 || err != nil {
				t.Errorf("%d bytes, %v", n, err)
			}
			c.Close()
		}
	})
}

// TestHTTPSlowReaders: many clients with small windows read a little at a
// time; each gets its bytes, and a quick client is not held up.
func TestHTTPSlowReaders(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, tr testenv.Transport) {
		addr := htHostileServer(t, tr)
		var wg sync.WaitGroup
		for i := range 16 {
			c := testenv.Dial(t, addr)
			if err := c.SetReadBuffer(64 << 10); err != nil {
				t.Fatal(err)
			}
			io.WriteString(c, "GET /stream HTTP/1.0\r\n\r\n")
			wg.Go(func() {
				resp, err := http.ReadResponse(bufio.NewReaderSize(c, 512), nil)
				if err != nil {
					t.Errorf("client %d: %v", i, err)
					return
				}
				sink := testenv.Sink{Seed: 21}
				for err == nil {
					_, err = io.CopyN(&sink, resp.Body, 32<<10)
					testenv.Pace(time.Duration(rand.IntN(3)) * time.Millisecond)
				}
				if sink.Off != 1<<20 || err != io.EOF {
					t.Errorf("client %d: %d bytes, %v", i, sink.Off, err)
				}
			})
		}
		for i := range 100 {
			if err := webtest.Ask(addr, "GET / HTTP/1.0\r\n\r\n", "page"); err != nil {
				t.Errorf("request %d: %v", i, err)
			}
		}
		wg.Wait()
	})
}

// TestHTTPStalled leaves conns in every state of a request, without a word,
// serves others beside them and closes the server under them.
func TestHTTPStalled(t *testing.T) {
	parts := []string{
		"", "G", "GET / HTTP/1.1\r\nHo", "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n123",
		"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
	}
	enginetest.Each(t, func(t *testing.T, tr testenv.Transport) {
		addr := htHostileServer(t, tr)
		for i := range 120 {
			c := testenv.Dial(t, addr)
			io.WriteString(c, parts[i%len(parts)])
		}
		for i := range 100 {
			if err := webtest.Ask(addr, "GET / HTTP/1.0\r\n\r\n", "page"); err != nil {
				t.Errorf("request %d: %v", i, err)
			}
		}
	})
}
