//go:build linux

package behaviour

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// recAddr records an address's dynamic type and fields.
func (s *scene) recAddr(label string, a net.Addr) {
	switch a := a.(type) {
	case *net.TCPAddr:
		s.rec(label, "TCPAddr ip=%d bytes %s port=%t zone=%q %s", len(a.IP), a.IP, a.Port != 0, a.Zone, a.Network())
	case *net.UnixAddr:
		s.rec(label, "UnixAddr %q %s", a.Name, a.Net)
	default:
		s.rec(label, "%T %v", a, a)
	}
}

func TestBehaviourAddresses(t *testing.T) {
	compareConns(t, "tcp tcp4 tcp6 unix", func(s *scene) {
		l, r := s.conn.LocalAddr(), s.conn.RemoteAddr()
		s.recAddr("local", l)
		s.recAddr("remote", r)
		s.rec("the same each time", "%t %t", l == s.conn.LocalAddr(), r == s.conn.RemoteAddr())
		s.must(s.conn.Close())
		s.recAddr("local closed", s.conn.LocalAddr())
		s.recAddr("remote closed", s.conn.RemoteAddr())
		s.rec("the same each time", "%t %t", l == s.conn.LocalAddr(), r == s.conn.RemoteAddr())
	})
	compareConns(t, "tcp4 tcp6 unix", func(s *scene) { // first asked for late
		s.must(s.peer.Close())
		s.must(s.conn.Close())
		s.recAddr("local", s.conn.LocalAddr())
		s.recAddr("remote", s.conn.RemoteAddr())
		s.read("Read", 1)
	})
	compareConns(t, "tcp4 tcp6", func(s *scene) { // after a reset
		s.peerReset()
		s.recAddr("local", s.conn.LocalAddr())
		s.recAddr("remote", s.conn.RemoteAddr())
	})
}

// TestBehaviourDualStackAddresses accepts both families on one listener.
func TestBehaviourDualStackAddresses(t *testing.T) {
	compareImpls(t, "tcp", func(s *scene) {
		ln, err := s.impl.plainListen("tcp", ":0")
		s.must(err)
		s.closeLater(ln)
		port := fmt.Sprint(ln.Addr().(*net.TCPAddr).Port)
		for _, host := range []string{"127.0.0.1", "::1"} {
			peer, err := net.Dial("tcp", net.JoinHostPort(host, port))
			s.must(err)
			s.closeLater(peer)
			conn, err := ln.Accept()
			s.must(err)
			s.closeLater(conn)
			s.recAddr(host+" local", conn.LocalAddr())
			s.recAddr(host+" remote", conn.RemoteAddr())
			s.rec(host+" equal", "%t", conn.RemoteAddr().String() == peer.LocalAddr().String())
		}
	})
}

// TestBehaviourZone serves a link-local address, whose form has a zone.
func TestBehaviourZone(t *testing.T) {
	addr := linkLocal(t)
	compareImpls(t, "tcp6", func(s *scene) {
		ln, err := s.impl.plainListen("tcp", net.JoinHostPort(addr, "0"))
		s.must(err)
		s.closeLater(ln)
		s.recAddr("listener", ln.Addr())
		accepted := make(chan net.Conn, 1)
		go func() {
			c, _ := ln.Accept()
			accepted <- c
		}()
		// An MPTCP listener's own address lacks the zone, so it is put in here.
		port := fmt.Sprint(ln.Addr().(*net.TCPAddr).Port)
		c, err := s.impl.plainDial("tcp", net.JoinHostPort(addr, port))
		s.must(err)
		s.closeLater(c)
		s.recAddr("dialed local", c.LocalAddr())
		s.recAddr("dialed remote", c.RemoteAddr())
		a := <-accepted
		s.closeLater(a)
		s.recAddr("accepted local", a.LocalAddr())
		s.recAddr("accepted remote", a.RemoteAddr())
	})
}

// linkLocal returns a link-local address with its zone. A machine without
// one has no interface but the loopback; there is nothing to test then.
func linkLocal(t *testing.T) string {
	t.Helper()
	ifaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range ifaces {
		addrs, _ := i.Addrs()
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok && n.IP.To4() == nil && n.IP.IsLinkLocalUnicast() {
				return n.IP.String() + "%" + i.Name
			}
		}
	}
	t.Skip("no interface has an IPv6 link-local address")
	return ""
}

