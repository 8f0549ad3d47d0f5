//go:build linux

package gear

import (
	"math"
	"runtime/metrics"
	"slices"
)

// What a peer feels of a busy server is how long the goroutine that has its request
// waits for a processor. Go counts that, of every eighth time a goroutine stops, in
// either gear: of the netpoller's goroutines, of the ring's and of those that they start.
// On net/http the ratio of its 99th percentiles follows that of the clients'.

const minWaits = 400 // counted; of fewer the slowest hundredth says nothing

// waits counts goroutines by how long they waited for a processor.
type waits struct {
	counts []uint64
	bounds []float64 // seconds; count i is of what lies between i and i+1
}

const latencies = "/sched/latencies:seconds"

// processWaits returns the waits of the process since it began.
func processWaits() waits {
	s := []metrics.Sample{{Name: latencies}}
	metrics.Read(s)
	if s[0].Value.Kind() != metrics.KindFloat64Histogram {
		return waits{} // a Go that does not count them
	}
	h := s[0].Value.Float64Histogram()
	return waits{h.Counts, h.Buckets}
}

// since returns what w has more than o, which is older.
func (w waits) since(o waits) waits {
	counts := slices.Clone(w.counts)
	for i := range o.counts {
		counts[i] -= o.counts[i]
	}
	return waits{counts, w.bounds}
}

func (w waits) plus(o waits) waits {
	if w.counts == nil {
		return o
	}
	counts := slices.Clone(w.counts)
	for i := range o.counts {
		counts[i] += o.counts[i]
	}
	return waits{counts, w.bounds}
}

// slowest returns how long the slowest hundredth waited at least, in seconds, or
// false if too few waited.
func (w waits) slowest() (float64, bool) {
	n := uint64(0)
	for _, c := range w.counts {
		n += c
	}
	if n < minWaits {
		return 0, false
	}
	rest := float64(n) / 100
	for i := len(w.counts) - 1; i >= 0; i-- {
		c := float64(w.counts[i])
		if c < rest {
			rest -= c
			continue
		}
		lo, hi := w.bounds[i], w.bounds[i+1]
		switch {
		case math.IsInf(lo, -1):
			return hi, true
		case math.IsInf(hi, 1):
			return lo, true
		}
		return hi - (hi-lo)*rest/c, true
	}
	return 0, false
}
