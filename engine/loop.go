//go:build linux

package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"runtime/trace"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/engine/internal/lent"
	"github.com/quoit-go/quoit/engine/ring"
)

// loop is the engine's thread: it alone touches the ring and the slots.
type loop struct {
	e     *Engine
	k     kernel
	slots slots

	taken    *node // posted, and not yet served
	wake     node  // the multishot poll on the eventfd
	backlog  []ring.CQE
	batch    [128]ring.CQE
	todo     []ring.CQE // completions taken from the ring and not yet handled
	woke     bool       // a goroutine, since the last rest
	wakes    wakes
	relays   relays
	yielded  uint64 // e.readied at the last yield
	stopping bool
	failed   bool // the ring has: nothing more goes into it
	turns    uint64
	handled  uint64 // completions in this turn
}

// run is the life of a thread: until it retires, which a later one follows, the
// engine is closed, or the ring fails.
//
// There is a ring, or err is why there is none, or the engine is closed.
func (l *loop) run(err error) {
	if err == nil && !l.stopping {
		err = l.work()
		if err == nil && !l.stopping {
			l.retire()
			return
		}
	}
	defer close(l.e.stopped)
	if err != nil {
		l.die(err)
	}
	for !l.wakes.empty() {
		l.wakeNext()
	}
	l.release()
	if died := l.e.cfg.Died; err != nil && died != nil {
		go died(err)
	}
}

// work turns until the thread is to end, or returns what the ring died of.
func (l *loop) work() error {
	err := l.guard(func() {
		for l.armWake(); !l.done() && !l.isIdle(); {
			l.turn()
		}
	})
	if err != nil {
		l.failed = true
		if _, ok := errors.AsType[*PanicError](err); !ok {
			_ = l.guard(l.reap) // what has completed need not be lost
		}
	}
	return err
}

// isIdle reports whether nobody has needed the thread for a while.
func (l *loop) isIdle() bool {
	e := l.e
	return e.idle.Load() && e.posted.Load() == nil && l.wakes.empty() && l.slots.used() <= 1
}

// retire ends the ring and the thread. The caller that needs them next begins new ones
// (Engine.rouse), to which the loop then belongs.
func (l *loop) retire() {
	e := l.e
	l.wake.flying = 0 // it ends with the ring
	l.slots.vacate(&l.wake)
	l.todo, l.backlog, l.relays.space = nil, nil, nil
	l.k.Close()
	e.retired.Store(true)
	e.asleep.Store(true) // as in enter
	if e.posted.Load() != nil {
		e.rouse()
	}
}

// guard runs f and turns a panic, or the fatal errors that turn raises, into
// an error, so that the conns go on instead of hanging.
func (l *loop) guard(f func()) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case fatal:
			err = r.err
		default:
			err = &PanicError{Value: r, Stack: debug.Stack()}
		}
	}()
	f()
	return nil
}

// PanicError is what a ring died of whose thread panicked.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("engine: panic: %v", e.Value) }

// fatal carries an error of the ring that it cannot go on after.
type fatal struct{ err error }

// turn is one round: completions out, requests in, then submit, and wait if
// there is nothing else to do.
func (l *loop) turn() {
	l.turns++
	region := trace.StartRegion(context.Background(), "quoit turn")
	l.reap()
	// One enter runs the work of some twenty completions (since Linux 6.13).
	for range moreReaps {
		if !l.k.TaskrunPending() {
			break
		}
		l.submit()
		l.reap()
	}
	l.relay()
	l.wakeNext()
	l.e.gear.Turned()
	if l.woke {
		l.woke = false
		l.rest()
	}
	l.serve()
	l.relay() // those that are new
	l.e.turns.add(l.handled)
	l.handled = 0
	region.End()
	l.enter()
}

// moreReaps bounds what a turn completes: its callers wait for all of it.
const moreReaps = 16

const restTime = 400 * time.Microsecond

