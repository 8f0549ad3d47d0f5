//go:build linux

package quoit

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/internal/testenv"
)

// ringEngine is a gearEngine in GearRing.
func ringEngine(t *testing.T) *Engine {
	t.Helper()
	return gearEngine(t, Config{Gear: GearRing})
}

// bothEngines runs f on an engine that package net serves, and on the ring.
func bothEngines(t *testing.T, f func(t *testing.T, e *Engine)) {
	t.Run("net", func(t *testing.T) { f(t, &Engine{}) })
	t.Run("ring", func(t *testing.T) { f(t, ringEngine(t)) })
}

// freeAddr is an address of network to listen on, tcp or unix.
func freeAddr(t *testing.T, network string) string {
	if network == "unix" {
		return filepath.Join(t.TempDir(), "s")
	}
	return "127.0.0.1:0"
}

// limited is a wrapper, of which there are many.
type limited struct{ *net.TCPListener }

// An operator who hands a wrapper over shall not take it for one on the ring,
// on no machine.
func TestNewListenerTypes(t *testing.T) {
	bothEngines(t, func(t *testing.T, e *Engine) {
		tcp, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		defer tcp.Close()
		packet, err := net.Listen("unixpacket", filepath.Join(t.TempDir(), "s"))
		if err != nil {
			t.Fatal(err)
		}
		defer packet.Close()
		for _, tt := range []struct {
			ln  net.Listener
			typ string
		}{
			{limited{tcp}, "quoit.limited"},
			{&limited{tcp}, "*quoit.limited"},
			{tls.NewListener(tcp, &tls.Config{}), "*tls.listener"},
			{(*net.TCPListener)(nil), "*net.TCPListener"},
			{(*net.UnixListener)(nil), "*net.UnixListener"},
			{&net.TCPListener{}, "*net.TCPListener"},
			{(*Listener)(nil), "*quoit.Listener"},
			{&Listener{}, "*quoit.Listener"},
			{nil, "<nil>"},
		} {
			got, err := e.NewListener(tt.ln)
			ue, ok := errors.AsType[*UnsupportedError](err)
			if got != nil || !ok || ue.Type != tt.typ || !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), tt.typ) {
				t.Errorf("%s: %v, %v", tt.typ, got, err)
			}
		}
		if got, err := e.NewListener(packet); got != packet || err != nil {
			t.Errorf("unixpacket: %v, %v", got, err)
		}
		for _, ln := range []net.Listener{tcp, packet} { // they are open
			accepted := testenv.Go(func() error {
				c, err := ln.Accept()
				if err == nil {
					c.Close()
				}
				return err
			})
			c, err := net.Dial(ln.Addr().Network(), ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
			if err := <-accepted; err != nil {
				t.Error(err)
			}
		}
	})
}

// What NewListener takes it takes again.
func TestNewListenerTwice(t *testing.T) {
	bothEngines(t, func(t *testing.T, e *Engine) {
		for _, network := range []string{"tcp", "unix"} {
			ln, err := net.Listen(network, freeAddr(t, network))
			if err != nil {
				t.Fatal(err)
			}
			a, err := e.NewListener(ln)
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			b, err := e.NewListener(a)
			if err != nil || a != b {
				t.Errorf("%T, %v", b, err)
			}
			if _, ours := b.(*Listener); ours == (e.t.Load() == nil) {
				t.Errorf("a %T", b)
			}
		}
	})
}

// Files of sockets that the ring does not serve are package net's, as Listen's
// and Dial's are; a closed engine takes none of the others.
func TestFilesOfOtherNetworks(t *testing.T) {
	bothEngines(t, func(t *testing.T, e *Engine) {
		packet, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "s"), Net: "unixpacket"})
		if err != nil {
			t.Fatal(err)
		}
		if ln, err := e.NewListener(packet); ln != net.Listener(packet) || err != nil {
			t.Errorf("unixpacket: %v, %v", ln, err)
		}
		packet.Close()
		for _, kind := range []int{unix.SOCK_DGRAM, unix.SOCK_SEQPACKET} {
			pair, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			unix.Close(pair[1])
			f := os.NewFile(uintptr(pair[0]), "socket")
			c, err := net.FileConn(f)
			f.Close()
			if err != nil {
				t.Fatal(err)
			}
			if got, err := e.NewConn(c); got != c || err != nil {
				t.Errorf("%d: %v, %v", kind, got, err)
			}
			c.Close()
		}

		e.Close()
		a, _ := testenv.TCPPair(t)
		if _, err := e.NewConn(a); !errors.Is(err, ErrEngineClosed) {
			t.Errorf("conn: %v", err)
		}
		if _, err := a.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the conn is open: %v", err)
		}
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.NewListener(ln); !errors.Is(err, ErrEngineClosed) {
			t.Errorf("listener: %v", err)
		}
		if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the listener is open: %v", err)
		}
	})
}

