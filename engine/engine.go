//go:build linux

package engine

import (
	"context"
	"errors"
	"maps"
	"runtime/pprof"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quoit-go/quoit/engine/internal/gear"
)

// Comparisons is gear.Comparisons.
func Comparisons() (n uint64, ringCost float64) { return gear.Comparisons() }

// ErrClosed is returned for a new conn or listener on a closed engine.
var ErrClosed = errors.New("engine: closed")

// Engine is one ring with its thread, as long as there are conns: see retired. Its
// conns outlive the ring: see loop.die.
type Engine struct {
	cfg     Options
	k       kernel
	loop    *loop // of the thread, or of the next one
	stopped chan struct{}
	rested  chan struct{}
	dead    atomic.Pointer[error] // why there is no ring: what it died of, or ErrClosed
	closing atomic.Bool           // set before control is posted
	control node                  // posted to stop the loop

	_       gear.Pad             // what callers and the engine write all the time
	posted  atomic.Pointer[node] // stack of nodes with wants
	asleep  atomic.Bool          // the thread waits, or is about to, or has retired
	retired atomic.Bool          // there is neither thread nor ring; set before asleep
	rousing atomic.Int32         // callers that may be writing to the eventfd

	// Callers that were woken, and those of them that have run since. While
	// awaited is not 0 the engine sleeps until they are as many, or until one of
	// them runs after restEnd.
	_                     gear.Pad
	readied, ran, awaited atomic.Uint64
	restEnd               atomic.Int64

	_    gear.Pad
	gear gear.Box
	busy atomic.Bool // somebody is in busyRead
	late lateness    // of Reads behind Writes that were to leave with them

	mu        sync.Mutex
	closed    bool
	conns     list
	load      atomic.Int64 // conns.n
	listeners map[member]struct{}

	// See beginLinger.
	idle    atomic.Bool   // there has been no conn for lingerTime, and is none
	stays   time.Duration // lingerTime, but for tests
	linger  timer         // fires lingerTime after the last conn; made by the first beginLinger
	lingers bool          // linger runs
	needed  bool          // there was a conn meanwhile

	_      gear.Pad // what the engine counts, and now and then a caller
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
	e.TellLoad() // which has the thread end if nobody comes
	return e, nil
}

// setupAndRun is what a thread does. ready, of the first one, is told whether there is
// a ring.
func (e *Engine) setupAndRun(ready chan<- error) {
	pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels("quoit", "ring")))
	switch {
	case ready != nil:
		err := e.setup()
		if ready <- err; err == nil {
			e.loop.run(nil)
		}
	case e.closing.Load():
		e.loop.stopping = true
		e.loop.run(nil)
	default:
		e.loop.run(e.k.Open())
	}
}

func (e *Engine) setup() error {
	k, err := newOSKernel(e.cfg)
	if err != nil {
		return err
	}
	if err := k.Open(); err != nil {
		k.CloseWake()
		return err
	}
	e.attach(k)
	e.gear.Join(e.stopped, e.cfg.Compared) // a comparison may shift it from here on
	return nil
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

// rouse wakes a sleeping engine, once, or begins another thread.
func (e *Engine) rouse() {
	e.rousing.Add(1)
	if e.asleep.CompareAndSwap(true, false) {
		if e.retired.CompareAndSwap(true, false) { // of two who come here one
			outside(func() { go e.setupAndRun(nil) })
		} else {
			_ = e.k.Wake() // an eventfd whose reader is awake in time cannot fail
		}
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
	if e.linger != nil {
		e.linger.Stop()
	}
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
	if e.conns.n > 0 {
		e.needed = true
		e.idle.Store(false)
	} else {
		e.beginLinger()
	}
	if e.cfg.Loaded != nil {
		e.cfg.Loaded(e.conns.n)
	}
}

// lingerTime is how long the thread stays without a conn. Who looks for goroutines
// left behind mostly waits for longer.
const lingerTime = 100 * time.Millisecond

// beginLinger has the thread retire if no conn comes. Called with mu held.
func (e *Engine) beginLinger() {
	switch {
	case e.closed || e.lingers:
	case e.retired.Load():
		e.idle.Store(true) // for a thread that begins for something else
	default:
		e.lingers, e.needed = true, false
		e.linger = setTimer(e.k, e.linger, e.stays, e.endLinger)
	}
}

func (e *Engine) endLinger() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lingers = false
	switch {
	case e.closed || e.conns.n > 0:
	case e.needed:
		e.beginLinger()
	default:
		e.idle.Store(true)
		if e.asleep.Load() && !e.retired.Load() {
			e.rouse()
		}
	}
}

// TellLoad takes note of the open conns as they are, and tells Options.Loaded.
func (e *Engine) TellLoad() {
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
	s := Snapshot{Counters: snapshot(&e.stats), GearChanges: e.gear.Changes()}
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
