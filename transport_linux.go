//go:build linux

package quoit

import (
	"net"
	"strings"
	"syscall"

	"github.com/quoit-go/quoit/engine"
)

// control returns the hook that gives a socket, before it listens, the options
// that net sets on every conn it accepts. Accepted conns inherit them, unless the hook
// finds that each needs its own: an MPTCP socket takes those of keep-alive since Linux 6.10,
// and some older ones, only.
func (t *transport) control(lc *ListenConfig) (control func(network, address string, rc syscall.RawConn) error, each *bool) {
	hook, each := lc.hook(), new(bool)
	return func(network, address string, rc syscall.RawConn) error {
		if hook != nil {
			if err := hook(network, address, rc); err != nil {
				return err
			}
		}
		if network == "unix" {
			return nil
		}
		return rc.Control(func(fd uintptr) { *each = !setOptions(int(fd), lc.KeepAlive, lc.KeepAliveConfig) })
	}, each
}

// listener takes over ln, or returns it where it is not a stream listener of
// package net. each is newListener's.
func (t *transport) listener(network string, ln net.Listener, lc *ListenConfig, each bool) (net.Listener, error) {
	if !streamListener(ln) {
		return ln, nil
	}
	l := newListener(network, ln.(netListener), lc, each)
	fd, err := descriptor(l.nl)
	if err == nil {
		e := t.forListener()
		place := func(int) *engine.Engine { return t.forConn() }
		l.el, err = e.NewListener(fd, network != "unix", place, l.nl.Close)
	}
	if err != nil {
		l.nl.Close()
		return nil, l.opError("listen", err)
	}
	l.begin()
	return l, nil
}

// descriptor returns ln's descriptor, which stays ln's.
func descriptor(ln netListener) (fd int, err error) {
	rc, err := ln.SyscallConn()
	if err == nil {
		err = rc.Control(func(f uintptr) { fd = int(f) })
	}
	return fd, err
}

// adopt takes over a listener that has been listening before, and that others may share:
// its options stay, and accepted conns get theirs one by one.
func (t *transport) adopt(ln net.Listener) (net.Listener, error) {
	if !streamListener(ln) {
		return ln, nil
	}
	network := ln.Addr().Network()
	if f, err := ln.(netListener).File(); err == nil {
		network, _, _ = strings.Cut(f.Name(), ":") // "tcp4", where Addr says "tcp"
		f.Close()
	}
	return t.listener(network, ln, &ListenConfig{}, network != "unix")
}

// takeOver takes over a listener that package net has just made with lc, or, if
// lc is nil, of a file.
func (t *transport) takeOver(network string, ln net.Listener, lc *net.ListenConfig) (net.Listener, error) {
	if lc == nil {
		return t.adopt(ln)
	}
	out, err := t.listener(network, ln, &ListenConfig{Control: lc.Control, KeepAlive: lc.KeepAlive, KeepAliveConfig: lc.KeepAliveConfig}, false)
	if err != nil || network == "unix" {
		return out, err
	}
	l := out.(*Listener) // whose socket has not been through control
	rc, err := l.nl.SyscallConn()
	if err == nil {
		err = rc.Control(func(fd uintptr) {
			if !setOptions(int(fd), lc.KeepAlive, lc.KeepAliveConfig) {
				l.setEach()
				return
			}
			waiting, _, _ := engine.Backlog(int(fd))
			l.backlog.Store(int64(waiting))
		})
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// conn takes over c, or returns it where it is not a stream conn of package
// net.
func (t *transport) conn(network string, c net.Conn, foreign bool) (net.Conn, error) {
	_, tcp := c.(*net.TCPConn)
	if u, ok := c.(*net.UnixConn); !tcp && (!ok || u.LocalAddr().Network() != "unix") {
		return c, nil
	}
	local, remote := c.LocalAddr(), c.RemoteAddr()
	ec, err := t.forConn().NewConn(c.(engine.Socket), tcp, foreign)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Source: local, Addr: remote, Err: engineError(err)}
	}
	return newConn(ec, network, remote), nil
}

// onRing reports whether v is a listener or a conn of this package's.
func onRing(v any) bool {
	if l, ok := v.(*Listener); ok {
		return l.ok()
	}
	return ringConn(v) != nil
}

func probe() Support {
	c, err := (*Config)(nil).resolved()
	if err != nil {
		return Support{Err: err}
	}
	s := Support{Kernel: engine.KernelRelease(), Err: refused(&c)} // as New has it: that first
	if s.Err == errOff {
		return s // not even this ring is made
	}
	p := engine.Probe(engineConfig(&c))
	if p.Err == nil {
		s.Features = features(p)
	} else if s.Err == nil {
		s.Err = asUnsupported(p.Err)
	}
	if s.IOUring = s.Err == nil; s.IOUring {
		s.Rings, s.Entries, s.RingBytes = ringsHere(&c), p.Entries, p.Bytes
	}
	return s
}
