//go:build linux

package pitfalls

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit"
	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
)

// After the peer's RST getpeername(2) fails, and net/http panics on a nil
// RemoteAddr.
func TestPitfall25EarlyReset(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, tr testenv.Transport) {
		ln := pfListen(t, tr)
		accepting := testenv.Go(func() error {
			for {
				c, err := ln.Accept()
				if err != nil {
					return err
				}
				remote, local := c.RemoteAddr(), c.LocalAddr()
				c.Close()
				if a, ok := remote.(*net.TCPAddr); !ok || a == nil || a.String() == "" {
					return fmt.Errorf("RemoteAddr is %v", remote)
				}
				if local == nil || local.String() != ln.Addr().String() {
					return fmt.Errorf("LocalAddr is %v", local)
				}
			}
		})
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 200 {
					c, err := net.Dial("tcp", ln.Addr().String())
					if err != nil {
						t.Error(err)
						return
					}
					c.(*net.TCPConn).SetLinger(0)
					c.Close()
				}
			})
		}
		wg.Wait()
		c := testenv.Dial(t, ln.Addr().String()) // the last in the queue
		if err := pfExpect(c, 0, 0); err != nil {
			t.Error(err)
		}
		ln.Close()
		if err := testenv.Recv(t, accepting, "Accept"); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
}

// Requests that outlive Close keep the port: a server that restarts at once
// cannot listen.
func TestPitfall27Restart(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, tr testenv.Transport) {
		addr := testenv.Free(t, "127.0.0.1")
		ln := pfListenAt(t, tr, addr)
		for i := range 30 {
			c := testenv.Dial(t, addr)
			s := pfAccept(t, ln)
			if _, err := s.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			accepting := testenv.Go(func() error { _, err := ln.Accept(); return err })
			if err := ln.Close(); err != nil {
				t.Fatal(err)
			}
			if err := testenv.Recv(t, accepting, "Accept"); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Accept: %v", err)
			}
			if i%2 == 0 { // else the conn lives on beside the new listener
				s.Close()
			}
			var err error
			if ln, err = tr.Listen("tcp", addr); err != nil {
				t.Fatalf("restart %d: %v", i, err)
			}
			defer ln.Close()
			s.Close()
			if b, err := io.ReadAll(c); string(b) != "x" || err != nil {
				t.Errorf("restart %d: peer got %q, %v", i, b, err)
			}
		}
	})
}

// Go's listeners are MPTCP ones by default. Some of what a ring can do with
// TCP it cannot do with MPTCP.
func TestPitfall28Multipath(t *testing.T) {
	yes, no := true, false
	for name, use := range map[string]*bool{"default": nil, "on": &yes, "off": &no} {
		t.Run(name, func(t *testing.T) {
			testenv.Watch(t, 2*testenv.Bound)
			var qlc quoit.ListenConfig
			var nlc net.ListenConfig
			if use != nil {
				qlc.SetMultipathTCP(*use)
				nlc.SetMultipathTCP(*use)
			}
			if q, n := qlc.MultipathTCP(), nlc.MultipathTCP(); q != n {
				t.Errorf("ListenConfig.MultipathTCP() = %v, net's %v", q, n)
			}
			got := pfMultipath(t, qlc.Listen)
			if want := pfMultipath(t, nlc.Listen); !slices.Equal(got, want) {
				t.Errorf("MultipathTCP of the accepted conns: %v, net's %v", got, want)
			}
		})
	}
}

// pfMultipath accepts conns of several kinds, sends data both ways and says
// which of them use MPTCP.
func pfMultipath(t *testing.T, listen func(context.Context, string, string) (net.Listener, error)) []bool {
	t.Helper()
	ln, err := listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	var plain, multi quoit.Dialer
	plain.SetMultipathTCP(false)
	multi.SetMultipathTCP(true)
	var nmulti net.Dialer
	nmulti.SetMultipathTCP(true)
	var uses []bool
	for i, dial := range []func(context.Context, string, string) (net.Conn, error){
		testenv.Net.Dial, enginetest.Quoit.Dial, plain.DialContext, multi.DialContext, nmulti.DialContext,
	} {
		const total = 300_000
		c := pfDial(t, testenv.Transport{Dial: dial}, ln.Addr().String())
		s := pfAccept(t, ln)
		up := testenv.Go(func() error { return errors.Join(pfSend(c, 28, total), c.CloseWrite()) })
		down := testenv.Go(func() error { return errors.Join(pfSend(s, 29, total), s.CloseWrite()) })
		var r io.Reader = c
		if i >= 3 { // the client's is MPTCP
			r = pfFallen{c}
		}
		got := testenv.Go(func() error { return pfExpect(r, 29, total) })
		if err := pfExpect(s, 28, total); err != nil {
			t.Error(err)
		}
		testenv.Wait(t, up, "client's write")
		testenv.Wait(t, down, "server's write")
		testenv.Wait(t, got, "client's read")
		used, err := s.(interface{ MultipathTCP() (bool, error) }).MultipathTCP()
		if err != nil {
			t.Error(err)
		}
		uses = append(uses, used)
	}
	return uses
}

