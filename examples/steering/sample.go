package main

import (
	"time"

	"github.com/quoit-go/quoit"
)

// sample is what is known at one time.
type sample struct {
	at       time.Time
	asked    int // rings
	stats    quoit.Stats
	policy   string
	sent     []uint64 // to each ring, by the program; nil if not known
	err      error    // why the policy is not what was asked for
	drained  []bool
	answered uint64
	failed   uint64
	failure  error
}

func (s *server) sample(l *load) sample {
	x := sample{
		at: time.Now(), asked: s.asked, stats: s.e.Stats(),
		policy:   "none: one socket, conns handed to the ring with the fewest",
		answered: l.answered.Load(), failed: l.failed.Load(),
	}
	if p := l.err.Load(); p != nil {
		x.failure = *p
	}
	if st := x.stats.Steering; len(st) > 0 {
		x.policy, x.sent, x.err = st[0].Policy, st[0].Decisions, st[0].Err
	}
	x.drained = make([]bool, len(x.stats.Rings))
	if !s.allDrained() { // else each is as good as the others
		for ring := range x.drained {
			x.drained[ring] = s.drained(ring)
		}
	}
	return x
}

// received is how many requests came to a ring: one small enough is received
// at once.
func received(r quoit.RingStats) uint64 { return r.DirectReads + r.RingReads }

func (x *sample) conns() []float64 {
	var out []float64
	for _, r := range x.stats.Rings {
		out = append(out, float64(r.Conns))
	}
	return out
}

// requests is how many came to each ring since an earlier sample.
func (x *sample) requests(since *sample) []float64 {
	var out []float64
	for i, r := range x.stats.Rings {
		out = append(out, float64(received(r)-received(since.stats.Rings[i])))
	}
	return out
}

// sentSince is how many conns went to each ring since an earlier sample: as
// the program counted them, or else as they were accepted.
func (x *sample) sentSince(since *sample) []uint64 {
	var out []uint64
	for i, r := range x.stats.Rings {
		n := r.Accepted - since.stats.Rings[i].Accepted
		if x.sent != nil {
			n = x.sent[i] - since.sent[i]
		}
		out = append(out, n)
	}
	return out
}

func sum(v []float64) (total float64) {
	for _, x := range v {
		total += x
	}
	return total
}

// worst is the greatest by the mean, of those rings that are not drained: 1 if
// they are even, as many as they are if one has all, 0 if none has any.
func (x *sample) worst(v []float64) float64 { return share(x.most(v)) }

// most is the greatest, times the number of those rings, and the total.
func (x *sample) most(v []float64) (most, total float64) {
	var n float64
	for ring, y := range v {
		if !x.drained[ring] {
			total, most, n = total+y, max(most, y), n+1
		}
	}
	return most * n, total
}

func share(part, total float64) float64 {
	if total == 0 {
		return 0
	}
	return part / total
}
