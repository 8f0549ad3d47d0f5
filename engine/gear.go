//go:build linux

package engine

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/cpu"
)

// Gear says how conns wait.
type Gear int

const (
	GearAuto Gear = iota // GearPoll, and GearRing while that pays
	GearRing             // on the ring: multishot polls, accepts ahead, batched sends
	GearPoll             // in Go's netpoller, as package net's do
)

// The ring pays when one turn of its thread serves many conns, or makes one
// send of many Writes; below that the thread switch that each turn costs is
// dearer than what it saves. Nobody can tell from outside how many there will
// be, so GearAuto tries: at a high rate of calls it shifts up, for a comparison
// if in trialTime a turn brings tryBatch conns something on average, sends saved
// added. Where the ring wins that, the engine stays hot as long as a turn brings
// stayBatch. On two CPUs some 2 were seen at 4 busy conns, 4 at 8, 6 to 11 at 16
// and 16 to 60 at 32 or more.
const (
	trialCalls = 512                   // these many Reads and small Writes
	trialRate  = 25 * time.Millisecond // in less than this make a trial worth it
	warmTime   = 3 * time.Millisecond  // for conns to come over; not counted
	trialTime  = 7 * time.Millisecond
	hopeTime   = time.Millisecond      // after which half of tryBatch must be there
	judgeTime  = 50 * time.Millisecond // between looks at a hot engine
	tryBatch   = 24
	stayBatch  = 8
	minPause   = 50 * time.Millisecond // until the next trial; doubles
	maxPause   = time.Second
	longTime   = time.Second // in GearRing, after which the pause is short again

	callsCounted = 16 // a conn tells the gears about this many calls at once; divides 256
)

// gears decides when an engine is hot. A change does not touch the conns:
// each arms a poll, or waits in the netpoller, when it next has to wait, and an
// armed one is cancelled when it next completes. Conns whose engine is
// to stay hot leave the netpoller, see Conn.leavePoller.
type gears struct {
	hot     atomic.Bool
	fixed   bool
	held    atomic.Bool // a comparison shifts
	favored atomic.Bool // the ring won the last one
	proven  atomic.Bool // hot, and not for a trial

	_      cpu.CacheLinePad // hot is read by every call
	calls  atomic.Uint64    // in GearPoll, by callsCounted
	marked atomic.Int64     // when calls last reached a multiple of trialCalls
	rest   atomic.Int64     // no trial before

	changes atomic.Uint64
	since   atomic.Int64 // of the present gear
	ringed  atomic.Int64 // time in GearRing before that

	// The engine's thread's.
	began    int64 // of what is being judged
	started  int64 // the engine has been hot since
	pause    time.Duration
	turns    uint64 // that brought some
	receives uint64 // conns that had something, turn by turn
	saved    uint64 // sends that batching made unnecessary
}

func (g *gears) init(gear Gear, now int64) {
	g.fixed = gear != GearAuto
	g.pause = minPause
	g.since.Store(now)
	g.hot.Store(gear == GearRing)
}

// Shift changes the gear of an engine in GearAuto at once, until it has cause
// to change it itself. Tests use it.
func (e *Engine) Shift(hot bool) {
	e.gears.shift(hot, e.k.Now())
	e.gears.proven.Store(hot)
}

// leaves reports whether a conn that is armed leaves the netpoller, which costs
// it three system calls: not in a trial that may well fail, and once only after
// each change. left is the epoch in which it last did.
func (g *gears) leaves(left uint32) bool {
	return (g.fixed || g.held.Load() || g.favored.Load() || g.proven.Load()) && left != g.epoch()
}

// count is called for each call in GearPoll that the ring might serve better,
// with a counter that belongs to its caller, and may shift up.
func (g *gears) count(k kernel, calls *uint8) {
	if g.fixed || g.hot.Load() {
		return
	}
	if *calls++; *calls%callsCounted != 0 || g.calls.Add(callsCounted)%trialCalls != 0 {
		return
	}
	now := k.Now()
	if now-g.marked.Swap(now) < int64(trialRate) && now >= g.rest.Load() && !g.held.Load() {
		g.shift(true, now)
	}
}

// epoch is a number above 0 for the time since the last change.
func (g *gears) epoch() uint32 { return uint32(g.changes.Load()) + 1 }

func (g *gears) shift(hot bool, now int64) {
	if !g.hot.CompareAndSwap(!hot, hot) {
		return
	}
	g.changes.Add(1)
	g.proven.Store(false)
	if since := g.since.Swap(now); !hot {
		g.ringed.Add(now - since)
	}
}

// judge looks whether a hot engine should stay so. Engine thread, at the end of
// a turn: one that is busy may never come to wait.
func (e *Engine) judge() {
	g := &e.gears
	if g.fixed || !g.hot.Load() || g.held.Load() {
		return
	}
	now := e.k.Now()
	if since := g.since.Load(); since != g.started {
		g.started, g.began = since, now+int64(warmTime)
		g.turns, g.receives, g.saved = 0, 0, 0
		return
	}
	proven := g.proven.Load()
	window, batch := int64(judgeTime), uint64(stayBatch)
	if !proven {
		window, batch = int64(trialTime), tryBatch
	}
	gain, t := g.receives+g.saved, now-g.began
	enough := gain >= batch*g.turns
	hopeless := !proven && t >= int64(hopeTime) && 2*gain < batch*g.turns
	switch {
	case t < 0:
		g.turns, g.receives, g.saved = 0, 0, 0
		return
	case t < window && !hopeless:
		return
	}
	g.began, g.turns, g.receives, g.saved = now, 0, 0, 0
	if !enough {
		g.rest.Store(now + int64(g.pause))
		g.pause = min(2*g.pause, maxPause)
		g.shift(false, now)
		return
	}
	g.proven.Store(true)
	if now-g.started >= int64(longTime) {
		g.pause = minPause
	}
	if e.compare != nil {
		v, until := e.compare.ask(e)
		g.heed(v, until, now)
	}
}

// heed does as a comparison says.
func (g *gears) heed(v verdict, until, now int64) {
	g.favored.Store(v == ringWins)
	if v == pollWins {
		g.rest.Store(until)
		g.shift(false, now)
	}
}

// decided ends what held g.
func (g *gears) decided(v verdict, until, now int64) {
	if v == ringWins {
		g.shift(true, now)
		g.proven.Store(true)
	}
	g.heed(v, until, now)
	g.held.Store(false)
}

// times returns how long the engine has been in each gear.
func (g *gears) times(start, now int64) (ring, poll time.Duration) {
	d := g.ringed.Load()
	if g.hot.Load() {
		d += now - g.since.Load()
	}
	return time.Duration(d), time.Duration(now - start - d)
}