// rest sleeps until the callers that were woken have run, and those that they wake
// meanwhile, which are in the same queue. Otherwise they would sit in this thread's run
// queue until the scheduler notices that the thread is blocked in the kernel; and what
// they ask for is submitted together. Gosched would do neither for certain: every 61st
// time the scheduler looks first at goroutines that have yielded.
//
// Busy CPUs must not delay what the first caller wrote: from restTime on, the next
// caller that runs ends the rest.
func (l *loop) rest() {
	e := l.e
	n := e.readied.Load()
	e.restEnd.Store(l.k.Now() + int64(restTime))
	e.awaited.Store(n)
	if e.ran.Load() >= n && e.awaited.CompareAndSwap(n, 0) {
		runtime.Gosched() // for those that are not counted
		return
	}
	<-e.rested
}

// hasRun counts a caller that had been readied, and wakes the engine after the
// last, or when it has rested for too long.
func (e *Engine) hasRun() {
	n := e.ran.Add(1)
	want := e.awaited.Load()
	if want == 0 || n < e.readied.Load() && e.k.Now() < e.restEnd.Load() {
		return
	}
	if e.awaited.CompareAndSwap(want, 0) {
		e.rested <- struct{}{}
	}
}

// serve takes all posted nodes, oldest first.
func (l *loop) serve() {
	for n := l.e.posted.Swap(nil); n != nil; {
		n, n.next, l.taken = n.next, l.taken, n
	}
	for l.taken != nil {
		n := l.taken
		l.taken, n.next = n.next, nil
		w := n.wants.take()
		if n == &l.e.control {
			l.stop()
		} else {
			n.h.serve(l, w)
		}
	}
}

// stop begins the end: conns and listeners are closed already, so what is
// left in flight is the engine's own.
func (l *loop) stop() {
	l.stopping = true
	for i := range l.slots.all {
		if n := l.slots.all[i].n; n != nil && n != &l.wake {
			l.cancelAll(n)
		}
	}
}

// reap handles all completions there are, in their order.
func (l *loop) reap() {
	n := uint64(0)
	for ; l.fetch(); n++ {
		cqe := &l.todo[0]
		l.todo = l.todo[1:]
		l.complete(cqe)
	}
	if n > 0 {
		l.handled += n
		l.e.stats.Completions.Add(n)
	}
}

// fetch reports whether there is a completion to handle, todo[0].
func (l *loop) fetch() bool {
	if len(l.todo) == 0 {
		l.todo, l.backlog = l.backlog, nil // what was set aside is older
	}
	if len(l.todo) == 0 {
		l.todo = l.batch[:l.k.PeekCQEs(l.batch[:])]
	}
	return len(l.todo) > 0
}

// completed reports whether there is a completion that no reap has seen.
func (l *loop) completed() bool { return len(l.backlog) > 0 || l.k.CQReady() > 0 }

func (l *loop) complete(cqe *ring.CQE) {
	n := l.slots.find(cqe.UserData)
	k := kind(cqe.UserData.Kind())
	if n == nil {
		lent.Assert(k&cancelOf != 0, "the completion of a request whose slot was given back")
		return
	}
	if k&cancelOf != 0 {
		// Only failed cancels report. A target that was between two states
		// is not found, and has not ended either: ask again.
		if k &^= cancelOf; n.isFlying(k) && cqe.Res != 0 {
			l.cancel(n, k)
		}
		return
	}
	if !n.isFlying(k) {
		return
	}
	if !cqe.More() || !k.repeats() {
		n.flying &^= 1 << k
	}
	if n == &l.wake {
		l.e.stats.Wakeups.Add(1)
		if !cqe.More() && !l.stopping {
			l.armWake()
		}
		return
	}
	n.h.complete(l, k, cqe)
}

// relays are those that a turn has taken. Engine thread only.
type relays struct {
	taken  []relayer
	parked int    // so many of taken are, again
	space  []byte // what they receive; made by the first
	flying int    // sends in the ring
}

