package main

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"

	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
)

func TestMain(m *testing.M) { os.Exit(enginetest.Main(m)) }

// start returns the address of a proxy before a server that calls handle for each
// of its conns. What is under way ends with the test.
func start(t *testing.T, handle func(*net.TCPConn)) string {
	t.Helper()
	backend, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var handlers sync.WaitGroup
	handlers.Go(func() {
		for {
			c, err := backend.Accept()
			if err != nil {
				return
			}
			handlers.Go(func() {
				defer c.Close()
				handle(c.(*net.TCPConn))
			})
		}
	})
	ln, err := enginetest.Quoit.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := testenv.Go(func() error { return serve(ln, backend.Addr().String()) })
	t.Cleanup(func() {
		ln.Close()
		if err := testenv.Recv(t, served, "the end of serve"); !errors.Is(err, net.ErrClosed) {
			t.Errorf("serve returned %v", err)
		}
		backend.Close()
		handlers.Wait()
	})
	return ln.Addr().String()
}

// The server answers when it has seen the end of the request, and the answer
// arrives whole: each direction ends alone.
func TestHalfClose(t *testing.T) {
	enginetest.Counts(t, 16, 16)
	const size = 1 << 20
	addr := start(t, func(c *net.TCPConn) {
		b, err := io.ReadAll(c)
		if err != nil {
			t.Errorf("server: %v", err)
		}
		if _, err := c.Write(b); err != nil {
			t.Errorf("server: %v", err)
		}
	})
	var wg sync.WaitGroup
	for i := range uint64(16) {
		c := testenv.Dial(t, addr)
		wg.Go(func() {
			defer c.Close()
			_, err := io.Copy(c, testenv.Stream(i, size))
			if err = errors.Join(err, c.CloseWrite()); err != nil {
				t.Error(err)
			}
			sink := &testenv.Sink{Seed: i}
			if _, err := io.Copy(sink, c); err != nil || sink.Off != size {
				t.Errorf("%d bytes: %v", sink.Off, err)
			}
		})
	}
	wg.Wait()
}

// Small messages go back and forth.
func TestPingPong(t *testing.T) {
	addr := start(t, func(c *net.TCPConn) { io.Copy(c, c) })
	c := testenv.Dial(t, addr)
	defer c.Close()
	for off := int64(0); off < 100_000; off += 100 {
		out, in := make([]byte, 100), make([]byte, 100)
		testenv.Fill(out, 1, off)
		if _, err := c.Write(out); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, in); err != nil || testenv.Diff(in, 1, off) >= 0 {
			t.Fatalf("at %d: %v", off, err)
		}
	}
}

// A server's reset is not kept from the client, and a client that vanishes ends
// the server's conn.
func TestEnds(t *testing.T) {
	t.Run("server", func(t *testing.T) {
		addr := start(t, func(c *net.TCPConn) { c.SetLinger(0) })
		c := testenv.Dial(t, addr)
		defer c.Close()
		if n, err := c.Read(make([]byte, 1)); n != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read %d bytes, %v", n, err)
		}
	})
	t.Run("client", func(t *testing.T) {
		ended := make(chan error, 1)
		addr := start(t, func(c *net.TCPConn) {
			_, err := io.Copy(c, &testenv.StreamReader{})
			ended <- err
		})
		c := testenv.Dial(t, addr)
		if _, err := io.ReadFull(c, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		c.Close()
		if err := testenv.Recv(t, ended, "the server's conn"); err == nil {
			t.Error("the server wrote an endless stream")
		}
	})
	t.Run("nobody", func(t *testing.T) {
		ln, err := enginetest.Quoit.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		served := testenv.Go(func() error { return serve(ln, "127.0.0.1:1") })
		c := testenv.Dial(t, ln.Addr().String())
		if _, err := c.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) || err == nil {
			t.Errorf("read: %v", err)
		}
		ln.Close()
		testenv.Recv(t, served, "the end of serve")
	})
}