// pfFallen is a conn that may have fallen back to TCP. On Linux 6.18 one in some hundred
// thousand of package net's that both ends close has ENOTCONN for its end of file.
type pfFallen struct{ io.Reader }

func (r pfFallen) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	if errors.Is(err, unix.ENOTCONN) {
		err = io.EOF
	}
	return n, err
}

// A descriptor without close-on-exec goes to every child, which then holds
// conns and ports open.
func TestPitfall29Children(t *testing.T) {
	testenv.Watch(t, 2*testenv.Bound)
	e := enginetest.On(enginetest.New(t, quoit.Config{}))
	ln := pfListen(t, e)
	for range 20 { // conns that stay, each from an Accept that waited
		accepting := testenv.Go(func() error {
			c, err := ln.Accept()
			if err == nil {
				t.Cleanup(func() { c.Close() })
			}
			return err
		})
		testenv.Pace(time.Millisecond)
		pfDial(t, e, ln.Addr().String())
		testenv.Wait(t, accepting, "Accept")
	}
	var wg sync.WaitGroup
	stop := make(chan bool)
	wg.Go(func() { // conns are being made while children start
		for {
			select {
			case <-stop:
				return
			default:
			}
			c, err := e.Dial(t.Context(), "tcp", ln.Addr().String())
			if err != nil {
				t.Error(err)
				return
			}
			s, err := ln.Accept()
			if err != nil {
				t.Error(err)
				return
			}
			s.Close()
			c.Close()
		}
	})
	for range 20 {
		for line := range strings.Lines(pfRun(t, "files")) {
			if !slices.Contains(pfInherited, strings.TrimSpace(line)) { // given to us already
				t.Errorf("a child has inherited %s", line)
			}
		}
	}
	close(stop)
	wg.Wait()
}

// pfChildFiles prints the sockets and rings that it was started with.
func pfChildFiles([]string) error {
	for _, f := range pfInherited {
		if strings.HasPrefix(f, "socket:") || strings.Contains(f, "io_uring") {
			fmt.Println(f)
		}
	}
	return nil
}

// pfTaken sends a byte and waits until the peer's kernel has it, and so has queued the
// conn for Accept, or has ended it. A reset on another processor may overtake what
// completes the handshake, and then nobody ever accepts the conn.
func pfTaken(t *testing.T, c *net.TCPConn) {
	t.Helper()
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	rc, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	testenv.Poll(t, "acknowledged", func() (done bool) {
		_ = rc.Control(func(fd uintptr) {
			info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
			done = err == nil && (info.Unacked == 0 || info.State != unix.BPF_TCP_ESTABLISHED)
		})
		return done
	})
}

// A conn that its peer has reset before anybody accepted it still says whose
// it was.
func TestPitfall25EarlyResetPeer(t *testing.T) {
	const conns = 200
	for _, gear := range []quoit.Gear{quoit.GearRing, quoit.GearPoll} {
		t.Run(gear.String(), func(t *testing.T) {
			ln := pfListen(t, enginetest.On(enginetest.New(t, quoit.Config{Gear: gear})))
			peers := make(chan string, conns)
			accepting := testenv.Go(func() error {
				for range conns {
					c, err := ln.Accept()
					if err != nil {
						return err
					}
					peers <- c.RemoteAddr().String()
					c.Close()
				}
				return nil
			})
			want := map[string]bool{}
			for range conns {
				c, err := net.Dial("tcp", ln.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				want[c.LocalAddr().String()] = true
				pfTaken(t, c.(*net.TCPConn))
				c.(*net.TCPConn).SetLinger(0)
				c.Close()
			}
			testenv.Wait(t, accepting, "Accept")
			close(peers)
			for p := range peers {
				if !want[p] {
					t.Errorf("accepted a conn of %s", p)
				}
				delete(want, p)
			}
		})
	}
}
