//go:build linux

package quoit

import (
	"errors"
	"net"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/quoit-go/quoit/engine"
)

func engineConfig(c *Config) engine.Config {
	return engine.Config{
		Entries: c.Entries,
		Gear:    engine.Gear(c.Gear), BusyPoll: c.BusyPoll, // the gears have the same order
		CPU: -1, Share: c.Rings,
	}
}

func asUnsupported(err error) error {
	if a, ok := errors.AsType[*engine.AffinityError](err); ok {
		return &ConfigError{Field: "Affinity", Value: a.CPU, Max: maxCPU, Err: a.Err}
	}
	if m, ok := errors.AsType[*engine.MissingError](err); ok {
		return &UnsupportedError{Feature: m.Feature, MinKernel: m.MinKernel, Err: m.Err}
	}
	return &UnsupportedError{Feature: "io_uring", Err: err}
}

// control returns the hook that gives a socket, before it listens, the options
// that net sets on every conn it accepts. Accepted conns inherit them.
func (t *transport) control(lc *ListenConfig) func(network, address string, rc syscall.RawConn) error {
	return func(network, address string, rc syscall.RawConn) error {
		if lc.Control != nil {
			if err := lc.Control(network, address, rc); err != nil {
				return err
			}
		}
		if network == "unix" {
			return nil
		}
		return rc.Control(func(fd uintptr) { setOptions(int(fd), lc.KeepAlive, lc.KeepAliveConfig) })
	}
}

// listener takes over ln, or returns it where it is not a stream listener of
// package net. Its socket has been through control. foreign says that others
// may reach it.
func (t *transport) listener(network string, ln net.Listener, lc *ListenConfig, foreign bool) (net.Listener, error) {
	if !streamListener(ln) {
		return ln, nil
	}
	l := newListener(network, ln.(netListener), lc)
	fd, err := descriptor(l.nl)
	if err == nil {
		e := t.forListener()
		var place func(int) *engine.Engine
		if len(t.rings) > 1 {
			place = func(int) *engine.Engine { return t.forConn() }
		}
		l.el, err = e.NewListener(fd, network != "unix", foreign, place, l.nl.Close)
	}
	if err != nil {
		l.nl.Close()
		return nil, l.opError("listen", err)
	}
	l.begin()
	return l, nil
}

func newListener(network string, nl netListener, lc *ListenConfig) *Listener {
	l := &Listener{nl: nl, addr: nl.Addr(), network: network}
	if ta, ok := l.addr.(*net.TCPAddr); !ok || !ta.IP.IsUnspecified() && !ta.IP.IsLinkLocalUnicast() && lc.Control == nil {
		l.local = l.addr // unless a transparent proxy's options change that
	}
	l.keepAlive, l.keepAliveConfig = lc.KeepAlive, lc.KeepAliveConfig
	return l
}

// descriptor returns ln's descriptor, which stays ln's.
func descriptor(ln netListener) (fd int, err error) {
	rc, err := ln.SyscallConn()
	if err == nil {
		err = rc.Control(func(f uintptr) { fd = int(f) })
	}
	return fd, err
}

// begin ends the making of a listener that has its engine's.
func (l *Listener) begin() {
	nl := l.nl
	l.cleanup = runtime.AddCleanup(l, func(el *engine.Listener) {
		if u, ok := nl.(*net.UnixListener); ok {
			u.SetUnlinkOnClose(false) // package net's collector leaves the file, too
		}
		el.Close()
	}, l.el)
}

// adopt takes over a listener that has been listening before.
func (t *transport) adopt(ln net.Listener) (net.Listener, error) {
	if !streamListener(ln) {
		return ln, nil
	}
	network := ln.Addr().Network()
	if f, err := ln.(netListener).File(); err == nil {
		network, _, _ = strings.Cut(f.Name(), ":") // "tcp4", where Addr says "tcp"
		f.Close()
	}
	out, err := t.listener(network, ln, &ListenConfig{}, true)
	if err != nil {
		return nil, err
	}
	l := out.(*Listener)
	if network != "unix" {
		l.local = nil
		rc, err := l.nl.SyscallConn()
		if err == nil {
			err = rc.Control(func(fd uintptr) {
				setOptions(int(fd), 0, net.KeepAliveConfig{})
				l.backlog.Store(int64(engine.Backlog(int(fd))))
			})
		}
		if err != nil {
			l.Close()
			return nil, err
		}
	}
	return l, nil
}

// setOptions sets what net sets on an accepted conn, which does not care
// about errors either.
func setOptions(fd int, idle time.Duration, ka net.KeepAliveConfig) {
	_ = setInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	if !ka.Enable && idle >= 0 {
		ka = net.KeepAliveConfig{Enable: true, Idle: idle}
	}
	if ka.Enable {
		_ = setKeepAliveConfig(fd, ka)
	}
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
	return newConn(ec, network, local, remote), nil
}

func probe() Support {
	c, _ := (*Config)(nil).resolved()
	p := engine.Probe(engineConfig(&c))
	s := Support{Kernel: p.Kernel, Err: checkArch(runtime.GOARCH, c.AnyArch)} // as New has it: that first
	if p.Err == nil {
		s.Features = features(p)
	} else if s.Err == nil {
		s.Err = asUnsupported(p.Err)
	}
	s.IOUring = s.Err == nil
	return s
}

var errUntried = errors.New("the ring was not tried there, and Config.AnyArch does not ask for it")

// checkArch refuses an architecture that the ring was not tried on, unless it
// is asked for.
func checkArch(arch string, asked bool) error {
	switch {
	case arch == "amd64", arch == "arm64", asked:
		return nil
	}
	return &UnsupportedError{Feature: "io_uring on linux/" + arch, Err: errUntried}
}
