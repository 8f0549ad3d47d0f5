package quoit

import (
	"context"
	"net"
	"os"
)

// Listen announces on the local address, as [net.Listen] does, on the
// default engine. For tcp, tcp4, tcp6 and unix the listener is a *[Listener]
// unless package net serves; other networks go to net.
func Listen(network, address string) (net.Listener, error) {
	var lc ListenConfig
	return lc.Listen(context.Background(), network, address)
}

// Listen is [ListenConfig.Listen] with the defaults on this engine.
func (e *Engine) Listen(network, address string) (net.Listener, error) {
	lc := ListenConfig{Engine: e}
	return lc.Listen(context.Background(), network, address)
}

// FileListener returns a listener on a copy of f, as [net.FileListener]
// does. f stays the caller's to close. As with Listen, a network that the ring
// does not serve, such as unixpacket, has package net's listener.
func FileListener(f *os.File) (net.Listener, error) {
	ln, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	return Default().adoptListener(ln)
}

// NewListener takes over ln, a *net.TCPListener or *net.UnixListener. ln belongs
// to the result from then on: do not use it, nor close it. On an error ln has
// been closed. What the ring has already, a *[Listener], and what it does not
// serve, network unixpacket, is returned as it is.
//
// Any other ln, a wrapper of one of these included, is a [*ListenerError], and
// stays open and the caller's: wrap the result instead. That is so where
// package net serves, too.
func NewListener(ln net.Listener) (net.Listener, error) {
	return Default().newListener(ln)
}

func (e *Engine) newListener(ln net.Listener) (net.Listener, error) {
	if l, ok := ln.(*Listener); ok && l != nil {
		return l, nil
	}
	if err := checkListener(ln); err != nil {
		return nil, err
	}
	return e.adoptListener(ln)
}

// Listen announces on the local address. ctx is used while resolving it.
// Errors are those of [net.ListenConfig.Listen], or a *net.OpError around
// [ErrEngineClosed] or what Steering's Attach returned.
func (lc *ListenConfig) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	nlc := lc.netConfig()
	if !ours(network) {
		return nlc.Listen(ctx, network, address)
	}
	e := engineOr(lc.Engine)
	if e.closed.Load() {
		return nil, &net.OpError{Op: "listen", Net: network, Err: ErrEngineClosed}
	}
	if e.t == nil {
		return nlc.Listen(ctx, network, address)
	}
	if lc.Steering != nil {
		return e.t.listenSteered(ctx, network, address, lc)
	}
	nlc.Control = e.t.control(lc)
	ln, err := nlc.Listen(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return e.t.listener(network, ln, lc)
}

func (e *Engine) adoptListener(ln net.Listener) (net.Listener, error) {
	if e.closed.Load() && streamListener(ln) {
		ln.Close()
		return nil, &net.OpError{Op: "listen", Net: ln.Addr().Network(), Addr: ln.Addr(), Err: ErrEngineClosed}
	}
	if e.t == nil {
		return ln, nil
	}
	return e.t.adopt(ln)
}
