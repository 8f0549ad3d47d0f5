//go:build linux

// Package gear decides when the ring pays. It is told what an engine does, and
// asks nobody: it knows no engine, no conn and no ring. In Auto it also decides whether
// a Read looks for bytes before it waits.
//
// A Box is an engine's, a Meter some of its conns'. Large turns of the ring's thread
// are a reason to try the ring (Box), and a comparison of all boxes of the process
// in both gears is what decides.
package gear

import (
	"sync/atomic"
	"time"

	"github.com/quoit-go/quoit/engine/internal/clock"
)

// Mode says how conns wait.
type Mode int

const (
	Auto Mode = iota // Poll, and Ring while that pays
	Ring             // on the ring: multishot polls, batched sends
	Poll             // in Go's netpoller, as package net's do
)

// The ring pays when one turn of its thread serves many conns, or makes one
// send of many Writes; below that the thread switch that each turn costs is
// dearer than what it saves. Nobody can tell from outside how many there will
// be, so Auto tries: at a high rate of calls it shifts up, for a comparison
// if in trialTime a turn brings tryBatch conns something on average, sends saved
// added. Where the ring wins that, the engine stays hot as long as a turn brings
// stayBatch. On two CPUs some 2 were seen at 4 busy conns, 4 at 8, 6 to 11 at 16
// and 16 to 60 at 32 or more.
const (
	TrialCalls = 512                   // these many Reads and small Writes
	trialRate  = 25 * time.Millisecond // in less than this make a trial worth it
	warmTime   = 3 * time.Millisecond  // for conns to come over; not counted
	trialTime  = 7 * time.Millisecond
	hopeTime   = time.Millisecond      // after which half of tryBatch must be there
	judgeTime  = 50 * time.Millisecond // between looks at a hot engine
	tryBatch   = 24
	stayBatch  = 8
	minPause   = 50 * time.Millisecond // until the next trial; doubles
	maxPause   = time.Second
	longTime   = time.Second // in Ring, after which the pause is short again

	callsCounted = 16 // a conn tells the gears about this many calls at once; divides 256
)

// Box decides when an engine is hot. A change does not touch the conns:
// each arms a poll, or waits in the netpoller, when it next has to wait, and an
// armed one is cancelled when it next completes.
//
// Methods may be called by any thread, but for those that say so.
type Box struct {
	// Set by Init and Join.
	clock   clock.Source
	fixed   bool            // the gear is not Auto
	compare *comparison     // nil: a trial is proof
	report  func(Report)    // nil: nobody is told
	stop    <-chan struct{} // ends a comparison
	started int64

	// Any thread's.
	hot    atomic.Bool
	held   atomic.Bool // a comparison shifts
	proven atomic.Bool // hot, and not for a trial
	ended  atomic.Bool // never hot again
	looks  look

	_      Pad           // hot is read by every call
	calls  atomic.Uint64 // in Poll, by callsCounted
	marked atomic.Int64  // when calls last reached a multiple of TrialCalls
	rest   atomic.Int64  // no trial before

	changes atomic.Uint64
	since   atomic.Int64 // of the present gear
	ringed  atomic.Int64 // time in Ring before that

	_     Pad
	trial trial

	_     Pad
	tally tally
}

// trial is what a hot engine is judged by. Of its thread.
type trial struct {
	began    int64 // of what is being judged
	hotSince int64
	pause    time.Duration // until the next trial
	turns    uint64        // that brought some
	receives uint64        // conns that had something, turn by turn
	turned   uint64        // receives when the last turn ended
	saved    uint64        // sends that batching made unnecessary
}

// Init sets the gear of a new box. Before anything else.
func (b *Box) Init(g Mode, c clock.Source) {
	b.clock, b.started = c, c.Now()
	b.fixed = g != Auto
	b.trial.pause = minPause
	b.since.Store(b.started)
	b.hot.Store(g == Ring)
}

// Join has a box in Auto compared with the others of the process until End. It is
// called before the engine takes conns. A comparison that the box has asked for ends
// when stop is closed. report, which may be nil, is told what a comparison found under
// load of the box's, on a goroutine of the comparison's.
func (b *Box) Join(stop <-chan struct{}, report func(Report)) {
	if b.fixed {
		return
	}
	b.compare, b.stop, b.report = &process, stop, report
	process.join(b)
}

// End has the box be in Poll for good, and ends what Join began.
func (b *Box) End() {
	if b.compare != nil {
		b.compare.leave(b)
	}
	b.ended.Store(true)
	b.Look(false)
	b.shift(false, b.clock.Now())
}

// Meter returns where another conn counts.
func (b *Box) Meter() *Meter {
	t := &b.tally
	return &t.meters[t.conns.Add(1)%uint32(len(t.meters))]
}

// Reads counts the Reads that did not wait on the ring, and those that did.
func (b *Box) Reads() (direct, ring uint64) {
	t := &b.tally
	for i := range t.meters {
		direct += t.meters[i].directReads.Load()
		ring += t.meters[i].ringReads.Load()
	}
	return direct, ring
}

// Bytes adds up what the meters counted.
func (b *Box) Bytes() (received, sent uint64) {
	t := &b.tally
	for i := range t.meters {
		received += t.meters[i].received.Load()
		sent += t.meters[i].sent.Load()
	}
	return received, sent
}

