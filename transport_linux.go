package quoit

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/quoit-go/quoit/engine"
)

// transport makes listeners and conns on the ring.
type transport struct {
	eng *engine.Engine
}

func engineConfig(c *Config) engine.Config {
	return engine.Config{
		Entries: c.Entries, Buffers: c.Buffers, BufferBytes: c.BufferBytes, ReadWindow: c.ReadWindow,
	}
}

// startTransport fails where package net must serve instead.
func startTransport(c *Config) (*transport, error) {
	e, err := engine.New(engineConfig(c))
	if err != nil {
		return nil, asUnsupported(err)
	}
	return &transport{eng: e}, nil
}

func asUnsupported(err error) error {
	if m, ok := errors.AsType[*engine.MissingError](err); ok {
		return &UnsupportedError{Feature: m.Feature, MinKernel: m.MinKernel, Err: m.Err}
	}
	return &UnsupportedError{Feature: "io_uring", Err: err}
}

func (t *transport) close() error { return engineError(t.eng.Close()) }

func (t *transport) stats(s *Stats) {
	es := t.eng.Stats()
	s.Conns, s.Listeners = es.Conns, es.Listeners
	s.Accepted, s.Adopted, s.AcceptFailures = es.Accepted, es.Adopted, es.AcceptFailures
	s.Enters, s.Completions, s.Wakeups, s.Overflows = es.Enters, es.Completions, es.Wakeups, es.Overflows
	s.BytesReceived, s.DirectReads = es.BytesReceived, es.DirectReads
	s.BuffersOut, s.BufferCount = es.BuffersOut, es.BufferCount
	s.BuffersCopied, s.OutOfBuffers = es.BuffersCopied, es.OutOfBuffers
	s.SendsParked = es.SendsParked
}

// netSocket is what package net's stream conns and listeners have in common.
type netSocket interface {
	syscall.Conn
	Close() error
}

// listener takes over ln, or returns it where it is not a stream listener of
// package net. Socket options set on it are inherited by what it accepts.
func (t *transport) listener(network string, ln net.Listener, lc *ListenConfig) (net.Listener, error) {
	_, tcp := ln.(*net.TCPListener)
	if u, ok := ln.(*net.UnixListener); !tcp && (!ok || u.Addr().Network() != "unix") {
		return ln, nil
	}
	nl := ln.(netListener)
	rc, err := nl.SyscallConn()
	if err != nil {
		return nil, err
	}
	l := &Listener{t: t, nl: nl, addr: ln.Addr(), network: network}
	cerr := rc.Control(func(fd uintptr) {
		if tcp {
			err = inheritOptions(int(fd), lc.KeepAlive, lc.KeepAliveConfig)
		}
		if err == nil {
			// nl keeps fd open until the engine calls nl.Close.
			l.el, err = t.eng.NewListener(int(fd), tcp, nl.Close)
		}
	})
	if err = errors.Join(cerr, err); err != nil {
		nl.Close()
		return nil, &net.OpError{Op: "listen", Net: l.network, Addr: l.addr, Err: engineError(err)}
	}
	if lc.Control != nil {
		l.el.MayLinger()
	}
	l.cleanup = runtime.AddCleanup(l, func(el *engine.Listener) { el.Close() }, l.el)
	return l, nil
}

// inheritOptions sets on a listening socket what net sets on every conn that
// it accepts.
func inheritOptions(fd int, idle time.Duration, ka net.KeepAliveConfig) error {
	if err := setInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1); err != nil {
		return err
	}
	if !ka.Enable && idle >= 0 {
		ka = net.KeepAliveConfig{Enable: true, Idle: idle}
	}
	if !ka.Enable {
		return nil
	}
	return setKeepAliveConfig(fd, ka)
}

// conn takes over c, or returns it where it is not a stream conn of package
// net.
func (t *transport) conn(network string, c net.Conn) (net.Conn, error) {
	_, tcp := c.(*net.TCPConn)
	if u, ok := c.(*net.UnixConn); !tcp && (!ok || u.LocalAddr().Network() != "unix") {
		return c, nil
	}
	defer c.Close()
	q := &Conn{network: network, raddr: c.RemoteAddr()}
	q.laddr.Store(&localAddr{c.LocalAddr()})
	rc, err := c.(netSocket).SyscallConn()
	if err != nil {
		return nil, err
	}
	var dup int
	if cerr := rc.Control(func(fd uintptr) { dup, err = dupCloexec(fd) }); cerr != nil {
		err = cerr
	}
	if err == nil {
		q.ec, err = t.eng.NewConn(dup, tcp)
	}
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: q.network, Source: c.LocalAddr(), Addr: q.raddr, Err: engineError(err)}
	}
	q.collect()
	return q, nil
}

func dupCloexec(fd uintptr) (int, error) {
	dup, _, errno := syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_DUPFD_CLOEXEC, 0)
	if errno != 0 {
		return -1, os.NewSyscallError("fcntl", errno)
	}
	return int(dup), nil
}

// connect connects the socket behind rc to an address that net resolved.
func (t *transport) connect(ctx context.Context, network, address string, rc syscall.RawConn) error {
	sa, err := sockaddr(network, address)
	if err != nil {
		return err
	}
	if sa == nil {
		return nil // net's own connect knows what to do with it
	}
	cerr := rc.Control(func(fd uintptr) { err = t.eng.Connect(ctx, int(fd), sa) })
	if cerr != nil {
		return cerr
	}
	switch err {
	case context.Canceled:
		return canceledError{}
	case context.DeadlineExceeded:
		return timeoutError{}
	}
	return engineError(err)
}

// sockaddr parses what net passes to a Control hook: an address of the socket
// it is about to connect. nil stands for one that only net can read.
func sockaddr(network, address string) (*engine.Sockaddr, error) {
	var sa engine.Sockaddr
	switch network {
	case "tcp4", "tcp6":
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, nil
		}
		ip, err := netip.ParseAddr(host)
		p, perr := strconv.ParseUint(port, 10, 16)
		if err != nil || perr != nil || ip.IsUnspecified() {
			return nil, nil
		}
		zone := 0
		if z := ip.Zone(); z != "" {
			if ifi, err := net.InterfaceByName(z); err == nil {
				zone = ifi.Index
			} else if zone, err = strconv.Atoi(z); err != nil {
				return nil, nil
			}
		}
		sa.SetIP(netip.AddrPortFrom(ip.WithZone(""), uint16(p)), network == "tcp6", uint32(zone))
		return &sa, nil
	case "unix":
		if err := sa.SetUnix(address); err != nil {
			return nil, nil
		}
		return &sa, nil
	}
	return nil, nil
}

// canceledError and timeoutError read and match as net's errors of a dial
// that its context ended.
type canceledError struct{}

func (canceledError) Error() string        { return "operation was canceled" }
func (canceledError) Is(target error) bool { return target == context.Canceled }

type timeoutError struct{}

func (timeoutError) Error() string        { return "i/o timeout" }
func (timeoutError) Timeout() bool        { return true }
func (timeoutError) Temporary() bool      { return true }
func (timeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

func probe() Support {
	c, _ := (*Config)(nil).resolved()
	p := engine.Probe(engineConfig(&c))
	s := Support{IOUring: p.Err == nil, Kernel: p.Kernel}
	if p.Err != nil {
		s.Err = asUnsupported(p.Err)
		return s
	}
	s.Features = features(p)
	return s
}
