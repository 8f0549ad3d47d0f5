//go:build linux

package behaviour

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// listener is what *net.TCPListener and *net.UnixListener have in common.
type listener interface {
	net.Listener
	syscall.Conn
	SetDeadline(time.Time) error
	File() (*os.File, error)
}

func (s *scene) full(ln net.Listener) listener {
	l, ok := ln.(listener)
	if !ok {
		s.fatal(fmt.Sprintf("%T lacks methods of listener", ln))
	}
	return l
}

const allListeners = "tcp tcp4 tcp6 unix"

func (s *scene) doAccept(ln net.Listener) string {
	c, err := ln.Accept()
	if err != nil {
		return fmt.Sprintf("nil=%t %s", c == nil, s.describe(err))
	}
	defer c.Close()
	return "ok"
}

func (s *scene) accept(label string, ln net.Listener) { s.rec(label, "%s", s.doAccept(ln)) }

// dialPlain connects package net's end to ln; it is closed at the end.
func (s *scene) dialPlain(ln net.Listener) net.Conn {
	c, err := net.Dial(s.network, ln.Addr().String())
	s.must(err)
	s.closeLater(c)
	if s.network != "unix" {
		s.name(c.LocalAddr().String(), "$DIALER")
	}
	return c
}

func TestBehaviourListenerClosed(t *testing.T) {
	compareImpls(t, allListeners, func(s *scene) {
		ln := s.full(s.listen())
		addr := ln.Addr()
		rc, err := ln.SyscallConn()
		s.err("SyscallConn", err)
		s.err("Close", ln.Close())
		s.err("second Close", ln.Close())
		s.accept("Accept", ln)
		s.accept("Accept again", ln)
		s.err("SetDeadline", ln.SetDeadline(distant()))
		s.err("SetDeadline past", ln.SetDeadline(pastDeadline))
		s.accept("Accept past deadline", ln)
		f, err := ln.File()
		s.rec("File", "nil=%t %s", f == nil, s.describe(err))
		s.err("Control", rc.Control(func(uintptr) {}))
		s.err("Read", rc.Read(func(uintptr) bool { return true }))
		s.err("Write", rc.Write(func(uintptr) bool { return true }))
		_, err = ln.SyscallConn()
		s.err("SyscallConn", err)
		s.recAddr("Addr", ln.Addr())
		s.rec("Addr the same", "%t", ln.Addr() == addr)
		s.err("third Close", ln.Close())
	})
	compareImpls(t, allListeners, func(s *scene) { // several at once
		ln := s.listen()
		results := make([]string, 8)
		var wg sync.WaitGroup
		for i := range results {
			wg.Go(func() { results[i] = s.describe(ln.Close()) })
		}
		wg.Wait()
		slices.Sort(results)
		s.rec("Closes", "%s", strings.Join(results, "\n"))
	})
}

func TestBehaviourListenerCloseWakes(t *testing.T) {
	compareImpls(t, allListeners, func(s *scene) {
		ln := s.listen()
		var calls []*call
		for range 4 {
			calls = append(calls, s.start(func() string { return s.doAccept(ln) }))
		}
		calls[0].blocked("parked")
		s.err("Close", ln.Close())
		for i, c := range calls {
			c.result(fmt.Sprint("Accept ", i))
		}
	})
	compareImpls(t, allListeners, func(s *scene) { // one Accept each
		ln := s.listen()
		var calls []*call
		for range 3 {
			calls = append(calls, s.start(func() string { return s.doAccept(ln) }))
		}
		calls[0].blocked("parked")
		for range 3 {
			s.dialPlain(ln)
		}
		for i, c := range calls {
			c.result(fmt.Sprint("Accept ", i))
		}
	})
}

