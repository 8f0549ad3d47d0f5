//go:build linux

package gear

import (
	"testing"
	"time"
)

// fakeClock is engine time that passes when told to.
type fakeClock struct{ now int64 }

func (c *fakeClock) Now() int64              { return c.now }
func (c *fakeClock) advance(d time.Duration) { c.now += int64(d) }

// calls makes enough of them for a trial, in d.
func (c *fakeClock) calls(b *Box, d time.Duration) {
	var mine uint8
	for range TrialCalls {
		c.advance(d / TrialCalls)
		b.Count(&mine)
	}
}

// turns makes n turns of the engine in d, with so many receives each.
func (c *fakeClock) turns(b *Box, n, receives int, d time.Duration) {
	for range n {
		c.advance(d / time.Duration(n))
		for range receives {
			b.Received()
		}
		b.Turned()
		b.Judge()
	}
}

func newBox(g Mode) (*Box, *fakeClock) {
	c := &fakeClock{now: int64(time.Hour)}
	b := new(Box)
	b.Init(g, c)
	return b, c
}

func TestFixed(t *testing.T) {
	for _, gear := range []Mode{Ring, Poll} {
		b, c := newBox(gear)
		for range 5 {
			c.calls(b, trialRate/10)
			c.turns(b, 100, 0, 10*judgeTime)
		}
		if hot := b.Hot(); hot != (gear == Ring) || b.Changes() != 0 {
			t.Errorf("gear %v: hot %v after %d changes", gear, hot, b.Changes())
		}
	}
}

func TestTrial(t *testing.T) {
	b, c := newBox(Auto)
	for range 5 {
		if c.calls(b, 2*trialRate); b.Hot() {
			t.Fatal("hot at a low rate")
		}
	}
	c.calls(b, trialRate/2)
	if !b.Hot() {
		t.Fatal("cold at a high rate")
	}
	c.turns(b, 5, 1, warmTime)
	c.turns(b, 10, tryBatch, 2*trialTime)
	c.turns(b, 100, stayBatch, 20*judgeTime)
	if !b.Hot() {
		t.Fatal("cold while turns are large")
	}
	b.Saved(1000)
	c.turns(b, 20, stayBatch-1, judgeTime)
	if !b.Hot() {
		t.Fatal("cold while sends are saved")
	}
	c.turns(b, 20, stayBatch-1, 2*judgeTime)
	if b.Hot() {
		t.Fatal("hot while turns are small")
	}
	if ring, poll := b.Times(); ring <= 20*judgeTime || poll < 10*trialRate || ring+poll != time.Duration(c.now)-time.Hour {
		t.Errorf("%v in Ring, %v in Poll", ring, poll)
	}
}

// A trial that goes nowhere is over soon.
func TestHopeless(t *testing.T) {
	for _, tt := range []struct {
		receives int
		d        time.Duration // it takes at most
	}{
		{tryBatch/2 - 1, hopeTime},
		{tryBatch - 1, trialTime},
	} {
		b, c := newBox(Auto)
		c.calls(b, trialRate/2)
		c.calls(b, trialRate/2)
		c.turns(b, 10, 1, warmTime)
		const step = 100 * time.Microsecond
		for end := c.now + int64(tt.d); c.now < end; {
			if c.turns(b, 1, tt.receives, step); !b.Hot() {
				t.Fatalf("%d a turn: over %v early", tt.receives, time.Duration(end-c.now))
			}
		}
		if c.turns(b, 4, tt.receives, 4*step); b.Hot() { // the first turn began it
			t.Errorf("%d a turn: still going on", tt.receives)
		}
	}
}

// Trials that fail become rare, and so do those whose success does not last.
// One that lasts makes up for them.
func TestPause(t *testing.T) {
	b, c := newBox(Auto)
	pause := func() time.Duration {
		start := c.now
		for !b.Hot() {
			c.calls(b, time.Millisecond)
		}
		return time.Duration(c.now - start)
	}
	pause()
	for want := minPause; want < 2*maxPause; want *= 2 {
		c.turns(b, 10, tryBatch-1, 3*trialTime)
		if b.Hot() {
			t.Fatal("a trial went well without receives")
		}
		if got, want := pause(), min(want, maxPause); got > want+time.Millisecond || got < want-3*trialTime {
			t.Errorf("pause of %v, want %v", got, want)
		}
	}
	c.turns(b, 10, tryBatch, 3*judgeTime)
	c.turns(b, 10, 1, 3*judgeTime)
	if got := pause(); got < maxPause-5*judgeTime {
		t.Errorf("pause of %v after a success that did not last", got)
	}
	c.turns(b, 100, tryBatch, longTime+3*judgeTime)
	c.turns(b, 10, 1, 3*judgeTime)
	if got := pause(); got > minPause+time.Millisecond {
		t.Errorf("pause of %v after a trial that went well", got)
	}
}
