package quoit

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quoit-go/quoit/internal/forced"
)

// ErrEngineClosed is returned by Listen and Dial on an [Engine] after Close.
var ErrEngineClosed = errors.New("quoit: engine closed")

// UnsupportedError reports that io_uring cannot serve here.
// errors.Is(err, errors.ErrUnsupported) holds for it.
type UnsupportedError struct {
	Feature   string // what is missing
	MinKernel string // first kernel that has it, "" if not a matter of age
	Err       error  // what the kernel said, may be nil
}

func (e *UnsupportedError) Error() string {
	s := "quoit: " + e.Feature + " not available"
	if e.MinKernel != "" {
		s += " (needs Linux " + e.MinKernel + ")"
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *UnsupportedError) Unwrap() error { return e.Err }

// Is makes every UnsupportedError an errors.ErrUnsupported.
func (e *UnsupportedError) Is(target error) bool { return target == errors.ErrUnsupported }

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
// available the engine is served by package net, unless cfg.Require is set.
// It fails with a [*ConfigError] or an [*UnsupportedError] only.
func New(cfg *Config) (*Engine, error) {
	c, err := cfg.resolved()
	if err != nil {
		return nil, err
	}
	t, err := startTransport(&c)
	if err == nil {
		return &Engine{t: t}, nil
	}
	if _, ok := errors.AsType[*ConfigError](err); ok {
		return nil, err
	}
	if c.Require {
		return nil, unsupported(err)
	}
	return &Engine{reason: unsupported(err)}, nil
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
		panic(fmt.Sprintf("quoit: default engine: %v", err)) // New(nil) cannot fail
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

func init() { // for the tests in other directories
	forced.Shift = func(e any, hot bool) { e.(*Engine).t.shift(hot) }
	forced.AdoptConn = func(e any, c net.Conn) (net.Conn, error) { return e.(*Engine).adoptConn(c) }
	forced.AdoptListener = func(e any, ln net.Listener) (net.Listener, error) { return e.(*Engine).adoptListener(ln) }
}

// Listen is [ListenConfig.Listen] with the defaults on this engine.
func (e *Engine) Listen(network, address string) (net.Listener, error) {
	lc := ListenConfig{Engine: e}
	return lc.Listen(context.Background(), network, address)
}

// Dialer returns a Dialer with default options on this engine.
func (e *Engine) Dialer() *Dialer { return &Dialer{Engine: e} }

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

// Stats is a snapshot of an engine's counters. Counters only grow.
type Stats struct {
	Transport string // "io_uring" or "net"
	Reason    error  // why Transport is "net"; nil on io_uring

	Conns     int    // open now
	Listeners int    // open now
	Accepted  uint64 // conns accepted
	Adopted   uint64 // conns dialed or taken over from a file

	Enters      uint64 // io_uring_enter calls
	Completions uint64 // completion queue entries handled
	Wakeups     uint64 // times another thread woke a ring's
	Overflows   uint64 // times a completion queue overflowed

	Gear        Gear          // now: GearPoll, or GearRing if any ring is in it
	GearChanges uint64        // between the two
	RingTime    time.Duration // spent in GearRing, all rings added
	PollTime    time.Duration // spent in GearPoll

	// Of all engines of the process in GearAuto together.
	Comparisons uint64  // of the two gears under load
	RingCost    float64 // CPU time for the same work in GearRing by that in GearPoll, in the last of them

	BytesReceived  uint64 // by Reads that had waited on a ring
	DirectReads    uint64 // Reads that had not
	WritesBatched  uint64 // Writes that a ring sent for their callers
	Batches        uint64 // sends it did that with
	SendsParked    uint64 // Writes that met a full socket and waited
	AcceptFailures uint64 // accepts that failed: descriptor limits and the like

	Rings    []RingStats     // each ring's share of the above
	Steering []SteeringStats // of each open listener that has one
}

// RingStats is one ring's part of [Stats]; fields of the same name mean the
// same.
type RingStats struct {
	CPU  int  // its thread is pinned to, or -1
	Held bool // much busier than others, and gets no new conns where there is a choice

	Conns                                   int
	Accepted, Adopted                       uint64
	Enters, Completions, Wakeups, Overflows uint64
	Gear                                    Gear
	GearChanges                             uint64
	RingTime, PollTime                      time.Duration
	BytesReceived, DirectReads              uint64
	WritesBatched, Batches, SendsParked     uint64
}

// SteeringStats is what the [Steering] of a listener did.
type SteeringStats struct {
	Addr      net.Addr // of the listener
	Policy    string   // what is in force
	Err       error    // why that is not what was asked for; nil if it is
	Decisions []uint64 // connections sent to each ring; nil if not known
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
