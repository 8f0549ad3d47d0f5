//go:build linux

package engine

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// DelayBuckets is the number of buckets of Stats.WriteDelays: bucket i counts delays
// of less than 2^i microseconds that no bucket before it does, and the last the rest.
const DelayBuckets = 20

// delays says how long what Write accepted had to wait: from the return of the first
// Write of a batch until its send. Any thread may use it.
type delays struct {
	buckets [DelayBuckets]atomic.Uint64
	worst   [2]atomic.Uint64 // of even and odd seconds: the second, and microseconds, by delayIn
}

// delayIn packs a delay so that a later second, and then a longer delay, is more.
func delayIn(second int64, us uint64) uint64 {
	return uint64(second)<<32 | min(us, 1<<32-1)
}

// add counts the delay of what was accepted at began and leaves now.
func (d *delays) add(began, now int64) {
	us := uint64(max(now-began, 0)) / uint64(time.Microsecond)
	d.buckets[min(bits.Len64(us), DelayBuckets-1)].Add(1)
	second := now / int64(time.Second)
	worst, mine := &d.worst[second&1], delayIn(second, us)
	for {
		old := worst.Load()
		if old >= mine || worst.CompareAndSwap(old, mine) {
			return
		}
	}
}

// snapshot returns the buckets, and the longest delay of this second and the one
// before.
func (d *delays) snapshot(now int64) (buckets [DelayBuckets]uint64, worst time.Duration) {
	for i := range d.buckets {
		buckets[i] = d.buckets[i].Load()
	}
	before := delayIn(now/int64(time.Second)-1, 0)
	for i := range d.worst {
		if w := d.worst[i].Load(); w >= before {
			worst = max(worst, time.Duration(w&(1<<32-1))*time.Microsecond)
		}
	}
	return buckets, worst
}
