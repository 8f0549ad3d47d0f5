package quoit

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
)

// Engine owns rings, their threads and the connections on them. All methods
// are safe for concurrent use.
type Engine struct {
	t      *transport // nil: package net serves
	reason error      // why t is nil
	closed atomic.Bool

	dials dials
}

// dials are those under way, so that Close can end them. A context of the
// engine's would not do: it could not be waited for in a testing/synctest
// bubble.
type dials struct {
	mu     sync.Mutex
	ended  bool
	cancel map[*context.CancelFunc]struct{}
}

// begin has cancel called if the engine closes before end is called.
func (d *dials) begin(cancel context.CancelFunc) (end func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended {
		cancel()
		return func() {}
	}
	if d.cancel == nil {
		d.cancel = map[*context.CancelFunc]struct{}{}
	}
	key := &cancel
	d.cancel[key] = struct{}{}
	return func() {
		d.mu.Lock()
		delete(d.cancel, key)
		d.mu.Unlock()
	}
}

func (d *dials) endAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended = true
	for cancel := range d.cancel {
		(*cancel)()
	}
}

// New starts an engine. A nil cfg means the defaults. Where io_uring is not
// available the engine is served by package net, unless cfg.Require is set. The
// environment may say otherwise, see [Config].
// It fails with a [*ConfigError] or an [*UnsupportedError] only.
func New(cfg *Config) (*Engine, error) {
	c, err := cfg.resolved()
	if err != nil {
		return nil, err
	}
	t, err := startTransport(&c)
	if err == nil {
		return (&Engine{t: t}).announced(&c), nil
	}
	if _, ok := errors.AsType[*ConfigError](err); ok {
		return nil, err
	}
	if c.Require {
		return nil, unsupported(err)
	}
	return (&Engine{reason: unsupported(err)}).announced(&c), nil
}

func unsupported(err error) error {
	if ue, ok := errors.AsType[*UnsupportedError](err); ok {
		return ue
	}
	return &UnsupportedError{Feature: "io_uring", Err: err}
}

var defaultEngine = sync.OnceValue(func() *Engine {
	e, err := New(nil)
	if err != nil {
		return &Engine{reason: err} // does not happen: the defaults are in range
	}
	return e
})

// Default returns the engine of the package-level calls, starting it on
// first use. Closing it is allowed and final.
func Default() *Engine { return defaultEngine() }

func engineOr(e *Engine) *Engine {
	if e == nil {
		return Default()
	}
	return e
}

// Close closes every listener and conn of the engine, waits until the kernel
// has let go of them and ends the threads. Further Listen and Dial calls fail
// with [ErrEngineClosed]. A second Close returns ErrEngineClosed. On an
// engine that package net serves, conns and listeners are not tracked: Close
// only refuses new ones.
func (e *Engine) Close() error {
	if e.closed.Swap(true) {
		return ErrEngineClosed
	}
	if e.t != nil {
		e.dials.endAll()
		return e.t.close()
	}
	return nil
}

// Stats returns the engine's counters.
func (e *Engine) Stats() Stats {
	if e.t == nil {
		return Stats{Transport: "net", Reason: e.reason}
	}
	s := Stats{Transport: "io_uring"}
	e.t.stats(&s)
	return s
}
