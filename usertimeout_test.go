//go:build linux

package quoit

import (
	"context"
	"errors"
	"math"
	"net"
	"path/filepath"
	"reflect"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/internal/testenv"
)

// userTimeoutOf is what the kernel has of a conn or listener.
func userTimeoutOf(t *testing.T, c any) (ms int) {
	t.Helper()
	rc, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	cerr := rc.Control(func(fd uintptr) { ms, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT) })
	if err := errors.Join(cerr, err); err != nil {
		t.Fatal(err)
	}
	return ms
}

// shared reports whether the conn takes others for holders of its socket, too.
func shared(c net.Conn) bool {
	return reflect.ValueOf(c.(*Conn).ec).Elem().FieldByName("shared").Bool()
}

// Accepted and dialed conns have it, on whichever way they come; Control hooks are
// called all the same, and a conn stays its engine's alone without one.
func TestUserTimeout(t *testing.T) {
	bothEngines(t, func(t *testing.T, e *Engine) {
		for _, steering := range []Steering{nil, SteerByHash()} {
			called := 0
			hook := func(_, _ string, rc syscall.RawConn) error { called++; return nil }
			lc := ListenConfig{Engine: e, UserTimeout: 1234567 * time.Microsecond, Control: hook, Steering: steering}
			ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			plain := Dialer{Engine: e, UserTimeout: time.Second}
			hooked, hookedToo := plain, plain
			hooked.Control = hook
			hookedToo.ControlContext = func(_ context.Context, network, address string, rc syscall.RawConn) error {
				return hook(network, address, rc)
			}
			for _, d := range []Dialer{plain, hooked, hookedToo} {
				c, err := d.Dial("tcp", ln.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				s, err := ln.Accept()
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				if onRing(c) && shared(c) != (d.Control != nil || d.ControlContext != nil) {
					t.Error("a hook, or none, is taken for the other")
				}
				if c, s := userTimeoutOf(t, c), userTimeoutOf(t, s); c != 1000 || s != 1235 {
					t.Errorf("dialed: %d ms, accepted: %d ms", c, s)
				}
			}
			if called < 3 {
				t.Errorf("hooks were called %d times", called)
			}
		}
		lc := ListenConfig{Engine: e, UserTimeout: time.Second}
		ln, err := lc.Listen(t.Context(), "unix", filepath.Join(t.TempDir(), "s"))
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		d := Dialer{Engine: e, UserTimeout: time.Second}
		for _, a := range []net.Addr{ln.Addr(), &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9}} {
			c, err := d.Dial(a.Network(), a.String())
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
		}
	})
}

// What does not fit is an error and leaves nothing open; a hook's error comes first.
func TestUserTimeoutErrors(t *testing.T) {
	bothEngines(t, func(t *testing.T, e *Engine) {
		other, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		before := len(testenv.FDs())
		for _, d := range []time.Duration{-1, -time.Second, math.MinInt64, maxUserTimeout + 1, math.MaxInt64} {
			lc := ListenConfig{Engine: e, UserTimeout: d}
			_, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
			if oe, ok := err.(*net.OpError); !ok || oe.Op != "listen" || !errors.Is(err, syscall.EINVAL) {
				t.Errorf("Listen with %v: %v", d, err)
			}
			dialer := Dialer{Engine: e, UserTimeout: d}
			_, err = dialer.Dial("tcp", other.Addr().String())
			if oe, ok := err.(*net.OpError); !ok || oe.Op != "dial" || !errors.Is(err, syscall.EINVAL) {
				t.Errorf("Dial with %v: %v", d, err)
			}
		}
		refused := errors.New("no")
		lc := ListenConfig{Engine: e, UserTimeout: -1, Control: func(_, _ string, _ syscall.RawConn) error { return refused }}
		if _, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0"); !errors.Is(err, refused) {
			t.Errorf("Control's error: %v", err)
		}
		testenv.Poll(t, "descriptors as before", func() bool { return len(testenv.FDs()) <= before })

		lc = ListenConfig{UserTimeout: time.Second}
		lc.SetMultipathTCP(true)
		dialer := Dialer{UserTimeout: time.Second}
		dialer.SetMultipathTCP(true)
		if lc.MultipathTCP() || dialer.MultipathTCP() {
			t.Error("MPTCP is used, which does not have the option")
		}
	})
}

func TestSetUserTimeout(t *testing.T) {
	e := ringEngine(t)
	client, peer := testenv.TCPPair(t)
	defer peer.Close()
	nc, err := e.NewConn(client)
	if err != nil {
		t.Fatal(err)
	}
	c := nc.(*Conn)
	for _, tt := range []struct {
		d  time.Duration
		ms int // -1: EINVAL
	}{
		{1, 1}, {time.Millisecond, 1}, {1500 * time.Microsecond, 2}, {20 * time.Second, 20000},
		{maxUserTimeout, math.MaxInt32}, {0, 0}, {time.Second, 1000},
		{-1, -1}, {maxUserTimeout + 1, -1}, {math.MaxInt64, -1}, {math.MinInt64, -1},
	} {
		before := userTimeoutOf(t, c)
		err := c.SetUserTimeout(tt.d)
		oe, _ := err.(*net.OpError)
		switch {
		case tt.ms < 0 && (oe == nil || oe.Op != "set" || !errors.Is(err, syscall.EINVAL) || userTimeoutOf(t, c) != before):
			t.Errorf("%v: %v", tt.d, err)
		case tt.ms >= 0 && (err != nil || userTimeoutOf(t, c) != tt.ms):
			t.Errorf("%v: %v, %d ms", tt.d, err, userTimeoutOf(t, c))
		}
	}
	c.Close()
	if err := c.SetUserTimeout(time.Second); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	if err := new(Conn).SetUserTimeout(time.Second); err != syscall.EINVAL {
		t.Errorf("zero value: %v", err)
	}
}

// A client that reads nothing is ended.
func TestUserTimeoutStall(t *testing.T) {
	bothEngines(t, func(t *testing.T, e *Engine) {
		lc := ListenConfig{Engine: e, UserTimeout: 200 * time.Millisecond}
		ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		client := testenv.Dial(t, ln.Addr().String())
		defer client.Close()
		c, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		write := testenv.Go(func() error {
			for p := make([]byte, 64<<10); ; {
				if _, err := c.Write(p); err != nil {
					return err
				}
			}
		})
		if err := testenv.Recv(t, write, "the end of the conn"); !errors.Is(err, syscall.ETIMEDOUT) {
			t.Errorf("Write: %v", err)
		}
	})
}
