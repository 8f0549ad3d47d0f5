package serve

import (
	"context"
	"fmt"
	"net"
	"runtime"

	"github.com/quoit-go/quoit"
)

// stack is what a server listens and dials with: package net, or one engine of
// quoit.
type stack struct {
	listen func(network, address string) (net.Listener, error)
	dial   func(ctx context.Context, network, address string) (net.Conn, error)
	engine *quoit.Engine // nil: package net
}

func (s Spec) stack() (stack, error) {
	if err := Check(s.Transport, s.Variant); err != nil {
		return stack{}, err
	}
	if s.Transport == "net" {
		return stack{listen: net.Listen, dial: new(net.Dialer).DialContext}, nil
	}
	v, err := parseVariant(s.Variant)
	if err != nil {
		return stack{}, err
	}
	e, err := v.engine()
	if err != nil {
		return stack{}, err
	}
	lc := quoit.ListenConfig{Engine: e}
	if lc.Steering, err = v.steer(); err != nil {
		return stack{}, err
	}
	listen := func(network, address string) (net.Listener, error) {
		return lc.Listen(context.Background(), network, address)
	}
	return stack{listen: listen, dial: e.Dialer().DialContext, engine: e}, nil
}

const address = "127.0.0.1:0"

func (s Spec) listen(st stack) (net.Listener, Ready, error) {
	ready := Ready{Variant: s.Variant, GOMAXPROCS: runtime.GOMAXPROCS(0)}
	ln, err := st.listen("tcp", address)
	if err != nil {
		return nil, ready, err
	}
	ready.Addr = ln.Addr().String()
	if st.engine == nil {
		return ln, ready, nil
	}
	stats := st.engine.Stats()
	if stats.Transport != "io_uring" {
		ready.Fallback = fmt.Sprint(stats.Reason)
	}
	if len(stats.Rings) > 1 {
		ready.Rings, err = tell(func() any { return rings(st.engine) })
	}
	if s.Stats && err == nil {
		ready.Stats, err = tell(func() any { return st.engine.Stats() })
	}
	return ln, ready, err
}
