//go:build linux

package engine

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// simClock wakes sleepers in an order that repeats. A bubble's own timers go
// off in a random order where they are due at the same time, on purpose.
type simClock struct {
	mu     sync.Mutex
	alarms []simAlarm  // by time, then in the order they were set
	first  *time.Timer // runs them when the first is due
}

type simAlarm struct {
	at   time.Time
	ring func()
}

func newSimClock() *simClock {
	c := new(simClock)
	c.first = time.AfterFunc(time.Hour, c.run)
	return c
}

func (c *simClock) stop() { c.first.Stop() }

// after has f called, which must not block.
func (c *simClock) after(d time.Duration, f func()) {
	at := time.Now().Add(d)
	c.mu.Lock()
	defer c.mu.Unlock()
	i, _ := slices.BinarySearchFunc(c.alarms, at, func(a simAlarm, t time.Time) int {
		if a.at.After(t) {
			return 1
		}
		return -1
	})
	c.alarms = slices.Insert(c.alarms, i, simAlarm{at, f})
	switch {
	case i > 0:
	case d > 0:
		c.first.Reset(d)
	default: // a timer would wait until everybody sleeps
		go c.run()
	}
}

func (c *simClock) sleep(d time.Duration) {
	if d <= 0 {
		return
	}
	done := make(chan struct{})
	c.after(d, func() { close(done) })
	<-done
}

// simTimer goes off late, as others may, and its function may be late for a Stop.
type simTimer struct {
	k   *simKernel
	f   func()
	set atomic.Int64 // how often, or stopped
}

func (k *simKernel) AfterFunc(d time.Duration, f func()) timer {
	t := &simTimer{k: k, f: f}
	t.Reset(d)
	return t
}

func (t *simTimer) Reset(d time.Duration) bool {
	n := t.set.Add(1)
	t.k.mu.Lock()
	d += t.k.delay()
	t.k.mu.Unlock()
	t.k.clock.after(d, func() {
		if t.set.Load() == n {
			go t.f()
		}
	})
	return true
}

func (t *simTimer) Stop() bool {
	t.set.Add(1)
	return true
}

// run rings what is due.
func (c *simClock) run() {
	for {
		c.mu.Lock()
		if len(c.alarms) == 0 {
			c.mu.Unlock()
			return
		}
		a := c.alarms[0]
		if wait := time.Until(a.at); wait > 0 {
			c.first.Reset(wait)
			c.mu.Unlock()
			return
		}
		c.alarms = c.alarms[1:]
		c.mu.Unlock()
		a.ring()
	}
}
