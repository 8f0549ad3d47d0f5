package quoit

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/quoit-go/quoit/internal/takeover"
)

// FileListener is [Engine.FileListener] on the default engine.
func FileListener(f *os.File) (net.Listener, error) { return Default().FileListener(f) }

// FileListener returns a listener on a copy of f, as [net.FileListener]
// does. f stays the caller's to close. As with Listen, a network that the ring
// does not serve, such as unixpacket, has package net's listener.
func (e *Engine) FileListener(f *os.File) (net.Listener, error) {
	ln, err := takeover.FileListener(f)
	if err != nil {
		return nil, err
	}
	return engineOr(e).adoptListener(ln)
}

// FileConn is [Engine.FileConn] on the default engine.
func FileConn(f *os.File) (net.Conn, error) { return Default().FileConn(f) }

// FileConn returns a conn on a copy of f, as [net.FileConn] does. f stays the
// caller's to close. As with Dial, a network that the ring does not serve, such
// as udp, has package net's conn.
func (e *Engine) FileConn(f *os.File) (net.Conn, error) {
	c, err := takeover.FileConn(f)
	if err != nil {
		return nil, err
	}
	return engineOr(e).adoptConn(c)
}

// NewListener is [Engine.NewListener] on the default engine.
func NewListener(ln net.Listener) (net.Listener, error) { return Default().NewListener(ln) }

// NewListener takes over ln, a *net.TCPListener or *net.UnixListener. ln belongs
// to the result from then on: do not use it, nor close it. Its deadline is
// lifted. On an error ln has been closed. What a ring has already, a *[Listener],
// also one of another engine, and what the ring does not serve, network
// unixpacket, is returned as it is.
//
// Any other ln is an [*UnsupportedError] that names its type, and stays open and
// the caller's. Among these are wrappers, whatever they offer to get at what they
// wrap: take that over, and wrap the result. All this is so where package net
// serves, too.
func (e *Engine) NewListener(ln net.Listener) (net.Listener, error) {
	if onRing(ln) {
		return ln, nil
	}
	if err := checkListener(ln); err != nil {
		return nil, err
	}
	if !ours(ln.Addr().Network()) {
		return ln, nil
	}
	// net.ErrClosed, and the ring does not look at ln's deadline.
	if err := ln.(interface{ SetDeadline(time.Time) error }).SetDeadline(time.Time{}); err != nil {
		ln.Close()
		return nil, &net.OpError{Op: "listen", Net: ln.Addr().Network(), Addr: ln.Addr(), Err: inner(err)}
	}
	return engineOr(e).adoptListener(ln)
}

// NewConn is [Engine.NewConn] on the default engine.
func NewConn(c net.Conn) (net.Conn, error) { return Default().NewConn(c) }

// NewConn takes over c, a *net.TCPConn or *net.UnixConn, as NewListener does a
// listener: c belongs to the result from then on, do not use it, nor close it. Its
// deadlines are lifted. On an error c has been closed. What a ring has already, a
// *[Conn] or *[UnixConn], and what the ring does not serve, networks unixgram and
// unixpacket, is returned as it is.
//
// Any other c, a *net.UDPConn or a wrapper such as a *tls.Conn, is an
// [*UnsupportedError] that names its type, and stays open and the caller's. All
// this is so where package net serves, too.
func (e *Engine) NewConn(c net.Conn) (net.Conn, error) {
	if onRing(c) {
		return c, nil
	}
	if err := checkConn(c); err != nil {
		return nil, err
	}
	if !ours(c.LocalAddr().Network()) {
		return c, nil
	}
	if err := c.SetDeadline(time.Time{}); err != nil { // net.ErrClosed
		c.Close()
		return nil, dialError(c, inner(err))
	}
	return engineOr(e).adoptConn(c)
}

// inner is what a *net.OpError of package net is about.
func inner(err error) error {
	if oe, ok := err.(*net.OpError); ok {
		return oe.Err
	}
	return err
}

// checkListener returns an *UnsupportedError for what NewListener does not take.
func checkListener(ln net.Listener) error {
	switch nl := ln.(type) {
	case *net.TCPListener:
		return checkSocket("NewListener", ln, nl == nil)
	case *net.UnixListener:
		return checkSocket("NewListener", ln, nl == nil)
	}
	return cannotTake("NewListener", ln, "it is no *net.TCPListener, nor a *net.UnixListener")
}

// checkConn returns an *UnsupportedError for what NewConn does not take.
func checkConn(c net.Conn) error {
	switch nc := c.(type) {
	case *net.TCPConn:
		return checkSocket("NewConn", c, nc == nil)
	case *net.UnixConn:
		return checkSocket("NewConn", c, nc == nil)
	}
	return cannotTake("NewConn", c, "it is no *net.TCPConn, nor a *net.UnixConn")
}

// checkSocket refuses nil pointers and zero values: most methods of package net
// panic for these.
func checkSocket(call string, v any, isNil bool) error {
	if !isNil {
		if _, err := v.(syscall.Conn).SyscallConn(); err == nil {
			return nil
		}
	}
	return cannotTake(call, v, "it has no socket")
}

func cannotTake(call string, v any, why string) error {
	return &UnsupportedError{Feature: call, Type: fmt.Sprintf("%T", v), Err: errors.New(why)}
}

func (e *Engine) adoptListener(ln net.Listener) (net.Listener, error) {
	if e.closed.Load() && streamListener(ln) {
		ln.Close()
		return nil, &net.OpError{Op: "listen", Net: ln.Addr().Network(), Addr: ln.Addr(), Err: ErrEngineClosed}
	}
	t := e.transport()
	if t == nil {
		return ln, nil
	}
	return t.adopt(ln)
}

func (e *Engine) adoptConn(c net.Conn) (net.Conn, error) {
	network := c.LocalAddr().Network()
	if e.closed.Load() && ours(network) {
		c.Close()
		return nil, dialError(c, ErrEngineClosed)
	}
	t := e.transport()
	if t == nil {
		return c, nil
	}
	return t.conn(network, c, true)
}

func dialError(c net.Conn, err error) error {
	return &net.OpError{Op: "dial", Net: c.LocalAddr().Network(), Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}
