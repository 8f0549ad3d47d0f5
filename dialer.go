package quoit

import (
	"context"
	"net"
	"syscall"
	"time"

	"github.com/quoit-go/quoit/internal/takeover"
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

// Dialer is [net.Dialer] with an engine for the conns it makes. Package net
// does the dialing, on the caller's thread: whom the kernel takes a connect for
// depends on the thread's credentials, directories, namespaces and filters.
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

	// UserTimeout bounds how long bytes that were written to a conn may wait for
	// its peer, see [Conn.SetUserTimeout]; networks tcp, tcp4 and tcp6, on Linux
	// only, also where package net serves. MPTCP, whose sockets have no such option,
	// is not used with it. What SetUserTimeout refuses is an error of the dial, as is
	// any on other systems (errors.ErrUnsupported). Default 0: the kernel's.
	UserTimeout time.Duration

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
	if d.UserTimeout != 0 {
		nd.ControlContext = d.hook()
		nd.SetMultipathTCP(false) // package net would fall back to TCP, too
	}
	return nd
}

// hook is ControlContext, or Control, for package net, which sets UserTimeout after
// it.
func (d *Dialer) hook() func(ctx context.Context, network, address string, rc syscall.RawConn) error {
	withContext, control, limit := d.ControlContext, d.Control, d.UserTimeout
	return func(ctx context.Context, network, address string, rc syscall.RawConn) (err error) {
		switch {
		case withContext != nil: // package net does not look at Control then, either
			err = withContext(ctx, network, address, rc)
		case control != nil:
			err = control(network, address, rc)
		}
		if err != nil {
			return err
		}
		return setUserTimeout(network, rc, limit)
	}
}

// Dial is DialContext with the background context.
func (d *Dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

// DialContext connects to the address. Errors are those of
// [net.Dialer.DialContext], or a *net.OpError around [ErrEngineClosed], which
// an engine's Close makes of a dial under way.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	nd := d.netDialer()
	ctx = takeover.Context(ctx)
	if !ours(network) {
		return nd.DialContext(ctx, network, address)
	}
	e := engineOr(d.Engine)
	if e.closed.Load() {
		return nil, &net.OpError{Op: "dial", Net: network, Err: ErrEngineClosed}
	}
	t := e.transport()
	if t == nil {
		return nd.DialContext(ctx, network, address)
	}
	c, err := e.whileOpen(ctx, func(ctx context.Context) (net.Conn, error) {
		return nd.DialContext(ctx, network, address)
	})
	if err != nil {
		return nil, err
	}
	return t.conn(network, c, d.Control != nil || d.ControlContext != nil)
}

// whileOpen calls dial with a context that ends with the engine, too.
func (e *Engine) whileOpen(ctx context.Context, dial func(context.Context) (net.Conn, error)) (net.Conn, error) {
	if ctx == nil {
		panic("nil context") // as in package net
	}
	both, cancel := context.WithCancel(ctx)
	defer cancel()
	defer e.dials.begin(cancel)()
	c, err := dial(both)
	if oe, ok := err.(*net.OpError); ok && both.Err() != nil && ctx.Err() == nil && e.closed.Load() {
		oe.Err = ErrEngineClosed
	}
	return c, err
}

// Dialer returns a Dialer with default options on this engine.
func (e *Engine) Dialer() *Dialer { return &Dialer{Engine: e} }
