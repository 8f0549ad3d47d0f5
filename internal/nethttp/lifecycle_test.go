package nethttp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
	"github.com/quoit-go/quoit/internal/testenv/webtest"
)

// htShortTimeout is what the tests of timeouts set. The client then waits
// for the server to act, however late.
const htShortTimeout = 150 * time.Millisecond

// TestHTTPServerTimeouts holds requests back and wants the server to end
// the conn. What the client gets must be the same on net and on quoit.
func TestHTTPServerTimeouts(t *testing.T) {
	const brief, get = htShortTimeout, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	tests := []struct {
		name               string
		idle, header, read time.Duration
		send               string
		want               string // the first line of the answer
	}{
		{"idle", brief, 0, 0, get, "HTTP/1.1 200 OK"},
		{"no header", 0, brief, 0, "", ""},
		{"half a header", 0, brief, 0, get[:10], "HTTP/1.1 400 Bad Request"},
		{"half a second header", 0, brief, 0, get + get[:20], "HTTP/1.1 200 OK"},
		{"half a body", 0, 0, brief, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc", "HTTP/1.1 200 OK"},
		{"nothing at all", 0, 0, brief, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			enginetest.Each(t, func(t *testing.T, tr testenv.Transport) {
				bodyErr := make(chan error, 2)
				c := webtest.ServeSent(t, tr, &http.Server{
					IdleTimeout: tt.idle, ReadHeaderTimeout: tt.header, ReadTimeout: tt.read,
					Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						_, err := io.Copy(io.Discard, r.Body)
						bodyErr <- err
					}),
				}, tt.send)
				b, err := io.ReadAll(c)
				if line, _, _ := strings.Cut(string(b), "\r\n"); err != nil || line != tt.want {
					t.Errorf("got %q, %v, want %q and EOF", line, err, tt.want)
				}
				if strings.HasPrefix(tt.send, "POST") {
					if err := testenv.Recv(t, bodyErr, "handler"); !errors.Is(err, os.ErrDeadlineExceeded) {
						t.Errorf("the handler's read of the body: %v", err)
					}
				}
			})
		})
	}
}

// TestHTTPWriteTimeout: a handler that writes to a client which does not read
// is freed by WriteTimeout.
func TestHTTPWriteTimeout(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, tr testenv.Transport) {
		got := make(chan error, 1)
		addr := webtest.Serve(t, tr, &http.Server{
			WriteTimeout: htShortTimeout,
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				buf := make([]byte, 64<<10)
				for {
					if _, err := w.Write(buf); err != nil {
						got <- err
						return
					}
				}
			}),
		})
		c := testenv.Dial(t, addr)
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		if err := testenv.Recv(t, got, "end of the handler's writes"); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

// TestHTTPResponseController moves deadlines from inside a handler.
func TestHTTPResponseController(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, tr testenv.Transport) {
		got := make(chan error, 1)
		addr := webtest.Serve(t, tr, &http.Server{
			ReadTimeout: time.Hour,
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				rc := http.NewResponseController(w)
				err := rc.SetReadDeadline(time.Now().Add(htShortTimeout))
				if _, rerr := io.ReadAll(r.Body); !errors.Is(rerr, os.ErrDeadlineExceeded) {
					err = errors.Join(err, fmt.Errorf("read of the body: %w", rerr))
				}
				err = errors.Join(err, rc.SetWriteDeadline(time.Now().Add(-time.Second)))
				if _, werr := w.Write([]byte("x")); werr != nil {
					err = errors.Join(err, werr)
				}
				if ferr := rc.Flush(); !errors.Is(ferr, os.ErrDeadlineExceeded) {
					err = errors.Join(err, fmt.Errorf("flush: %w", ferr))
				}
				got <- err
			}),
		})
		c := testenv.Dial(t, addr)
		io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc")
		if err := testenv.Recv(t, got, "handler"); err != nil {
			t.Error(err)
		}
		if b, err := io.ReadAll(c); len(b) != 0 || err != nil {
			t.Errorf("client got %q, %v", b, err)
		}
	})
}

// htStates records what ConnState is called with, conn by conn.
type htStates struct {
	mu     sync.Mutex
	byAddr map[string][]http.ConnState
}

func (s *htStates) hook(c net.Conn, st http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byAddr == nil {
		s.byAddr = map[string][]http.ConnState{}
	}
	addr := c.RemoteAddr().String()
	s.byAddr[addr] = append(s.byAddr[addr], st)
}

func (s *htStates) of(c net.Conn) []http.ConnState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.byAddr[c.LocalAddr().String()])
}

func TestHTTPConnState(t *testing.T) {
	const get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	last := strings.Replace(get, "Host: x", "Host: x\r\nConnection: close", 1)
	tests := []struct {
		name string
		do   func(c *net.TCPConn, br *bufio.Reader) error
		want string
	}{
		{"nothing", func(c *net.TCPConn, _ *bufio.Reader) error { return c.Close() }, "[new closed]"},
		{"reset", func(c *net.TCPConn, _ *bufio.Reader) error { c.SetLinger(0); return c.Close() }, "[new closed]"},
		{"garbage", func(c *net.TCPConn, _ *bufio.Reader) error {
			_, err := io.WriteString(c, "garbage\r\n\r\n")
			return err
		}, "[new active closed]"},
		{"two requests", func(c *net.TCPConn, br *bufio.Reader) error {
			return errors.Join(webtest.RoundTrip(c, br, get), webtest.RoundTrip(c, br, get), c.Close())
		}, "[new active idle active idle closed]"},
		{"closing request", func(c *net.TCPConn, br *bufio.Reader) error {
			return errors.Join(webtest.RoundTrip(c, br, get), webtest.RoundTrip(c, br, last))
		}, "[new active idle active closed]"},
		{"hijack", func(c *net.TCPConn, br *bufio.Reader) error {
			_, err := io.WriteString(c, strings.Replace(get, "/", "/hijack", 1))
			return err
		}, "[new active hijacked]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			enginetest.Each(t, func(t *testing.T, tr testenv.Transport) {
				var states htStates
				addr := webtest.Serve(t, tr, &http.Server{
					ConnState: states.hook,
					Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						if r.URL.Path == "/hijack" {
							c, _, err := http.NewResponseController(w).Hijack()
							if err != nil {
								t.Error(err)
								return
							}
							c.Close()
						}
					}),
				})
				c := testenv.Dial(t, addr)
				// A reset may overtake the handshake, and then nobody accepts the conn.
				testenv.Poll(t, "accepted", func() bool { return len(states.of(c)) > 0 })
				if err := tt.do(c, bufio.NewReader(c)); err != nil {
					t.Fatal(err)
				}
				got := ""
				if !testenv.Eventually(func() bool { got = fmt.Sprint(states.of(c)); return got == tt.want }) {
					t.Errorf("got %s, want %s", got, tt.want)
				}
			})
		})
	}
}
