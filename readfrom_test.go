//go:build linux

package quoit

import (
	"bytes"
	"io"
	"math"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/quoit-go/quoit/internal/testenv"
)

// kernelOnly is a conn whose ReadFrom does not copy where the kernel does not.
type kernelOnly struct {
	*Conn
	t *testing.T
}

func (c kernelOnly) ReadFrom(r io.Reader) (int64, error) {
	src, remain := r, int64(math.MaxInt64)
	if lr, ok := r.(*io.LimitedReader); ok {
		src, remain = lr.R, lr.N
	}
	n, handled, err := c.readFromKernel(src, remain)
	if !handled {
		c.t.Errorf("neither sendfile nor splice for a %T: has Go a new name for hiddenSources?", src)
	}
	return n, err
}

// Bytes of a file or a conn do not go through user space, whichever way
// io.Copy passes them on.
func TestReadFromKernel(t *testing.T) {
	want := bytes.Repeat([]byte("0123456789abcdef"), 4096)
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, want, 0o600); err != nil {
		t.Fatal(err)
	}
	openFile := func() io.ReadCloser {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	dialed := func(network, address string) func() io.ReadCloser {
		return func() io.ReadCloser {
			client, server := netPair(t, network, address)
			go func() {
				defer server.Close()
				_, _ = server.Write(want)
			}()
			return client
		}
	}
	all := func(dst io.Writer, src io.Reader) (int64, error) { return io.Copy(dst, src) }
	part := func(dst io.Writer, src io.Reader) (int64, error) { return io.CopyN(dst, src, int64(len(want))) }
	for _, tt := range []struct {
		name string
		open func() io.ReadCloser
		copy func(io.Writer, io.Reader) (int64, error)
	}{
		{"file", openFile, all},
		{"part of a file", openFile, part},
		{"TCP", dialed("tcp", "127.0.0.1:0"), all},
		{"part of TCP", dialed("tcp", "127.0.0.1:0"), part},
		{"unix", dialed("unix", filepath.Join(t.TempDir(), "s")), all},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, err := New(nil)
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			if e.t.Load() == nil {
				testenv.NoRing(t, e.Stats().Reason)
			}
			client, server := netPair(t, "tcp", "127.0.0.1:0")
			defer server.Close()
			c, err := e.NewConn(client)
			if err != nil {
				t.Fatal(err)
			}
			got := make(chan []byte, 1)
			go func() {
				b, _ := io.ReadAll(server)
				got <- b
			}()
			src := tt.open()
			defer src.Close()
			n, err := tt.copy(kernelOnly{c.(*Conn), t}, src)
			c.Close()
			if b := <-got; err != nil || n != int64(len(want)) || !bytes.Equal(b, want) {
				t.Errorf("copied %d bytes (%v), the peer has %d, want %d", n, err, len(b), len(want))
			}
		})
	}
}

// netPair returns both ends of a conn of package net.
func netPair(t *testing.T, network, address string) (client, server net.Conn) {
	t.Helper()
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if client, err = net.Dial(network, ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	return client, server
}
