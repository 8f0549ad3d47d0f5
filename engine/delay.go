//go:build linux

package engine

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Buckets is the number of buckets of a histogram: bucket i counts what is less than
// 2^i and in no bucket before it, and the last the rest.
const Buckets = 20

// histogram counts sizes, or delays in microseconds. Any thread may use it.
type histogram struct {
	buckets [Buckets]atomic.Uint64
}

func (h *histogram) add(n uint64) { h.buckets[min(bits.Len64(n), Buckets-1)].Add(1) }

func (h *histogram) snapshot() (buckets [Buckets]uint64) {
	for i := range h.buckets {
		buckets[i] = h.buckets[i].Load()
	}
	return buckets
}

// delays says how long something had to wait. Any thread may use it.
type delays struct {
	histogram
	sum   atomic.Int64     // nanoseconds
	worst [2]atomic.Uint64 // of even and odd seconds: the second, and microseconds, by delayIn
}

// delayIn packs a delay so that a later second, and then a longer delay, is more.
func delayIn(second int64, us uint64) uint64 {
	return uint64(second)<<32 | min(us, 1<<32-1)
}

// add counts the delay of what has waited from began until now.
func (d *delays) add(began, now int64) {
	delay := max(now-began, 0)
	us := uint64(delay) / uint64(time.Microsecond)
	d.histogram.add(us)
	d.sum.Add(delay)
	second := now / int64(time.Second)
	worst, mine := &d.worst[second&1], delayIn(second, us)
	for {
		old := worst.Load()
		if old >= mine || worst.CompareAndSwap(old, mine) {
			return
		}
	}
}

// snapshot returns the buckets, all delays added, and the longest one of this second
// and the one before.
func (d *delays) snapshot(now int64) (buckets [Buckets]uint64, sum, worst time.Duration) {
	before := delayIn(now/int64(time.Second)-1, 0)
	for i := range d.worst {
		if w := d.worst[i].Load(); w >= before {
			worst = max(worst, time.Duration(w&(1<<32-1))*time.Microsecond)
		}
	}
	return d.histogram.snapshot(), time.Duration(d.sum.Load()), worst
}