// relayer is a relay. Its methods are for one that was taken.
type relayer interface {
	forward(l *loop, space []byte) int
	sent(res int32)
	park(l *loop)
	giveBack()
}

const (
	// relayStep bounds what a relay receives in a turn, in bytes.
	relayStep  = 64 << 10
	relaySpace = 4 * relayStep
)

// relay forwards for the relays that were taken: it receives what they have, and
// sends that in one enter. Sends of their own would each wake a peer, and lose the
// processor to it. Those that are taken meanwhile have the next turn.
func (l *loop) relay() {
	t := &l.relays
	if len(t.taken) > 0 && t.space == nil {
		t.space = make([]byte, relaySpace)
		lent.Poison(t.space)
	}
	for end := len(t.taken); t.parked < end; {
		lent.Check("a relay's memory", t.space)
		n, used := t.parked, 0
		for ; n < end && len(t.space)-used >= relayStep; n++ {
			used += t.taken[n].forward(l, t.space[used:])
		}
		for t.flying > 0 {
			l.submit()
			l.reap()
		}
		lent.Poison(t.space[:used])
		l.e.stats.BytesForwarded.Add(uint64(used))
		for ; t.parked < n; t.parked++ { // for die, which may come in the middle of it
			t.taken[t.parked].park(l)
		}
	}
	left := copy(t.taken, t.taken[t.parked:])
	clear(t.taken[left:])
	t.taken, t.parked = t.taken[:left], 0
}

// enter submits, and waits for a completion unless there is something to do.
func (l *loop) enter() {
	e := l.e
	e.gear.Judge()
	if !l.wakes.empty() || len(l.relays.taken) > 0 || e.posted.Load() != nil || l.completed() || l.done() || l.isIdle() {
		if l.k.SQPending() > 0 || l.k.TaskrunPending() || l.k.CQOverflowed() {
			l.submit()
		}
		l.yield()
		return
	}
	if e.cfg.BusyPoll > 0 && e.gear.Hot() && l.spin() {
		return
	}
	// A caller first posts, then looks at asleep; the engine the other way
	// round. One of them sees the other.
	e.asleep.Store(true)
	if e.posted.Load() != nil || l.isIdle() {
		e.asleep.Store(false)
		return
	}
	l.e.stats.Enters.Add(1)
	_, err := l.k.SubmitAndWait(1, -1)
	e.asleep.Store(false)
	l.check(err)
}

// yield lets the goroutines of Go's global run queue run: callers that were in the
// netpoller, and whatever else the process does. A processor that the engine keeps busy
// takes one of them every 61st time only. So an engine that never sleeps goes to the end
// of that queue once it has woken as many as it has conns.
func (l *loop) yield() {
	if n := l.e.readied.Load(); n-l.yielded >= uint64(l.e.Load()) {
		l.yielded = n
		runtime.Gosched()
	}
}

// spin looks for work for as long as Options.BusyPoll allows, and reports
// whether there is some.
func (l *loop) spin() bool {
	if l.k.SQPending() > 0 {
		l.submit()
	}
	until := l.k.Now() + int64(l.e.cfg.BusyPoll)
	for l.e.posted.Load() == nil && l.k.CQReady() == 0 && !l.k.TaskrunPending() {
		if l.k.Now() >= until {
			return false
		}
		runtime.Gosched()
	}
	return true
}

// submit hands queued requests to the kernel and lets it post completions.
func (l *loop) submit() {
	l.e.stats.Enters.Add(1)
	_, err := l.k.SubmitAndGet()
	l.check(err)
}