var options = []struct {
	name       string
	level, opt int
}{
	{"SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE},
	{"SO_REUSEADDR", unix.SOL_SOCKET, unix.SO_REUSEADDR},
	{"SO_REUSEPORT", unix.SOL_SOCKET, unix.SO_REUSEPORT},
	{"SO_BROADCAST", unix.SOL_SOCKET, unix.SO_BROADCAST},
	{"SO_PRIORITY", unix.SOL_SOCKET, unix.SO_PRIORITY},
	{"SO_MARK", unix.SOL_SOCKET, unix.SO_MARK},
	{"SO_PROTOCOL", unix.SOL_SOCKET, unix.SO_PROTOCOL},
	{"TCP_NODELAY", unix.IPPROTO_TCP, unix.TCP_NODELAY},
	{"TCP_KEEPIDLE", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE},
	{"TCP_KEEPINTVL", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL},
	{"TCP_KEEPCNT", unix.IPPROTO_TCP, unix.TCP_KEEPCNT},
	{"TCP_DEFER_ACCEPT", unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT},
	{"TCP_USER_TIMEOUT", unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT},
	{"IP_TOS", unix.IPPROTO_IP, unix.IP_TOS},
	{"IPV6_V6ONLY", unix.IPPROTO_IPV6, unix.IPV6_V6ONLY},
}

// recOptions records the socket options and descriptor flags of c.
func (s *scene) recOptions(label string, c any) {
	s.control(c, func(fd int) {
		for _, o := range options {
			v, err := unix.GetsockoptInt(fd, o.level, o.opt)
			s.rec(label+" "+o.name, "%d %v", v, err)
		}
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		s.rec(label+" CLOEXEC", "%t %v", flags&unix.FD_CLOEXEC != 0, err)
		flags, err = unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		s.rec(label+" NONBLOCK", "%t %v", flags&unix.O_NONBLOCK != 0, err)
	})
}

func setOption(c syscall.RawConn, level, opt, value int) error {
	var err error
	if cerr := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, opt, value) }); cerr != nil {
		return cerr
	}
	return err
}

// TestBehaviourOptions compares the options of conns under every way to
// configure them.
func TestBehaviourOptions(t *testing.T) {
	userTimeout := func(network, address string, c syscall.RawConn) error {
		return setOption(c, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 4321)
	}
	noDelayOff := func(network, address string, c syscall.RawConn) error {
		if err := setOption(c, unix.IPPROTO_TCP, unix.TCP_NODELAY, 0); err != nil {
			return err
		}
		return setOption(c, unix.SOL_SOCKET, unix.SO_PRIORITY, 5)
	}
	keepIdle := func(network, address string, c syscall.RawConn) error {
		return setOption(c, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 77)
	}
	cases := []struct {
		name    string
		d       time.Duration
		cfg     net.KeepAliveConfig
		control func(network, address string, c syscall.RawConn) error
	}{
		{name: "default"},
		{name: "off", d: -1},
		{name: "off by much", d: -time.Hour},
		{name: "30s", d: 30 * time.Second},
		{name: "1ns", d: 1},
		{name: "1500ms", d: 1500 * time.Millisecond},
		{name: "config default", cfg: net.KeepAliveConfig{Enable: true}},
		{name: "config", cfg: net.KeepAliveConfig{Enable: true, Idle: 7 * time.Second, Interval: 3 * time.Second, Count: 5}},
		{name: "config part", cfg: net.KeepAliveConfig{Enable: true, Idle: -1, Interval: 3 * time.Second, Count: -1}},
		{name: "config and period", d: time.Minute, cfg: net.KeepAliveConfig{Enable: true, Idle: 9 * time.Second}},
		{name: "config not enabled", cfg: net.KeepAliveConfig{Idle: 9 * time.Second}},
		{name: "config not enabled, off", d: -1, cfg: net.KeepAliveConfig{Idle: 9 * time.Second}},
		{name: "config too large", cfg: net.KeepAliveConfig{Enable: true, Idle: 40000 * time.Second, Count: 300}},
		{name: "control", control: userTimeout},
		{name: "control against the default", control: noDelayOff},
		{name: "control idle, config part", control: keepIdle, cfg: net.KeepAliveConfig{Enable: true, Idle: -1}},
		{name: "control idle, off", control: keepIdle, d: -1},
	}
	for _, side := range []string{"server", "client"} {
		for _, v := range cases {
			t.Run(side+"/"+v.name, func(t *testing.T) {
				compareImpls(t, "tcp4 tcp6", func(s *scene) {
					s.side = side
					s.conn, s.peer = s.pairWith(
						net.ListenConfig{KeepAlive: v.d, KeepAliveConfig: v.cfg, Control: v.control},
						net.Dialer{KeepAlive: v.d, KeepAliveConfig: v.cfg, Control: v.control})
					s.recOptions("conn", s.conn)
				})
			})
		}
	}
	compareConns(t, "unix", func(s *scene) { s.recOptions("conn", s.conn) })
	compareImpls(t, "tcp tcp4 tcp6 unix", func(s *scene) { s.recOptions("listener", s.listen()) })
}