func TestBehaviourListenerDeadline(t *testing.T) {
	compareImpls(t, allListeners, func(s *scene) {
		ln := s.full(s.listen())
		s.err("past", ln.SetDeadline(pastDeadline))
		s.accept("Accept past", ln)
		s.dialPlain(ln)
		s.accept("Accept past, one waits", ln)
		s.err("soon", ln.SetDeadline(distant()))
		s.accept("Accept, one waits", ln)
		s.must(ln.SetDeadline(soon()))
		s.accept("Accept soon", ln)
		s.accept("Accept after", ln)
		s.must(ln.SetDeadline(noDeadline))
		for i, to := range []func() time.Time{soon, func() time.Time { return pastDeadline }, time.Now} {
			calls := []*call{
				s.start(func() string { return s.doAccept(ln) }),
				s.start(func() string { return s.doAccept(ln) }),
			}
			calls[0].blocked("parked")
			s.must(ln.SetDeadline(to()))
			calls[0].result(fmt.Sprint("moved ", i))
			calls[1].result(fmt.Sprint("moved ", i))
			s.must(ln.SetDeadline(noDeadline))
		}
		c := s.start(func() string { return s.doAccept(ln) })
		c.blocked("parked")
		s.dialPlain(ln)
		c.result("lives on")
		for _, v := range []time.Time{time.Unix(0, 0), time.Unix(-5, 0), time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)} {
			s.must(ln.SetDeadline(v))
			s.dialPlain(ln)
			s.accept(v.UTC().String(), ln)
		}
	})
	for _, m := range []struct {
		name string
		to   func() time.Time
	}{{"cleared", func() time.Time { return noDeadline }}, {"later", distant}} {
		t.Run(m.name, func(t *testing.T) {
			compareImpls(t, "tcp unix", func(s *scene) {
				ln := s.full(s.listen())
				s.putOff(stall{"Accept", func() string { return s.doAccept(ln) }, ln.SetDeadline, func() { s.dialPlain(ln) }}, m.name, m.to)
			})
		})
	}
}

// TestBehaviourListenerCloseQueue closes a listener with conns that nobody
// has accepted, some of which have sent data, and with one that was.
func TestBehaviourListenerCloseQueue(t *testing.T) {
	for _, accepts := range []int{0, 1} {
		t.Run(fmt.Sprint("accepted ", accepts), func(t *testing.T) {
			compareImpls(t, "tcp4 tcp6 unix", func(s *scene) {
				ln := s.listen()
				var kept, keptPeer net.Conn
				for range accepts {
					keptPeer = s.dialPlain(ln)
					var err error
					kept, err = ln.Accept()
					s.must(err)
					s.closeLater(kept)
				}
				var peers []net.Conn
				for i := range 4 {
					p := s.dialPlain(ln)
					if i%2 == 0 {
						s.must(writeWhole(p, "early"))
						s.arrived(p)
					}
					peers = append(peers, p)
				}
				s.still()
				s.err("Close", ln.Close())
				for i, p := range peers {
					s.peer = p
					s.peerDrain(fmt.Sprint("queued ", i))
				}
				if kept != nil {
					s.must(writeWhole(keptPeer, "ping"))
					s.err("kept Read", readWhole(kept, "ping"))
					s.must(writeWhole(kept, "pong"))
					s.err("kept Write", readWhole(keptPeer, "pong"))
				}
			})
		})
	}
}

// TestBehaviourRelisten takes the address again as soon as it is free.
func TestBehaviourRelisten(t *testing.T) {
	compareImpls(t, "tcp tcp4 tcp6 unix", func(s *scene) {
		ln := s.listenFree()
		address := ln.Addr().String()
		for i := range 5 {
			s.dialPlain(ln) // stays queued
			peer := s.dialPlain(ln)
			c, err := ln.Accept()
			s.must(err)
			s.closeLater(c)
			s.err(fmt.Sprint("Close ", i), ln.Close())
			_, err = net.Dial(s.network, address)
			s.rec("refused", "%t", err != nil)
			next, err := s.impl.plainListen(s.network, address)
			s.err("listen again", err)
			s.closeLater(next)
			ln = next
			peer.Close()
		}
		_, err := s.impl.plainListen(s.network, address)
		s.err("in use", err)
	})
}

func TestBehaviourListenerAddr(t *testing.T) {
	compareImpls(t, "tcp tcp4 tcp6", func(s *scene) {
		for _, a := range []string{":0", "0.0.0.0:0", "[::]:0", "127.0.0.1:0", "[::1]:0", "localhost:0", "", "[::ffff:127.0.0.1]:0"} {
			ln, err := s.impl.plainListen(s.network, a)
			if err != nil {
				s.err(a, err)
				continue
			}
			s.closeLater(ln)
			s.recAddr(a, ln.Addr())
			s.rec(a+" host", "%s", strings.TrimRight(ln.Addr().String(), "0123456789"))
			port := fmt.Sprint(ln.Addr().(*net.TCPAddr).Port)
			for _, host := range []string{"127.0.0.1", "::1"} {
				s.rec(a+" from "+host, "%s", s.reach(ln, net.JoinHostPort(host, port)))
			}
		}
	})
}