// check sorts the errors of enter: those that pass, and those that do not.
func (l *loop) check(err error) {
	if l.k.CQOverflowed() {
		l.e.stats.Overflows.Add(1)
	}
	if err == nil {
		return
	}
	for _, passing := range []unix.Errno{unix.EINTR, unix.EAGAIN, unix.EBUSY} {
		if errors.Is(err, passing) {
			return
		}
	}
	panic(fatal{fmt.Errorf("engine: %w", err)})
}

// sqe returns an entry, submitting when the queue is full.
func (l *loop) sqe() *ring.SQE {
	for range 1000 {
		if s := l.k.NextSQE(); s != nil {
			return s
		}
		l.submit()
		// A full completion queue blocks submission: set it aside, for the
		// caller may be in the middle of a completion.
		var aside [64]ring.CQE
		for n := len(aside); n == len(aside); {
			n = l.k.PeekCQEs(aside[:])
			l.backlog = append(l.backlog, aside[:n]...)
		}
	}
	panic(fatal{errors.New("engine: submission queue stays full")})
}

// start puts request k of n in flight. The caller fills the entry that it returns, with
// the user_data that it returns.
func (l *loop) start(n *node, k kind) (*ring.SQE, ring.UserData) {
	l.slots.assign(n)
	n.flying |= 1 << k
	return l.sqe(), l.slots.userData(n, k)
}

// cancel asks for the end of request k of n. Its terminal completion comes
// anyway.
func (l *loop) cancel(n *node, k kind) {
	s := l.sqe()
	s.PrepCancel(l.slots.userData(n, k), 0, l.slots.userData(n, k|cancelOf))
	s.SetFlags(ring.SQECQESkipSuccess)
}

// cancelAll cancels whatever n has in flight.
func (l *loop) cancelAll(n *node) {
	for k := kindNone + 1; k < numKinds; k++ {
		if n.isFlying(k) {
			l.cancel(n, k)
		}
	}
}

func (l *loop) armWake() {
	s, ud := l.start(&l.wake, kindWake)
	// Multishot polls are edge-triggered: every write reports, no one reads.
	s.PrepPollMultishot(l.k.WakeFD(), unix.POLLIN, ud)
}

// done reports whether the engine is stopping and nothing is in the ring but the poll
// on the eventfd, which ends with it.
func (l *loop) done() bool { return l.stopping && l.slots.used() <= 1 }

// die ends the ring, which failed with err. Its conns go on in the netpoller: those that
// have a slot, those that are posted, and those that will be. What was on its way through
// the ring is lost, for nobody can say how far it came.
func (l *loop) die(err error) {
	e := l.e
	e.gear.End()
	e.dead.Store(&err)
	for _, r := range l.relays.taken[l.relays.parked:] {
		r.giveBack()
	}
	for i := range l.slots.all {
		if n := l.slots.all[i].n; n != nil && n != &l.wake {
			n.flying = 0
			n.h.leaveRing()
			n.h.settle(l)
		}
	}
	e.answerPosted()
	e.answer(l.taken)
	e.mu.Lock()
	open := e.conns.all()
	e.mu.Unlock()
	for _, n := range open {
		n.h.leaveRing()
	}
	l.k.Close()
}

// release gives what is left to the kernel.
func (l *loop) release() {
	l.e.gear.End()
	l.e.dead.CompareAndSwap(nil, &ErrClosed)
	l.e.answerPosted()
	l.e.asleep.Store(false)      // whatever it died in
	for l.e.rousing.Load() > 0 { // or it might write to a stranger's descriptor
		runtime.Gosched()
	}
	l.k.Close()
	l.k.CloseWake()
}

// attach makes the loop of an engine on k.
func (e *Engine) attach(k kernel) *loop {
	e.k = k
	e.listeners = map[member]struct{}{}
	e.rested = make(chan struct{}, 1)
	e.stays = lingerTime
	e.gear.Init(e.cfg.Gear, k)
	e.loop = &loop{e: e, k: k, wakes: wakes{most: mostFor(e.cfg.Share, runtime.GOMAXPROCS(0))}}
	return e.loop
}
