//go:build linux

package clock

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestTimers(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		var ts Timers
		all := make([]Timer, 40)
		model := map[*Timer]int64{}
		alarm := int64(0)
		for range 5000 {
			x := &all[rnd.IntN(len(all))]
			switch when := int64(2 + rnd.IntN(100)); rnd.IntN(4) {
			case 0, 1:
				old, armed := model[x]
				moves := !armed || when < old
				if moves {
					model[x] = when
				}
				if wake := ts.Arm(x, when); wake != (moves && when < alarm) {
					t.Fatalf("arm(%d), armed %v for %d, alarm %d: %v", when, armed, old, alarm, wake)
				}
			case 2:
				delete(model, x)
				ts.Drop(x)
			case 3:
				dueModel(t, &ts, model, when)
				alarm = ts.Next()
			}
			checkHeap(t, &ts, model)
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// dueModel takes what is due at now from both.
func dueModel(t *testing.T, ts *Timers, model map[*Timer]int64, now int64) {
	t.Helper()
	last := int64(0)
	for x := ts.Due(now); x != nil; x = ts.Due(now) {
		when, ok := model[x]
		if !ok || when > now || when < last {
			t.Fatalf("due(%d) returned a timer of %d, armed %v, after %d", now, when, ok, last)
		}
		last = when
		delete(model, x)
	}
	for _, when := range model {
		if when <= now {
			t.Fatalf("due(%d) left %d", now, when)
		}
	}
}

func checkHeap(t *testing.T, ts *Timers, model map[*Timer]int64) {
	t.Helper()
	if len(ts.heap) != len(model) {
		t.Fatalf("%d timers, want %d", len(ts.heap), len(model))
	}
	first := int64(math.MaxInt64)
	for i, x := range ts.heap {
		if x.pos != i+1 || x.when != model[x] {
			t.Fatalf("timer %d: pos %d when %d, want %d", i, x.pos, x.when, model[x])
		}
		first = min(first, x.when)
	}
	alarm := ts.alarm
	if next := ts.Next(); next != first {
		t.Fatalf("next %d, want %d", next, first)
	}
	ts.alarm = alarm
}
