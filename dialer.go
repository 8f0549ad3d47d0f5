package quoit

import (
	"context"
	"net"
	"os"
	"syscall"
	"time"
)

// Dial connects to the address, as [net.Dial] does, on the default engine.
func Dial(network, address string) (net.Conn, error) {
	var d Dialer
	return d.Dial(network, address)
}

// DialTimeout is Dial with a timeout, as [net.DialTimeout].
func DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	d := Dialer{Timeout: timeout}
	return d.Dial(network, address)
}

// DialContext is Dial with a context, as [net.Dialer.DialContext]. Once
// connected, the context no longer matters to the conn.
func DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	var d Dialer
	return d.DialContext(ctx, network, address)
}

// FileConn returns a conn on a copy of f, as [net.FileConn] does. f stays the
// caller's to close.
func FileConn(f *os.File) (net.Conn, error) {
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	return Default().adoptConn(c)
}

// Dialer is [net.Dialer] with an engine for the conns it makes. Package net
// resolves names, races addresses (RFC 6555), runs the hooks and keeps the
// deadlines; the connect itself is a request on the ring, except with a
// LocalAddr, where it is package net's.
type Dialer struct {
	// As in [net.Dialer].
	Timeout         time.Duration
	Deadline        time.Time
	LocalAddr       net.Addr
	FallbackDelay   time.Duration
	KeepAlive       time.Duration
	KeepAliveConfig net.KeepAliveConfig
	Resolver        *net.Resolver
	Control         func(network, address string, c syscall.RawConn) error
	ControlContext  func(ctx context.Context, network, address string, c syscall.RawConn) error

	// Engine serves the conns. Nil: [Default].
	Engine *Engine

	mptcp *bool
}

// MultipathTCP reports whether MPTCP will be used, as in [net.Dialer].
func (d *Dialer) MultipathTCP() bool {
	nd := d.netDialer()
	return nd.MultipathTCP()
}

// SetMultipathTCP overrides the system's default, as in [net.Dialer].
func (d *Dialer) SetMultipathTCP(use bool) { d.mptcp = &use }

func (d *Dialer) netDialer() net.Dialer {
	nd := net.Dialer{
		Timeout: d.Timeout, Deadline: d.Deadline, LocalAddr: d.LocalAddr,
		FallbackDelay: d.FallbackDelay, KeepAlive: d.KeepAlive, KeepAliveConfig: d.KeepAliveConfig,
		Resolver: d.Resolver, Control: d.Control, ControlContext: d.ControlContext,
	}
	if d.mptcp != nil {
		nd.SetMultipathTCP(*d.mptcp)
	}
	return nd
}

// Dial is DialContext with the background context.
func (d *Dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

// DialContext connects to the address. Errors are those of
// [net.Dialer.DialContext], or a *net.OpError around [ErrEngineClosed].
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	nd := d.netDialer()
	if !ours(network) {
		return nd.DialContext(ctx, network, address)
	}
	e := engineOr(d.Engine)
	if e.closed.Load() {
		return nil, &net.OpError{Op: "dial", Net: network, Err: ErrEngineClosed}
	}
	if e.t == nil {
		return nd.DialContext(ctx, network, address)
	}
	if nd.LocalAddr == nil {
		nd.ControlContext = d.connectOnRing(e.t)
	}
	c, err := nd.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return e.t.conn(network, c, d.Control != nil || d.ControlContext != nil)
}

// connectOnRing returns a hook that connects the socket by a request on the
// ring. Package net calls it last before its own connect(2), which then finds
// EISCONN and takes that for success. It cannot be used with a LocalAddr:
// net binds between the hook and the connect.
func (d *Dialer) connectOnRing(t *transport) func(context.Context, string, string, syscall.RawConn) error {
	return func(ctx context.Context, network, address string, rc syscall.RawConn) error {
		if d.ControlContext != nil {
			if err := d.ControlContext(ctx, network, address, rc); err != nil {
				return err
			}
		} else if d.Control != nil {
			if err := d.Control(network, address, rc); err != nil {
				return err
			}
		}
		return t.connect(ctx, network, address, rc)
	}
}

func (e *Engine) adoptConn(c net.Conn) (net.Conn, error) {
	if e.t == nil {
		return c, nil
	}
	return e.t.conn(c.LocalAddr().Network(), c, true)
}
