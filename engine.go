package quoit

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
)

// Engine owns rings, their threads and the connections on them. All methods
// are safe for concurrent use. An Engine that becomes unreachable keeps all of
// that: only Close ends it.
type Engine struct {
	cfg    Config                    // resolved
	t      atomic.Pointer[transport] // nil: package net serves
	reason atomic.Pointer[error]     // why it is nil, of the last try
	closed atomic.Bool

	tries   tries
	again   backoff // of a set-up that failed for want of memory or descriptors
	retries atomic.Uint64

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
	e := &Engine{cfg: c}
	err = e.start()
	if _, ok := errors.AsType[*ConfigError](err); ok {
		return nil, err
	}
	if err != nil && c.Require {
		return nil, err
	}
	rings := 0
	if err == nil {
		rings = e.t.Load().size()
	}
	c.logStart(rings, err)
	return e, nil
}

// start sets up what serves on io_uring. If that fails package net does.
func (e *Engine) start() error {
	t, err := startTransport(&e.cfg)
	if err == nil {
		e.t.Store(t)
		return nil
	}
	if passes(err) {
		e.again.begin()
	}
	e.reason.Store(&err)
	return err
}

// transport returns what serves on io_uring, or nil. Where that could not be set up
// for want of something that comes and goes, somebody's call has it tried again, in
// the background, once a while is over.
func (e *Engine) transport() *transport {
	t := e.t.Load()
	if t == nil && e.again.claim() {
		e.tries.begin(func() (report func()) {
			e.retries.Add(1)
			if err := e.start(); err != nil {
				return func() { e.cfg.logger().Warn("quoit: package net serves on", "reason", err) }
			}
			rings := e.t.Load().size()
			return func() { e.cfg.logger().Info("quoit: io_uring serves now", "rings", rings) }
		})
	}
	return t
}

var defaultEngine = sync.OnceValue(func() *Engine {
	e, err := New(nil)
	if err != nil {
		e = &Engine{} // does not happen: the defaults are in range
		e.reason.Store(&err)
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
	e.tries.end()
	if t := e.t.Load(); t != nil {
		e.dials.endAll()
		return t.close()
	}
	return nil
}

// Stats returns the engine's counters. It asks the kernel about each open listener, by
// one system call for each and one more for each of its sockets.
func (e *Engine) Stats() Stats {
	s := Stats{Transport: "io_uring", SetupRetries: e.retries.Load()}
	if err := e.reason.Load(); err != nil {
		s.SetupError = *err
	}
	if t := e.t.Load(); t != nil {
		t.stats(&s)
		return s
	}
	s.Transport, s.Reason = "net", s.SetupError
	return s
}
