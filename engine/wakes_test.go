//go:build linux

package engine

import (
	"slices"
	"testing"
	"time"
)

// parkedConns are conns whose Reads are parked on the ring, which has told of
// something.
func parkedConns(e *Engine, n int) []*Conn {
	conns := make([]*Conn, n)
	for i := range conns {
		c := &Conn{e: e, tcp: true, poll: pollTold}
		c.r.init(c, &c.mu, false)
		c.r.park(waitRing)
		conns[i] = c
	}
	return conns
}

// A turn wakes no more callers than a run queue takes, those first who came
// first, and goes on with the others as soon as some have run.
func TestWakesBounded(t *testing.T) {
	e := &Engine{k: &stillClock{now: int64(time.Hour)}, rested: make(chan struct{}, 1)}
	l := &loop{e: e, k: e.k, wakes: wakes{most: 8}}
	conns := parkedConns(e, 100)
	token := newToken()
	for i, c := range conns {
		l.wakes.push(wakeup{read: c})
		if i == 49 {
			l.wakes.push(wakeup{ch: token})
		}
	}
	var order []int
	for woken := 0; woken < 101; {
		l.wakeNext()
		for i, c := range conns {
			select {
			case <-c.r.ch:
				order = append(order, i)
				woken++
			default:
			}
		}
		select {
		case <-token:
			order = append(order, -1)
			woken++
		default:
		}
		before := e.readied.Load() - e.ran.Load()
		if before > 8 || before == 0 {
			t.Fatalf("%d woken and not run, %d in all", before, woken)
		}
		l.wakeNext() // a turn in which nobody has run wakes one: it must not stop for ever
		if after := e.readied.Load() - e.ran.Load(); before == 8 && after != 9 && !l.wakes.empty() {
			t.Fatalf("%d woken and not run, %d before", after, before)
		}
		for e.ran.Load() < e.readied.Load() {
			e.hasRun()
		}
	}
	if len(order) != 101 || !l.wakes.empty() {
		t.Errorf("%d woken, left: %v", len(order), !l.wakes.empty())
	}
	at := slices.Index(order, -1)
	if at < 45 || at > 58 {
		t.Errorf("who came 51st was the %dth to be woken", at+1)
	}
}
