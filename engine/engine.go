//go:build linux

package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/cpu"
	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/engine/internal/gear"
)

// Comparisons is gear.Comparisons.
func Comparisons() (n uint64, ringCost float64) { return gear.Comparisons() }

// AffinityError says that an engine's thread cannot run on its Options.CPU.
type AffinityError struct {
	CPU int
	Err error
}

func (e *AffinityError) Error() string { return fmt.Sprintf("engine: CPU %d: %v", e.CPU, e.Err) }
func (e *AffinityError) Unwrap() error { return e.Err }

// ErrClosed is returned for a new conn or listener on a closed engine.
var ErrClosed = errors.New("engine: closed")

// Engine is one ring with its thread. Its conns outlive the ring: see loop.die.
type Engine struct {
	cfg     Options
	k       kernel
	stopped chan struct{}
	rested  chan struct{}
	dead    atomic.Pointer[error] // why there is no ring: what it died of, or ErrClosed
	closing atomic.Bool           // set before control is posted
	control node                  // posted to stop the loop

	_       cpu.CacheLinePad     // what callers and the engine write all the time
	posted  atomic.Pointer[node] // stack of nodes with wants
	asleep  atomic.Bool          // the thread waits, or is about to
	rousing atomic.Int32         // callers that may be writing to the eventfd

	// Callers that were woken, and those of them that have run since. While
	// awaited is not 0 the engine sleeps until they are as many, or until one of
	// them runs after restEnd.
	_                     cpu.CacheLinePad
	readied, ran, awaited atomic.Uint64
	restEnd               atomic.Int64

	_    cpu.CacheLinePad
	gear gear.Box
	busy atomic.Bool // somebody is in busyRead

	mu        sync.Mutex
	closed    bool
	conns     list
	load      atomic.Int64 // conns.n
	listeners map[member]struct{}

	_      cpu.CacheLinePad // what the engine counts, and now and then a caller
	stats  Counters[atomic.Uint64]
	turns  histogram // of completions in a turn
	delays delays    // of what Write accepted: from the return of the first Write of a batch until its send
	woken  delays    // of callers: from their waking until they run; of one in wakesSampled
}

// New starts an engine, with a smaller ring than cfg's where the memory limit
// asks for one. A RLIMIT_NOFILE too small for a ring is a *MissingError.
func New(cfg Options) (*Engine, error) {
	if err := checkFiles(); err != nil {
		return nil, err
	}
	if err := openNetpoller(); err != nil {
		return nil, err
	}
	e := &Engine{cfg: cfg}
	var ready chan error
	outside(func() {
		e.stopped = make(chan struct{})
		ready = make(chan error, 1)
		go e.setupAndRun(ready)
	})
	if err := <-ready; err != nil {
		return nil, err
	}
	return e, nil
}

// setupAndRun runs on the engine's thread, for a ring belongs to the thread
// that sets it up.
func (e *Engine) setupAndRun(ready chan<- error) {
	runtime.LockOSThread() // for life; the thread ends with the goroutine
	pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels("quoit", "ring")))
	l, err := e.setup()
	if err != nil {
		ready <- err
		return
	}
	ready <- nil
	l.run()
}

func (e *Engine) setup() (*loop, error) {
	if n := e.cfg.CPU; n >= 0 {
		var set unix.CPUSet
		set.Set(n)
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			return nil, &AffinityError{n, os.NewSyscallError("sched_setaffinity", err)}
		}
	}
	r, err := setupRing(e.cfg)
	if err != nil {
		return nil, err
	}
	k, err := newOSKernel(r)
	if err != nil {
		r.Close()
		return nil, err
	}
	k.fd = r.FD()
	l := e.attach(k)
	e.gear.Join(e.stopped, e.cfg.Compared) // a comparison may shift it from here on
	return l, nil
}

// post asks the engine for w on behalf of n.
func (e *Engine) post(n *node, w want) {
	e.enqueue(n, w)
	if e.asleep.Load() {
		e.rouse()
	}
	if e.dead.Load() != nil {
		e.answerPosted()
	}
}

