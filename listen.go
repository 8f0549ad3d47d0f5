package quoit

import (
	"context"
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
// does. f stays the caller's to close.
func FileListener(f *os.File) (net.Listener, error) {
	ln, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	return Default().adoptListener(ln)
}

// NewListener takes over ln, which must be a *net.TCPListener or a
// *net.UnixListener of network "unix"; any other is returned as it is. ln
// belongs to the result from then on: do not use it, nor close it. On an
// error ln has been closed.
func NewListener(ln net.Listener) (net.Listener, error) {
	return Default().adoptListener(ln)
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
