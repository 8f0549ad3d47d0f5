package quoit

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
)

// Listen announces on the local address, as [net.Listen] does, on the
// default engine. For tcp, tcp4, tcp6 and unix the listener is a *[Listener]
// unless package net serves; other networks go to net.
func Listen(network, address string) (net.Listener, error) {
	var lc ListenConfig
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

// ListenerError reports a listener that [NewListener] cannot take over.
// errors.Is(err, errors.ErrUnsupported) holds for it.
type ListenerError struct {
	Type   string // the listener's dynamic type, such as "*tls.listener"
	Reason string // what is wrong with it
}

func (e *ListenerError) Error() string {
	return "quoit: NewListener cannot take over a " + e.Type + ": " + e.Reason
}

// Is makes every ListenerError an errors.ErrUnsupported.
func (e *ListenerError) Is(target error) bool { return target == errors.ErrUnsupported }

// checkListener returns a *ListenerError for what NewListener does not take.
func checkListener(ln net.Listener) error {
	refuse := func(reason string) error { return &ListenerError{fmt.Sprintf("%T", ln), reason} }
	switch ln.(type) {
	case *net.TCPListener, *net.UnixListener:
		if _, err := ln.(syscall.Conn).SyscallConn(); err != nil { // syscall.EINVAL, and Addr would panic
			return refuse("it has no socket")
		}
		return nil
	}
	return refuse("it is no *net.TCPListener, nor a *net.UnixListener")
}

// streamListener reports whether ln is one of package net's that the ring can
// take over.
func streamListener(ln net.Listener) bool {
	return checkListener(ln) == nil && ours(ln.Addr().Network())
}

// ListenConfig is [net.ListenConfig] with an engine to listen on.
type ListenConfig struct {
	// Control, if set, is called after the socket's creation and before its
	// binding, as in [net.ListenConfig].
	Control func(network, address string, c syscall.RawConn) error

	// KeepAlive and KeepAliveConfig are applied to accepted conns, as in
	// [net.ListenConfig].
	KeepAlive       time.Duration
	KeepAliveConfig net.KeepAliveConfig

	// Engine serves the listener and its conns. Nil: [Default].
	Engine *Engine

	// Steering, if set, chooses the ring of each connection; networks tcp,
	// tcp4 and tcp6 only, and never with MPTCP. A value of package
	// engine/steering serves one listener. Where package net serves it is not
	// used.
	//
	// There is a socket for each ring then, so that Control is called for each,
	// and Accept takes from one after the other, not in the order of arrival.
	// SO_REUSEPORT lets other listeners of the same user have the address, too:
	// what is in use is no longer an error.
	Steering Steering

	mptcp *bool
}

// MultipathTCP reports whether MPTCP will be used, as in [net.ListenConfig].
func (lc *ListenConfig) MultipathTCP() bool {
	nlc := lc.netConfig()
	return nlc.MultipathTCP()
}

// SetMultipathTCP overrides the system's default, as in [net.ListenConfig].
func (lc *ListenConfig) SetMultipathTCP(use bool) { lc.mptcp = &use }

func (lc *ListenConfig) netConfig() net.ListenConfig {
	nlc := net.ListenConfig{Control: lc.Control, KeepAlive: lc.KeepAlive, KeepAliveConfig: lc.KeepAliveConfig}
	if lc.mptcp != nil {
		nlc.SetMultipathTCP(*lc.mptcp)
	}
	return nlc
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
	return e.t.listener(network, ln, lc, lc.Control != nil)
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

// ours reports whether network is one that the ring serves.
func ours(network string) bool {
	switch network {
	case "tcp", "tcp4", "tcp6", "unix":
		return true
	}
	return false
}