// reach dials address and accepts what arrives. Another process, or another
// test, may have a listener on this port with the other family, and may by the
// same mistake have dialed ln.
func (s *scene) reach(ln net.Listener, address string) string {
	peer, err := net.Dial("tcp", address)
	if err != nil {
		return "not reachable"
	}
	defer peer.Close()
	s.must(s.full(ln).SetDeadline(time.Now().Add(behaviourLimit / 4)))
	for {
		c, err := ln.Accept()
		if err != nil {
			return "not reachable"
		}
		defer c.Close()
		if c.RemoteAddr().String() == peer.LocalAddr().String() {
			return "reachable"
		}
	}
}

// TestBehaviourListenerFile duplicates a listener, adopts the duplicate and
// hands over from one to the other as a graceful restart does.
func TestBehaviourListenerFile(t *testing.T) {
	compareImpls(t, "tcp tcp4 tcp6 unix", func(s *scene) {
		ln := s.full(s.listenFree())
		f, err := ln.File()
		s.err("File", err)
		s.closeLater(f)
		s.fileNameOf(f)
		s.dialPlain(ln)
		s.accept("Accept", ln)
		ln2, err := s.impl.fileListener(f)
		s.err("FileListener", err)
		s.closeLater(ln2)
		s.err("file Close", f.Close())
		s.recAddr("Addr", ln2.Addr())
		s.rec("same address", "%t", ln2.Addr().String() == ln.Addr().String())
		if s.network == "unix" { // as a restart has to
			s.keepFile(ln)
		}
		s.err("Close", ln.Close())
		s.dialPlain(ln2)
		s.accept("Accept on the copy", ln2)
		parked := s.start(func() string { return s.doAccept(ln2) })
		parked.blocked("parked")
		s.must(s.full(ln2).SetDeadline(soon()))
		parked.result("parked")
		s.err("Close of the copy", ln2.Close())
		_, err = net.Dial(s.network, ln.Addr().String())
		s.err("gone", err)
		_, err = os.Stat(ln.Addr().String())
		s.rec("socket file left", "%t", err == nil)
	})
}

// keepFile makes Close leave the socket's file.
func (s *scene) keepFile(ln net.Listener) {
	u, ok := ln.(interface{ SetUnlinkOnClose(bool) })
	if !ok {
		s.fatal(fmt.Sprintf("%T lacks SetUnlinkOnClose", ln))
	}
	u.SetUnlinkOnClose(false)
}

func (s *scene) fileNameOf(f *os.File) {
	s.rec("file name", "%s", f.Name())
	s.control(f, func(fd int) {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		s.rec("file CLOEXEC", "%t %v", flags&unix.FD_CLOEXEC != 0, err)
	})
}

// TestBehaviourAdopt wraps a listener of package net's, as httptest makes.
func TestBehaviourAdopt(t *testing.T) {
	compareImpls(t, "tcp4 tcp6 unix", func(s *scene) {
		plain := s.listenNet()
		early := s.dialPlain(plain) // waits in the queue meanwhile
		ln, err := s.impl.adopt(plain)
		s.err("adopt", err)
		s.closeLater(ln)
		s.rec("Addr", "%s", ln.Addr())
		s.conn, err = ln.Accept()
		s.must(err)
		s.closeLater(s.conn)
		s.peer = early
		s.peerWrite("hello")
		s.read("Read", 8)
		s.read2Ways()
		s.recOptions("conn", s.conn)
		s.err("Close", ln.Close())
		s.accept("Accept", ln)
		_, err = os.Stat(ln.Addr().String())
		s.rec("socket file left", "%t", err == nil)
	})
	compareImpls(t, "unixpacket", func(s *scene) { // not ours: comes back as it is
		plain, err := net.Listen("unixpacket", filepath.Join(s.dir, "p"))
		s.must(err)
		s.closeLater(plain)
		ln, err := s.impl.adopt(plain)
		s.rec("adopt", "%T the same=%t %s", ln, ln == plain, s.describe(err))
	})
}