// TestBehaviourSetOptions changes options by the conn's own methods.
func TestBehaviourSetOptions(t *testing.T) {
	compareConns(t, "tcp4 tcp6", func(s *scene) {
		c := s.tcp()
		s.err("SetNoDelay", c.SetNoDelay(false))
		s.err("SetKeepAlive", c.SetKeepAlive(false))
		s.err("SetKeepAlivePeriod", c.SetKeepAlivePeriod(90*time.Second))
		s.recOptions("first", c)
		for i, cfg := range []net.KeepAliveConfig{
			{Enable: true, Idle: 11 * time.Second, Interval: 5 * time.Second, Count: 4},
			{Enable: false},
			{Enable: true, Idle: -1, Interval: -1, Count: -1},
			{Enable: true, Idle: 999999 * time.Second},
			{Enable: true, Count: 1000},
		} {
			s.err("SetKeepAliveConfig", c.SetKeepAliveConfig(cfg))
			s.recOptions(fmt.Sprint("config ", i), c)
		}
		s.err("SetKeepAlivePeriod tiny", c.SetKeepAlivePeriod(1))
		s.err("SetKeepAlivePeriod huge", c.SetKeepAlivePeriod(1<<62))
		s.err("SetKeepAlivePeriod negative", c.SetKeepAlivePeriod(-1))
		s.err("SetNoDelay", c.SetNoDelay(true))
		s.recOptions("last", c)
	})
	compareConns(t, allStreams, func(s *scene) {
		for _, n := range []int{8192, 0, -1, 1 << 30} {
			s.err(fmt.Sprint("SetReadBuffer ", n), s.stream().SetReadBuffer(n))
			s.err(fmt.Sprint("SetWriteBuffer ", n), s.stream().SetWriteBuffer(n))
			s.control(s.conn, func(fd int) {
				r, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
				s.rec("SO_RCVBUF", "%d %v", r, err)
				w, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF)
				s.rec("SO_SNDBUF", "%d %v", w, err)
			})
		}
	})
	compareConns(t, "tcp4", func(s *scene) {
		for _, sec := range []int{0, 5, -1} {
			s.err("SetLinger", s.tcp().SetLinger(sec))
			s.control(s.conn, func(fd int) {
				v, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_LINGER)
				s.rec("SO_LINGER", "%d %v", v, err)
			})
		}
	})
}

// TestBehaviourFileOptions: a copy of the socket changes none of its options.
func TestBehaviourFileOptions(t *testing.T) {
	for _, side := range []string{"server", "client"} {
		t.Run(side, func(t *testing.T) {
			compareImpls(t, "tcp4 tcp6", func(s *scene) {
				s.side = side
				s.conn, s.peer = s.pairWith(net.ListenConfig{KeepAlive: -1}, net.Dialer{KeepAlive: -1})
				s.must(s.tcp().SetNoDelay(false))
				f := s.fileOf(s.conn)
				s.recOptions("file", f)
				s.recOptions("conn", s.conn)
				again, err := s.impl.fileConn(f) // which does set some
				s.must(err)
				s.closeLater(again)
				s.recOptions("conn of the file", again)
			})
		})
	}
}