// postQuietly is post for requests that can wait until the engine wakes for
// another reason. A closing one may have no other.
func (e *Engine) postQuietly(n *node, w want) {
	e.enqueue(n, w)
	if e.closing.Load() && e.asleep.Load() {
		e.rouse()
	}
	if e.dead.Load() != nil {
		e.answerPosted()
	}
}

func (e *Engine) enqueue(n *node, w want) {
	if !n.wants.add(w) {
		return
	}
	for {
		top := e.posted.Load()
		n.next = top
		if e.posted.CompareAndSwap(top, n) {
			return
		}
	}
}

// rouse wakes a sleeping engine, once.
func (e *Engine) rouse() {
	e.rousing.Add(1)
	if e.asleep.CompareAndSwap(true, false) {
		_ = e.k.Wake() // an eventfd whose reader is awake in time cannot fail
	}
	e.rousing.Add(-1)
}

// answerPosted tells everyone posted that there is no ring.
func (e *Engine) answerPosted() { e.answer(e.posted.Swap(nil)) }

// answer is answerPosted for a list that was taken.
func (e *Engine) answer(n *node) {
	for n != nil {
		next := n.next
		n.next = nil
		n.wants.take()
		if n != &e.control {
			n.h.leaveRing()
		}
		n = next
	}
}

// CloseListeners closes all listeners.
func (e *Engine) CloseListeners() {
	e.mu.Lock()
	listeners := e.allListeners()
	e.mu.Unlock()
	for _, l := range listeners {
		_ = l.Close()
	}
}

// allListeners copies the set of them. Called with mu held.
func (e *Engine) allListeners() []member { return slices.Collect(maps.Keys(e.listeners)) }

// Close closes all listeners and conns, waits until nothing is in flight and
// ends the thread.
func (e *Engine) Close() error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return ErrClosed
	}
	e.closed = true
	conns := e.conns.all()
	e.mu.Unlock()
	e.CloseListeners()
	for _, n := range conns {
		_ = n.h.Close()
	}
	e.closing.Store(true)
	e.post(&e.control, wantEnd)
	<-e.stopped
	return nil
}

// loaded takes note of a change of the open conns. Called with mu held.
func (e *Engine) loaded() {
	e.load.Store(int64(e.conns.n))
	if e.cfg.Loaded != nil {
		e.cfg.Loaded(e.conns.n)
	}
}

// Reload calls Options.Loaded.
func (e *Engine) Reload() {
	e.mu.Lock()
	e.loaded()
	e.mu.Unlock()
}

// Load returns the number of open conns.
func (e *Engine) Load() int { return int(e.load.Load()) }

// Alive reports whether the engine has a ring.
func (e *Engine) Alive() bool { return e.dead.Load() == nil && !e.closing.Load() }

// Death returns what the ring died of, or nil.
func (e *Engine) Death() error {
	if p := e.dead.Load(); p != nil && *p != ErrClosed {
		return *p
	}
	return nil
}

// Work returns a number that grows with every receive. While sends are in
// flight it is less by as many.
func (e *Engine) Work() uint64 {
	c := &e.stats
	direct, _ := e.gear.Reads()
	return direct + c.Completions.Load() - c.Batches.Load() // sends complete, too
}

// Stats may be called at any time.
func (e *Engine) Stats() Snapshot {
	s := Snapshot{Counters: snapshot(&e.stats), Hot: e.Hot(), GearChanges: e.gear.Changes()}
	s.RingTime, s.PollTime = e.gear.Times()
	now := e.k.Now()
	s.TurnSizes = e.turns.snapshot()
	s.WakeDelays, s.WakeDelaySum, _ = e.woken.snapshot(now)
	s.WriteDelays, s.WriteDelaySum, s.WorstWriteDelay = e.delays.snapshot(now)
	s.DirectReads, s.RingReads = e.gear.Reads()
	s.BytesReceived, s.BytesSent = e.gear.Bytes()
	s.BytesReceived += s.BytesForwarded // which are no conn's while they are under way
	s.BytesSent += s.BytesForwarded
	e.mu.Lock()
	s.Conns, s.Listeners = e.conns.n, len(e.listeners)
	e.mu.Unlock()
	return s
}

// Hot reports whether the engine is in GearRing.
func (e *Engine) Hot() bool { return e.gear.Hot() }