// hidden is a wrapper of a conn, with all that others look for.
type hidden struct{ *net.TCPConn }

func (h hidden) NetConn() net.Conn { return h.TCPConn }
func (h hidden) Unwrap() net.Conn  { return h.TCPConn }

func TestNewConnTypes(t *testing.T) {
	bothEngines(t, func(t *testing.T, e *Engine) {
		tcp, peer := testenv.TCPPair(t)
		udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		defer udp.Close()
		a, b := net.Pipe()
		defer a.Close()
		defer b.Close()
		for _, tt := range []struct {
			c   net.Conn
			typ string
		}{
			{hidden{tcp}, "quoit.hidden"},
			{&hidden{tcp}, "*quoit.hidden"},
			{tls.Client(tcp, &tls.Config{}), "*tls.Conn"},
			{udp, "*net.UDPConn"},
			{a, "*net.pipe"},
			{(*net.TCPConn)(nil), "*net.TCPConn"},
			{(*net.UnixConn)(nil), "*net.UnixConn"},
			{&net.TCPConn{}, "*net.TCPConn"},
			{&net.UnixConn{}, "*net.UnixConn"},
			{(*Conn)(nil), "*quoit.Conn"},
			{(*UnixConn)(nil), "*quoit.UnixConn"},
			{&Conn{}, "*quoit.Conn"},
			{nil, "<nil>"},
		} {
			got, err := e.NewConn(tt.c)
			ue, ok := errors.AsType[*UnsupportedError](err)
			if got != nil || !ok || ue.Type != tt.typ || !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), tt.typ) {
				t.Errorf("%s: %v, %v", tt.typ, got, err)
			}
		}
		if _, err := tcp.Write([]byte("x")); err != nil { // it is open
			t.Error(err)
		}
		if _, err := io.ReadFull(peer, make([]byte, 1)); err != nil {
			t.Error(err)
		}
	})
}

// What NewConn takes it takes again; it does not take over the deadlines, which
// package net's conn would keep in the netpoller and nobody else know of.
func TestNewConn(t *testing.T) {
	bothEngines(t, func(t *testing.T, e *Engine) {
		for _, network := range []string{"tcp", "unix"} {
			c, peer := netPair(t, network, freeAddr(t, network))
			defer peer.Close()
			if err := c.SetDeadline(time.Unix(1, 0)); err != nil {
				t.Fatal(err)
			}
			q, err := e.NewConn(c)
			if err != nil {
				t.Fatal(err)
			}
			defer q.Close()
			again, err := e.NewConn(q)
			if err != nil || again != q {
				t.Errorf("%s: %T, %v", network, again, err)
			}
			if ours := onRing(q); ours == (e.t.Load() == nil) {
				t.Errorf("%s: a %T", network, q)
			}
			read := testenv.Go(func() error {
				_, err := io.ReadFull(q, make([]byte, 2))
				return err
			})
			for range 2 {
				if _, err := peer.Write([]byte("x")); err != nil {
					t.Error(err)
				}
			}
			if err := testenv.Recv(t, read, "the Read"); err != nil {
				t.Errorf("%s: Read: %v", network, err)
			}
			if _, err := q.Write([]byte("x")); err != nil {
				t.Errorf("%s: Write: %v", network, err)
			}
		}
	})
}

// What is closed has an error at once, also where package net serves.
func TestTakeOverClosed(t *testing.T) {
	bothEngines(t, func(t *testing.T, e *Engine) {
		for _, network := range []string{"tcp", "unix"} {
			ln, err := net.Listen(network, freeAddr(t, network))
			if err != nil {
				t.Fatal(err)
			}
			ln.Close()
			got, err := e.NewListener(ln)
			if oe, ok := err.(*net.OpError); got != nil || !ok || oe.Op != "listen" || oe.Err != net.ErrClosed {
				t.Errorf("%s listener: %v, %v", network, got, err)
			}
			c, peer := netPair(t, network, freeAddr(t, network))
			peer.Close()
			c.Close()
			q, err := e.NewConn(c)
			if oe, ok := err.(*net.OpError); q != nil || !ok || oe.Op != "dial" || oe.Err != net.ErrClosed {
				t.Errorf("%s conn: %v, %v", network, q, err)
			}
		}
	})
}