// TestBehaviourTakenOverOptions: what a listener's socket has set, for others that have
// it as well, it has afterwards.
func TestBehaviourTakenOverOptions(t *testing.T) {
	compareImpls(t, "tcp4 tcp6", func(s *scene) {
		ln := s.listenNet()
		s.control(ln, func(fd int) {
			s.must(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 0))
			s.must(unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 0))
			s.must(unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 77))
		})
		over, err := s.impl.fileListener(s.fileOf(ln))
		s.must(err)
		s.closeLater(over)
		s.recOptions("shared socket", ln)
		for i := range 3 {
			s.dialPlain(ln)
			c, err := over.Accept()
			s.must(err)
			s.closeLater(c)
			s.recOptions(fmt.Sprint("accepted ", i), c)
		}
	})
}

// TestBehaviourCollected drops every reference to a conn or listener.
func TestBehaviourCollected(t *testing.T) {
	compareConns(t, allStreams, func(s *scene) { // unused
		s.forget()
		s.rec("peer", "%s", s.awaitEnd())
	})
	compareConns(t, allStreams, func(s *scene) { // used, with a deadline running
		s.write("Write", "hello")
		s.peerExpect("peer", 5)
		s.peerWrite("there")
		s.readFull("Read", 5)
		s.must(s.conn.SetDeadline(distant()))
		s.forget()
		s.rec("peer", "%s", s.awaitEnd())
	})
	compareConns(t, allStreams, func(s *scene) { // after a Read that waited
		s.must(s.conn.SetReadDeadline(soon()))
		s.read("Read", 5)
		s.forget()
		s.rec("peer", "%s", s.awaitEnd())
	})
	compareConns(t, allStreams, func(s *scene) { // not while a Read is parked
		c := make(chan string, 1)
		go func(conn net.Conn) {
			b := make([]byte, 8)
			n, err := conn.Read(b)
			c <- fmt.Sprintf("%q %v", b[:n], err)
		}(s.conn)
		s.forget()
		for range 3 {
			runtime.GC()
		}
		s.still()
		_, err := io.WriteString(s.peer, "alive")
		s.must(err)
		s.rec("Read", "%s", <-c)
	})
	compareImpls(t, "tcp4 tcp6 unix", func(s *scene) { // a listener, used
		address := s.lostListener()
		s.until("listener collected", func() bool {
			runtime.GC()
			c, err := net.Dial(s.network, address)
			if err == nil {
				c.Close()
			}
			return errors.Is(err, syscall.ECONNREFUSED)
		})
	})
}

// forget drops the scene's references to the conn under test.
func (s *scene) forget() {
	s.conn = nil
	clear(s.cleanups)
	s.cleanups = nil
	s.closeLater(s.peer)
}

// awaitEnd collects garbage until the peer sees the conn closed.
func (s *scene) awaitEnd() string {
	for end := time.Now().Add(behaviourLimit / 4); time.Now().Before(end); {
		runtime.GC()
		s.must(s.peer.SetReadDeadline(time.Now().Add(5 * time.Millisecond)))
		n, err := s.peer.Read(make([]byte, 1))
		if ne, ok := err.(net.Error); !ok || !ne.Timeout() {
			return fmt.Sprintf("%d %v", n, err)
		}
	}
	return "never closed"
}

// lostListener accepts one conn on a listener that nobody holds afterwards.
func (s *scene) lostListener() string {
	address := s.freeAddress()
	ln, err := s.impl.listen(context.Background(), net.ListenConfig{}, s.network, address)
	s.must(err)
	peer, err := net.Dial(s.network, ln.Addr().String())
	s.must(err)
	s.closeLater(peer)
	c, err := ln.Accept()
	s.must(err)
	s.closeLater(c)
	s.name(ln.Addr().String(), "$LISTENER")
	if _, err := os.Stat(address); err == nil {
		s.later(func() { os.Remove(address) })
	}
	return ln.Addr().String()
}
