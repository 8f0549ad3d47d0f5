package nethttp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/quoit-go/quoit"
	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
	"github.com/quoit-go/quoit/internal/testenv/webtest"
)

// TestHTTPHijackBackgroundRead: when Hijack is called net/http is reading in
// the background and ends that read by a deadline in the past. A byte that
// arrives at that moment must be neither lost nor doubled.
func TestHTTPHijackBackgroundRead(t *testing.T) {
	rounds := 400
	if testing.Short() {
		rounds = 50
	}
	enginetest.Each(t, func(t *testing.T, tr testenv.Transport) {
		addr := webtest.Serve(t, tr, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			testenv.Pace(time.Duration(rand.IntN(200)) * time.Microsecond)
			webtest.Hijacker(t, func(c net.Conn, rw *bufio.ReadWriter) error {
				_, err := io.Copy(c, rw)
				return err
			}).ServeHTTP(w, r)
		})})
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for i := range rounds / 4 {
					if err := htHijackRound(addr); err != nil {
						t.Errorf("round %d: %v", i, err)
						return
					}
				}
			})
		}
		wg.Wait()
	})
}

func htHijackRound(addr string) error {
	c, err := net.DialTimeout("tcp", addr, testenv.Bound)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(testenv.Bound))
	fmt.Fprintf(c, webtest.Upgrade, "background")
	testenv.Pace(time.Duration(rand.IntN(400)) * time.Microsecond)
	want := "abcdefgh"[:1+rand.IntN(8)]
	for i := range want {
		if _, err := io.WriteString(c, want[i:i+1]); err != nil {
			return err
		}
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	br := bufio.NewReader(c)
	if err := webtest.Switched(br); err != nil {
		return err
	}
	if got, err := io.ReadAll(br); err != nil || string(got) != want {
		return fmt.Errorf("got %q, %v, want %q", got, err, want)
	}
	return nil
}

// TestHTTPHijackDeadlines sets deadlines on the hijacked conn, which must not
// have kept those of the server, and uses it on after they have passed.
func TestHTTPHijackDeadlines(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, tr testenv.Transport) {
		serve := func(c net.Conn, rw *bufio.ReadWriter) error {
			if tr.Name == "quoit" && quoit.Default().Stats().Transport == "io_uring" {
				if _, ok := c.(*quoit.Conn); !ok {
					return fmt.Errorf("hijacked a %T", c)
				}
			}
			var b [8]byte
			for _, d := range []time.Duration{-time.Hour, 0, time.Millisecond, htShortTimeout} {
				if err := c.SetReadDeadline(time.Now().Add(d)); err != nil {
					return err
				}
				if n, err := c.Read(b[:]); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
					return fmt.Errorf("deadline in %v: read %d, %w", d, n, err)
				}
			}
			if err := c.SetDeadline(time.Time{}); err != nil {
				return err
			}
			if _, err := io.WriteString(c, "go"); err != nil {
				return err
			}
			if n, err := io.ReadFull(c, b[:]); err != nil {
				return fmt.Errorf("after the deadlines: %d, %w", n, err)
			}
			_, err := c.Write(b[:])
			return err
		}
		srv := &http.Server{ReadTimeout: htShortTimeout, WriteTimeout: htShortTimeout, Handler: webtest.Hijacker(t, serve)}
		c := webtest.ServeSent(t, tr, srv, fmt.Sprintf(webtest.Upgrade, "deadlines"))
		br := bufio.NewReader(c)
		if err := webtest.Switched(br); err != nil {
			t.Fatal(err)
		}
		var b [8]byte
		if _, err := io.ReadFull(br, b[:2]); err != nil || string(b[:2]) != "go" {
			t.Fatalf("%q, %v", b[:2], err)
		}
		testenv.Pace(2 * htShortTimeout) // past what the server's timeouts would have been
		io.WriteString(c, "octopus!")
		if _, err := io.ReadFull(br, b[:]); err != nil || string(b[:]) != "octopus!" {
			t.Errorf("%q, %v", b, err)
		}
	})
}

// TestHTTPHijackPipe couples two hijacked conns by io.Copy, the way proxies
// tunnel CONNECT: ReadFrom and WriteTo run on both.
func TestHTTPHijackPipe(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, tr testenv.Transport) {
		back := webtest.Serve(t, tr, &http.Server{Handler: webtest.Hijacker(t, func(c net.Conn, rw *bufio.ReadWriter) error {
			_, err := io.Copy(c, rw)
			return err
		})})
		front := webtest.Serve(t, tr, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			if n := rw.Reader.Buffered(); n != 0 {
				t.Errorf("%d bytes buffered", n)
			}
			defer c.Close()
			up, err := tr.Dial(t.Context(), "tcp", back)
			if err != nil {
				t.Error(err)
				return
			}
			defer up.Close()
			fmt.Fprintf(up, webtest.Upgrade, "pipe")
			var wg sync.WaitGroup
			wg.Go(func() { htTunnel(t, up, c) })
			wg.Go(func() { htTunnel(t, c, up) })
			wg.Wait()
		})})
		c := testenv.Dial(t, front)
		fmt.Fprintf(c, webtest.Upgrade, "tunnel")
		br := bufio.NewReader(c)
		if err := webtest.Switched(br); err != nil {
			t.Fatal(err)
		}
		const total = 8 << 20
		sent := make(chan error, 1)
		go func() {
			_, err := io.Copy(c, testenv.Stream(9, total))
			sent <- errors.Join(err, c.CloseWrite())
		}()
		sink := testenv.Sink{Seed: 9}
		if n, err := io.Copy(&sink, br); n != total || err != nil {
			t.Errorf("%d bytes back, %v", n, err)
		}
		if err := testenv.Recv(t, sent, "writer"); err != nil {
			t.Error(err)
		}
	})
}

// htTunnel copies until EOF and passes it on.
func htTunnel(t *testing.T, dst, src net.Conn) {
	_, err := io.Copy(dst, src)
	if cw, ok := dst.(interface{ CloseWrite() error }); ok {
		err = errors.Join(err, cw.CloseWrite())
	} else {
		err = errors.Join(err, fmt.Errorf("%T has no CloseWrite", dst))
	}
	if err != nil {
		t.Error(err)
	}
}
