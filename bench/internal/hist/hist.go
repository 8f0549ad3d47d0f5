// Package hist counts latencies in buckets of less than 1% width.
package hist

import (
	"encoding/json"
	"fmt"
	"math"
	"math/bits"
	"time"
)

// Buckets are log-linear: up to 1<<subBits nanoseconds one each, above that
// 1<<subBits for each doubling.
const (
	subBits = 7
	sub     = 1 << subBits
	maxBits = 37 // 137 s; anything longer counts as that
	buckets = (maxBits - subBits + 1) * sub
)

// Hist is a histogram of durations. The zero value is empty. It is not safe
// for concurrent use.
type Hist struct {
	counts [buckets]uint64
	n      uint64
	max    time.Duration
}

func index(d time.Duration) int {
	if d < sub {
		return int(max(d, 0))
	}
	v := min(uint64(d), 1<<maxBits-1)
	shift := bits.Len64(v) - subBits - 1
	return shift*sub + int(v>>shift)
}

// middle is the centre of bucket i.
func middle(i int) time.Duration {
	if i < 2*sub {
		return time.Duration(i)
	}
	shift := i/sub - 1
	return time.Duration(i%sub+sub)<<shift + 1<<shift/2
}

// Record counts d. It does not allocate.
func (h *Hist) Record(d time.Duration) { h.RecordN(d, 1) }

// RecordN counts d n times.
func (h *Hist) RecordN(d time.Duration, n int) {
	h.counts[index(d)] += uint64(n)
	h.n += uint64(n)
	h.max = max(h.max, d)
}

// Count is the number of durations recorded.
func (h *Hist) Count() uint64 { return h.n }

// Max is the longest duration recorded, exactly.
func (h *Hist) Max() time.Duration { return h.max }

// Reset empties h.
func (h *Hist) Reset() { *h = Hist{} }

// Merge adds what o holds.
func (h *Hist) Merge(o *Hist) {
	for i, c := range o.counts {
		h.counts[i] += c
	}
	h.n += o.n
	h.max = max(h.max, o.max)
}

// Quantile returns the smallest recorded duration that a share q of them does
// not exceed, to the width of a bucket; 0 if h is empty.
func (h *Hist) Quantile(q float64) time.Duration {
	if h.n == 0 {
		return 0
	}
	rank := max(1, uint64(math.Ceil(q*float64(h.n))))
	var seen uint64
	for i, c := range h.counts {
		if seen += c; seen >= rank {
			return min(middle(i), h.max)
		}
	}
	return h.max
}

// wire is the form in JSON: pairs of bucket and count.
type wire struct {
	Max     int64       `json:"max_ns"`
	Buckets [][2]uint64 `json:"buckets"`
}

func (h *Hist) MarshalJSON() ([]byte, error) {
	w := wire{Max: int64(h.max), Buckets: [][2]uint64{}}
	for i, c := range h.counts {
		if c > 0 {
			w.Buckets = append(w.Buckets, [2]uint64{uint64(i), c})
		}
	}
	return json.Marshal(w)
}

func (h *Hist) UnmarshalJSON(b []byte) error {
	var w wire
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	h.Reset()
	for _, p := range w.Buckets {
		if p[0] >= buckets {
			return fmt.Errorf("hist: bucket %d is out of range", p[0])
		}
		h.counts[p[0]] += p[1]
		h.n += p[1]
	}
	h.max = time.Duration(w.Max)
	return nil
}
