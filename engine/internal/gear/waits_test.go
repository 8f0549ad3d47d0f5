//go:build linux

package gear

import (
	"math"
	"runtime"
	"slices"
	"sync"
	"testing"
)

func TestSlowest(t *testing.T) {
	inf := math.Inf(1)
	for _, tt := range []struct {
		name   string
		counts []uint64
		bounds []float64
		want   float64
		ok     bool
	}{
		{"none", nil, nil, 0, false},
		{"too few", []uint64{minWaits - 1}, []float64{0, 1}, 0, false},
		{"just enough", []uint64{minWaits}, []float64{0, 1}, 0.99, true},
		{"end of the last", []uint64{990, 10}, []float64{0, 1, 2}, 1, true},
		{"in the last", []uint64{980, 20}, []float64{0, 1, 2}, 1.5, true},
		{"in the one before", []uint64{990, 5, 5}, []float64{0, 1, 2, 3}, 1, true},
		{"without a limit", []uint64{900, 100}, []float64{0, 1, inf}, 1, true},
		{"below all", []uint64{1000, 0}, []float64{-inf, 0.5, 1}, 0.5, true},
		{"empty ones above", []uint64{1000, 0, 0}, []float64{0, 1, 2, inf}, 0.99, true},
	} {
		got, ok := waits{tt.counts, tt.bounds}.slowest()
		if ok != tt.ok || math.Abs(got-tt.want) > 1e-9 {
			t.Errorf("%s: %v, %v, want %v, %v", tt.name, got, ok, tt.want, tt.ok)
		}
	}
}

// Go counts what waits for a processor under the name used here.
func TestProcessWaits(t *testing.T) {
	began := processWaits()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10_000 {
				runtime.Gosched()
			}
		})
	}
	wg.Wait()
	w := processWaits().since(began)
	if len(w.bounds) != len(w.counts)+1 || !slices.IsSorted(w.bounds) {
		t.Errorf("%d bounds of %d counts: %v", len(w.bounds), len(w.counts), w.bounds)
	}
	if d, ok := w.slowest(); !ok || d <= 0 {
		t.Errorf("slowest %v, %v, of %v", d, ok, w.counts)
	}
}