// Hot reports whether the engine is in Ring.
func (b *Box) Hot() bool { return b.hot.Load() }

// Since is when the present gear began.
func (b *Box) Since() int64 { return b.since.Load() }

// Shift changes the gear of a box in Auto at once, until it has cause to change it
// itself. Tests use it.
func (b *Box) Shift(hot bool) {
	b.shift(hot, b.clock.Now())
	b.proven.Store(hot)
}

// Count is called for each call in Poll that the ring might serve better,
// with a counter that belongs to its caller, and may shift up.
func (b *Box) Count(calls *uint8) {
	if b.fixed || b.hot.Load() {
		return
	}
	if *calls++; *calls%callsCounted != 0 || b.calls.Add(callsCounted)%TrialCalls != 0 {
		return
	}
	now := b.clock.Now()
	if now-b.marked.Swap(now) < int64(trialRate) && now >= b.rest.Load() && !b.held.Load() {
		b.shift(true, now)
	}
}

func (b *Box) shift(hot bool, now int64) {
	if b.ended.Load() && hot || !b.hot.CompareAndSwap(!hot, hot) {
		return
	}
	b.changes.Add(1)
	b.proven.Store(false)
	if since := b.since.Swap(now); !hot {
		b.ringed.Add(now - since)
	}
	if hot && b.ended.Load() { // since it was asked
		b.shift(false, now)
	}
}

// Looks reports whether a Read in Poll should look for LookTime before it waits.
func (b *Box) Looks() bool { return b.looks.on.Load() }

// Look has Reads look, or not, until there is cause to change it. Tests use it, too.
func (b *Box) Look(on bool) { b.looks.on.Store(on) }

// Looked counts a Read that was to look: whether it found something, or did not in all
// of LookTime or had to leave it to another one.
func (b *Box) Looked(found bool) {
	if b.looks.looked(found) && !b.held.Load() {
		b.Look(false)
	}
}

// Received counts a conn that a turn found something for. Engine thread.
func (b *Box) Received() { b.trial.receives++ }

// Saved counts sends that batching made unnecessary. Engine thread.
func (b *Box) Saved(sends uint64) { b.trial.saved += sends }

// Turned counts the end of a turn's completions. Engine thread.
func (b *Box) Turned() {
	if t := &b.trial; t.receives != t.turned {
		t.turns++
		t.turned = t.receives
	}
}

// Judge looks whether a hot engine should stay so. Engine thread, at the end of
// a turn: one that is busy may never come to wait.
func (b *Box) Judge() {
	if b.fixed || !b.hot.Load() || b.held.Load() {
		return
	}
	t, now := &b.trial, b.clock.Now()
	if since := b.since.Load(); since != t.hotSince {
		t.hotSince = since
		t.begin(now + int64(warmTime))
		return
	}
	proven := b.proven.Load()
	window, batch := int64(judgeTime), uint64(stayBatch)
	if !proven {
		window, batch = int64(trialTime), tryBatch
	}
	gain, spent := t.receives+t.saved, now-t.began
	enough := gain >= batch*t.turns
	hopeless := !proven && spent >= int64(hopeTime) && 2*gain < batch*t.turns
	switch {
	case spent < 0:
		t.begin(t.began)
		return
	case spent < window && !hopeless:
		return
	}
	few := !proven && gain <= fewBusy*t.turns
	t.begin(now)
	if !enough {
		b.rest.Store(now + int64(t.pause))
		t.pause = min(2*t.pause, maxPause)
		b.shift(false, now)
		if few {
			b.ask(looking, now)
		}
		return
	}
	b.proven.Store(true)
	if now-t.hotSince >= int64(longTime) {
		t.pause = minPause
	}
	b.ask(ringing, now)
}

// ask has a comparison find out about q, or does as the last one said.
func (b *Box) ask(q question, now int64) {
	if b.compare != nil {
		v, until := b.compare.ask(q, b)
		b.heed(q, v, until, now)
	}
}

// begin starts to count anew.
func (t *trial) begin(now int64) {
	t.began = now
	t.turns, t.receives, t.turned, t.saved = 0, 0, 0, 0
}

// put has q's answer be yes, or no, for now.
func (b *Box) put(q question, yes bool, now int64) {
	if q == looking {
		b.Look(yes)
	} else {
		b.shift(yes, now)
	}
}

// heed does as a comparison says. A box that asks about the ring is in Ring already.
func (b *Box) heed(q question, v verdict, until, now int64) {
	switch {
	case q == looking && v != undecided:
		b.Look(v == yes)
	case q == ringing && v == no:
		b.rest.Store(until)
		b.shift(false, now)
	}
}

// decided ends what held b. Where nothing was found out, all is as it was without q.
func (b *Box) decided(q question, v verdict, until, now int64) {
	switch {
	case q == looking:
		b.Look(v == yes)
	case v == yes:
		b.shift(true, now)
		b.proven.Store(true)
	default:
		b.heed(q, v, until, now)
	}
	b.held.Store(false)
}

// Changes is how many there have been.
func (b *Box) Changes() uint64 { return b.changes.Load() }

// Times returns how long the engine has been in each gear.
func (b *Box) Times() (ring, poll time.Duration) {
	now := b.clock.Now()
	d := b.ringed.Load()
	if b.hot.Load() {
		d += now - b.since.Load()
	}
	return time.Duration(d), time.Duration(now - b.started - d)
}
