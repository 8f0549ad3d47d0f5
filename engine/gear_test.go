//go:build linux

package engine

import (
	"testing"
	"time"
)

// gearClock is a kernel that knows the time only.
type gearClock struct {
	kernel
	now int64
	e   *Engine // whose kernel it is
}

func (c *gearClock) Now() int64              { return c.now }
func (c *gearClock) advance(d time.Duration) { c.now += int64(d) }

// calls makes enough of them for a trial, in d.
func (c *gearClock) calls(g *gears, d time.Duration) {
	var mine uint8
	for range trialCalls {
		c.advance(d / trialCalls)
		g.count(c, &mine)
	}
}

// turns makes n turns of the engine in d, with so many receives each.
func (c *gearClock) turns(g *gears, n, receives int, d time.Duration) {
	for range n {
		c.advance(d / time.Duration(n))
		g.turns++
		g.receives += uint64(receives)
		c.e.judge()
	}
}

func newGears(gear Gear) (*gears, *gearClock) {
	c := &gearClock{now: int64(time.Hour)}
	c.e = &Engine{k: c}
	c.e.gears.init(gear, c.now)
	return &c.e.gears, c
}

func TestGearsFixed(t *testing.T) {
	for _, gear := range []Gear{GearRing, GearPoll} {
		g, c := newGears(gear)
		for range 5 {
			c.calls(g, trialRate/10)
			c.turns(g, 100, 0, 10*judgeTime)
		}
		if hot := g.hot.Load(); hot != (gear == GearRing) || g.changes.Load() != 0 {
			t.Errorf("gear %v: hot %v after %d changes", gear, hot, g.changes.Load())
		}
	}
}

func TestGearsTrial(t *testing.T) {
	g, c := newGears(GearAuto)
	for range 5 {
		if c.calls(g, 2*trialRate); g.hot.Load() {
			t.Fatal("hot at a low rate")
		}
	}
	c.calls(g, trialRate/2)
	if !g.hot.Load() {
		t.Fatal("cold at a high rate")
	}
	c.turns(g, 5, 1, warmTime)
	c.turns(g, 10, tryBatch, 2*trialTime)
	c.turns(g, 100, stayBatch, 20*judgeTime)
	if !g.hot.Load() {
		t.Fatal("cold while turns are large")
	}
	g.saved = 1000
	c.turns(g, 20, stayBatch-1, judgeTime)
	if !g.hot.Load() {
		t.Fatal("cold while sends are saved")
	}
	c.turns(g, 20, stayBatch-1, 2*judgeTime)
	if g.hot.Load() {
		t.Fatal("hot while turns are small")
	}
	if ring, poll := g.times(int64(time.Hour), c.now); ring <= 20*judgeTime || poll < 10*trialRate || ring+poll != time.Duration(c.now)-time.Hour {
		t.Errorf("%v in GearRing, %v in GearPoll", ring, poll)
	}
}

// A trial that goes nowhere is over soon.
func TestGearsHopeless(t *testing.T) {
	for _, tt := range []struct {
		receives int
		d        time.Duration // it takes at most
	}{
		{tryBatch/2 - 1, hopeTime},
		{tryBatch - 1, trialTime},
	} {
		g, c := newGears(GearAuto)
		c.calls(g, trialRate/2)
		c.calls(g, trialRate/2)
		c.turns(g, 10, 1, warmTime)
		const step = 100 * time.Microsecond
		for end := c.now + int64(tt.d); c.now < end; {
			if c.turns(g, 1, tt.receives, step); !g.hot.Load() {
				t.Fatalf("%d a turn: over %v early", tt.receives, time.Duration(end-c.now))
			}
		}
		if c.turns(g, 4, tt.receives, 4*step); g.hot.Load() { // the first turn began it
			t.Errorf("%d a turn: still going on", tt.receives)
		}
	}
}

// Trials that fail become rare, and so do those whose success does not last.
// One that lasts makes up for them.
func TestGearsPause(t *testing.T) {
	g, c := newGears(GearAuto)
	pause := func() time.Duration {
		start := c.now
		for !g.hot.Load() {
			c.calls(g, time.Millisecond)
		}
		return time.Duration(c.now - start)
	}
	pause()
	for want := minPause; want < 2*maxPause; want *= 2 {
		c.turns(g, 10, tryBatch-1, 3*trialTime)
		if g.hot.Load() {
			t.Fatal("a trial went well without receives")
		}
		if got, want := pause(), min(want, maxPause); got > want+time.Millisecond || got < want-3*trialTime {
			t.Errorf("pause of %v, want %v", got, want)
		}
	}
	c.turns(g, 10, tryBatch, 3*judgeTime)
	c.turns(g, 10, 1, 3*judgeTime)
	if got := pause(); got < maxPause-5*judgeTime {
		t.Errorf("pause of %v after a success that did not last", got)
	}
	c.turns(g, 100, tryBatch, longTime+3*judgeTime)
	c.turns(g, 10, 1, 3*judgeTime)
	if got := pause(); got > minPause+time.Millisecond {
		t.Errorf("pause of %v after a trial that went well", got)
	}
}