// read2Ways exchanges a message each way.
func (s *scene) read2Ways() {
	s.write("Write", "there")
	s.peerExpect("peer", 5)
	s.peerWrite("and back")
	s.read("Read", 16)
}

// TestBehaviourListenerRaw uses a listener's RawConn.
func TestBehaviourListenerRaw(t *testing.T) {
	compareImpls(t, allListeners, func(s *scene) {
		rc, err := s.full(s.listen()).SyscallConn()
		s.must(err)
		s.err("Control", rc.Control(func(fd uintptr) {
			v, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
			s.rec("SO_ACCEPTCONN", "%d %v", v, err)
		}))
		s.err("Read", rc.Read(func(uintptr) bool { return true }))
		s.err("Write", rc.Write(func(uintptr) bool { return true }))
	})
	compareImpls(t, "tcp4 unix", func(s *scene) { // backlog and listening state
		ln := s.listen()
		s.control(ln, func(fd int) {
			info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
			if err == nil {
				s.rec("backlog", "%d", info.Sacked)
			} else {
				s.rec("backlog", "%v", err)
			}
		})
	})
}

// TestBehaviourEarlyReset resets conns before they are accepted.
func TestBehaviourEarlyReset(t *testing.T) {
	compareImpls(t, "tcp4 tcp6", func(s *scene) {
		ln := s.listen()
		for i := range 3 {
			p := s.dialPlain(ln)
			s.queued(ln, p)
			if i == 1 {
				s.must(writeWhole(p, "data"))
				s.arrived(p)
			}
			s.must(p.(*net.TCPConn).SetLinger(0))
			s.must(p.Close())
		}
		s.still()
		good := s.dialPlain(ln)
		for i := range 3 {
			c, err := ln.Accept()
			s.err(fmt.Sprint("Accept ", i), err)
			s.conn = c
			s.recAddr("local", c.LocalAddr())
			s.recAddr("remote", c.RemoteAddr())
			s.read("Read", 8)
			s.read("Read again", 8)
			s.write("Write", "x")
			s.err("Close", c.Close())
		}
		c, err := ln.Accept()
		s.must(err)
		s.closeLater(c)
		s.rec("the good one", "%t", c.RemoteAddr().String() == good.LocalAddr().String())
	})
}

// TestBehaviourListenContext passes contexts and hooks to Listen.
func TestBehaviourListenContext(t *testing.T) {
	compareImpls(t, "tcp tcp4 tcp6 unix", func(s *scene) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		ln, err := s.impl.listen(ctx, net.ListenConfig{}, s.network, s.anyAddress())
		s.rec("cancelled", "nil=%t %s", ln == nil, s.describe(err))
		if ln != nil {
			s.must(ln.Close())
		}
		var calls []string
		lc := net.ListenConfig{Control: func(network, address string, c syscall.RawConn) error {
			err := c.Control(func(fd uintptr) { calls = append(calls, fmt.Sprint(fd > 2)) })
			calls = append(calls, network, address, s.describe(err))
			return nil
		}}
		ln, err = s.impl.listen(context.Background(), lc, s.network, s.anyAddress())
		s.must(err)
		s.closeLater(ln)
		s.rec("Control", "%q", calls)
		lc.Control = func(string, string, syscall.RawConn) error { return errBroken }
		ln, err = s.impl.listen(context.Background(), lc, s.network, s.anyAddress())
		s.rec("Control fails", "nil=%t %s", ln == nil, s.describe(err))
		lc.Control = func(_, _ string, c syscall.RawConn) error {
			return setOption(c, unix.SOL_SOCKET, unix.SO_RCVBUF, 5000)
		}
		ln, err = s.impl.listen(context.Background(), lc, s.network, s.anyAddress())
		s.must(err)
		s.closeLater(ln)
		s.dialPlain(ln)
		c, err := ln.Accept()
		s.must(err)
		s.closeLater(c)
		s.control(c, func(fd int) {
			v, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
			s.rec("inherited SO_RCVBUF", "%d %v", v, err)
		})
	})
}
