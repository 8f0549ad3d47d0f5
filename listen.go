package quoit

import (
	"context"
	"net"

	"github.com/quoit-go/quoit/internal/takeover"
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

// Listen announces on the local address. ctx is used while resolving it.
// Errors are those of [net.ListenConfig.Listen], or a *net.OpError around
// [ErrEngineClosed] or what Steering's Attach returned.
func (lc *ListenConfig) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	nlc := lc.netConfig()
	ctx = takeover.Context(ctx)
	if !ours(network) {
		return nlc.Listen(ctx, network, address)
	}
	e := engineOr(lc.Engine)
	if e.closed.Load() {
		return nil, &net.OpError{Op: "listen", Net: network, Err: ErrEngineClosed}
	}
	t := e.transport()
	if t == nil {
		return nlc.Listen(ctx, network, address)
	}
	if lc.Steering != nil {
		return t.listenSteered(ctx, network, address, lc)
	}
	control, each := t.control(lc)
	nlc.Control = control
	ln, err := nlc.Listen(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return t.listener(network, ln, lc, *each)
}
