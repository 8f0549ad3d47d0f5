//go:build linux

package quoit

import (
	"slices"
	"testing"
	"time"
)

func TestWatch(t *testing.T) {
	w := new(watch)
	w.init(4)
	now := time.Unix(1000, 0)
	work := make([]uint64, 4)
	run := func(d time.Duration, rates ...uint64) {
		for range d / lookEvery {
			for i, r := range rates {
				work[i] += r / uint64(time.Second/lookEvery)
			}
			now = now.Add(lookEvery)
			if !w.due(now) || w.due(now) {
				t.Fatal("not due once")
			}
			before := w.heldOnes()
			changed := w.note(now, slices.Clone(work))
			for i, was := range before {
				if slices.Contains(changed, i) != (was != w.isHeld(i)) {
					t.Errorf("ring %d: held %v, then %v; changed: %v", i, was, w.isHeld(i), changed)
				}
			}
		}
	}
	for _, tt := range []struct {
		name  string
		d     time.Duration
		rates []uint64
		held  []bool
	}{
		{"start", time.Second, []uint64{100_000, 100_000, 100_000, 100_000}, []bool{false, false, false, false}},
		{"one is busy", 2 * time.Second, []uint64{100_000, 200_000, 100_000, 100_000}, []bool{false, true, false, false}},
		{"less so", 2 * time.Second, []uint64{100_000, 120_000, 100_000, 100_000}, []bool{false, true, false, false}},
		{"no more", 5 * time.Second, []uint64{100_000, 100_000, 100_000, 100_000}, []bool{false, false, false, false}},
		{"not for a moment", lookEvery, []uint64{100_000, 200_000, 100_000, 100_000}, []bool{false, false, false, false}},
		{"two of four", 5 * time.Second, []uint64{300_000, 300_000, 100_000, 100_000}, []bool{true, true, false, false}},
		{"idle", 10 * time.Second, []uint64{0, 0, 0, 0}, []bool{false, false, false, false}},
		{"uneven, but no load", 10 * time.Second, []uint64{5000, 50, 0, 0}, []bool{false, false, false, false}},
	} {
		if run(tt.d, tt.rates...); !slices.Equal(w.heldOnes(), tt.held) {
			t.Errorf("%s: held %v, want %v (rates %.0f)", tt.name, w.heldOnes(), tt.held, w.rates)
		}
	}
}

func (w *watch) heldOnes() (held []bool) {
	for i := range w.held {
		held = append(held, w.isHeld(i))
	}
	return held
}
