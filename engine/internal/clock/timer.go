//go:build linux

package clock

import (
	"math"
	"sync"
)

// Timer is one entry of an engine's Timers. A waiter arms it when it parks
// with a deadline; it is left where it is when the wait ends early or the
// deadline moves on, and looks at the deadline again when it fires. A conn
// whose deadline moves with every request so costs one timer per timeout, not
// per request.
type Timer struct {
	Fire func(now int64) // called by the engine without Timers.mu
	when int64           // guarded by Timers.mu, as is pos
	pos  int             // index in the heap plus one; 0: not armed
}

// Timers is a binary heap by when.
type Timers struct {
	mu    sync.Mutex
	heap  []*Timer
	alarm int64 // when the engine wakes by itself; MaxInt64: never
}

// Arm makes t fire at when or earlier. It reports whether a sleeping engine
// must be woken to see it.
func (ts *Timers) Arm(t *Timer, when int64) (wake bool) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	switch {
	case t.pos == 0:
		ts.heap = append(ts.heap, t)
		t.when, t.pos = when, len(ts.heap)
	case when < t.when:
		t.when = when
	default:
		return false
	}
	ts.up(t.pos - 1)
	return when < ts.alarm
}

// Drop disarms t.
func (ts *Timers) Drop(t *Timer) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if t.pos > 0 {
		ts.remove(t)
	}
}

// Due removes and returns a timer with when <= now, or nil.
func (ts *Timers) Due(now int64) *Timer {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if len(ts.heap) == 0 || ts.heap[0].when > now {
		return nil
	}
	t := ts.heap[0]
	ts.remove(t)
	return t
}

func (ts *Timers) remove(t *Timer) {
	i, last := t.pos-1, len(ts.heap)-1
	t.pos = 0
	moved := ts.heap[last]
	ts.heap[last] = nil
	ts.heap = ts.heap[:last]
	if i < last {
		ts.put(moved, i)
		ts.up(i)
		ts.down(moved.pos - 1)
	}
}

// Next returns when the first timer is due and notes it as the alarm.
func (ts *Timers) Next() int64 {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.alarm = math.MaxInt64
	if len(ts.heap) > 0 {
		ts.alarm = ts.heap[0].when
	}
	return ts.alarm
}

func (ts *Timers) put(t *Timer, i int) {
	ts.heap[i] = t
	t.pos = i + 1
}

func (ts *Timers) up(i int) {
	for t := ts.heap[i]; i > 0; {
		parent := (i - 1) / 2
		if ts.heap[parent].when <= t.when {
			return
		}
		ts.put(ts.heap[parent], i)
		ts.put(t, parent)
		i = parent
	}
}

func (ts *Timers) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(ts.heap) {
			return
		}
		if r := child + 1; r < len(ts.heap) && ts.heap[r].when < ts.heap[child].when {
			child = r
		}
		if ts.heap[i].when <= ts.heap[child].when {
			return
		}
		a, b := ts.heap[i], ts.heap[child]
		ts.put(a, child)
		ts.put(b, i)
		i = child
	}
}
