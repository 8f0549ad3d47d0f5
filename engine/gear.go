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
	GearRing             // on the ring: multishot receives and accepts, batched sends
	GearPoll             // in Go's netpoller, as package net's do
)

// The ring pays when one turn of its thread serves many conns, or makes one
// send of many Writes; below that the thread switch that each turn costs is
// dearer than what it saves. Nobody can tell from outside how many there will
// be, so GearAuto tries: at a high rate of calls it shifts up, and stays if in
// trialTime a turn brings tryBatch conns something on average, sends saved
// added, and as long as it brings stayBatch. On two CPUs some 2
// were seen at 4 busy conns, 4 at 8, 6 to 11 at 16 and 16 to 60 at 32 or more.
// The ring's tails are shorter from 8 conns on, but only from some 64 on does
// it serve as many requests as the netpoller.
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

	callsCounted = 16 // a conn tells the gears about this many calls at once
)

// gears decides when an engine is hot. A change does not touch the conns:
// each arms a receive, or waits in the netpoller, when it next has to wait,
// and an armed one is cancelled when it next receives.
type gears struct {
	hot   atomic.Bool
	fixed bool

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
	proven   bool  // a trial went well
	pause    time.Duration
	turns    uint64 // that brought receives
	receives uint64 // conns that got some, turn by turn
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
func (e *Engine) Shift(hot bool) { e.gears.shift(hot, e.k.Now()) }

// count is called for each call in GearPoll that the ring might serve better,
// with a counter that belongs to its caller, and may shift up.
func (g *gears) count(k kernel, calls *uint32) {
	if g.fixed || g.hot.Load() {
		return
	}
	if *calls++; *calls%callsCounted != 0 || g.calls.Add(callsCounted)%trialCalls != 0 {
		return
	}
	now := k.Now()
	if now-g.marked.Swap(now) < int64(trialRate) && now >= g.rest.Load() {
		g.shift(true, now)
	}
}

func (g *gears) shift(hot bool, now int64) {
	if !g.hot.CompareAndSwap(!hot, hot) {
		return
	}
	g.changes.Add(1)
	if since := g.since.Swap(now); !hot {
		g.ringed.Add(now - since)
	}
}

// judge looks whether a hot engine should stay so. Engine thread, before it
// waits.
func (g *gears) judge(k kernel) {
	if g.fixed || !g.hot.Load() {
		return
	}
	now := k.Now()
	if since := g.since.Load(); since != g.started {
		g.started, g.began, g.proven = since, now+int64(warmTime), false
		g.turns, g.receives, g.saved = 0, 0, 0
		return
	}
	window, batch := int64(judgeTime), uint64(stayBatch)
	if !g.proven {
		window, batch = int64(trialTime), tryBatch
	}
	gain, t := g.receives+g.saved, now-g.began
	hopeless := !g.proven && t >= int64(hopeTime) && 2*gain < batch*g.turns
	switch {
	case t < 0:
		g.turns, g.receives, g.saved = 0, 0, 0
		return
	case t < window && !hopeless:
		return
	}
	if gain >= batch*g.turns {
		g.proven = true
		if now-g.started >= int64(longTime) {
			g.pause = minPause
		}
	} else {
		g.rest.Store(now + int64(g.pause))
		g.pause = min(2*g.pause, maxPause)
		g.shift(false, now)
	}
	g.began, g.turns, g.receives, g.saved = now, 0, 0, 0
}

// times returns how long the engine has been in each gear.
func (g *gears) times(start, now int64) (ring, poll time.Duration) {
	d := g.ringed.Load()
	if g.hot.Load() {
		d += now - g.since.Load()
	}
	return time.Duration(d), time.Duration(now - start - d)
}
