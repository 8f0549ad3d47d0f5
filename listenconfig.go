package quoit

import (
	"net"
	"syscall"
	"time"
)

// ListenConfig is [net.ListenConfig] with an engine to listen on.
type ListenConfig struct {
	// Control, if set, is called after the socket's creation and before its
	// binding, as in [net.ListenConfig].
	Control func(network, address string, c syscall.RawConn) error

	// KeepAlive and KeepAliveConfig are applied to accepted conns, as in
	// [net.ListenConfig].
	KeepAlive       time.Duration
	KeepAliveConfig net.KeepAliveConfig

	// UserTimeout bounds how long bytes that were written to an accepted conn may
	// wait for its peer, see [Conn.SetUserTimeout]; networks tcp, tcp4 and tcp6, on
	// Linux only, also where package net serves. It is set on the listening socket
	// and inherited. MPTCP, whose sockets have no such option, is not used with it.
	// What SetUserTimeout refuses is an error of Listen, as is any on other systems
	// (errors.ErrUnsupported). Default 0: the kernel's.
	UserTimeout time.Duration

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
	nlc := net.ListenConfig{Control: lc.hook(), KeepAlive: lc.KeepAlive, KeepAliveConfig: lc.KeepAliveConfig}
	if lc.mptcp != nil {
		nlc.SetMultipathTCP(*lc.mptcp)
	}
	if lc.UserTimeout != 0 {
		nlc.SetMultipathTCP(false) // package net would fall back to TCP, too
	}
	return nlc
}

// hook is Control for package net, which sets UserTimeout after it.
func (lc *ListenConfig) hook() func(network, address string, rc syscall.RawConn) error {
	if lc.UserTimeout == 0 {
		return lc.Control
	}
	control, d := lc.Control, lc.UserTimeout
	return func(network, address string, rc syscall.RawConn) error {
		if control != nil {
			if err := control(network, address, rc); err != nil {
				return err
			}
		}
		return setUserTimeout(network, rc, d)
	}
}

// streamListener reports whether ln is one of package net's that the ring can
// take over.
func streamListener(ln net.Listener) bool {
	switch ln.(type) {
	case *net.TCPListener, *net.UnixListener:
		return ours(ln.Addr().Network())
	}
	return false
}

// ours reports whether network is one that the ring serves.
func ours(network string) bool {
	switch network {
	case "tcp", "tcp4", "tcp6", "unix":
		return true
	}
	return false
}
