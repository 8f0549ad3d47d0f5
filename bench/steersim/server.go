package main

import (
	"hash/fnv"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
)

// fullWeight is the weight of a ring that takes its whole share.
const fullWeight = 4

// server is the state of the rings under one policy.
type server struct {
	*world
	policy policy
	rng    *rand.Rand // apart from the world's

	ring  []uint16 // of each conn that has arrived
	count []int64  // conns of each ring: picked and not closed
	shown []int64  // accepted and not closed: what rings publish
	work  []int64

	// expected is the work published last, with the mean of a conn for each
	// pick since: never 0, or the first burst would herd.
	expected []int64
	perConn  int64

	held   []bool
	weight []int64 // 0 to fullWeight; 0 where held. Scans know only 0 or not
	open   []int   // rings with a weight, ascending

	turn  int     // of round-robin
	found []int32 // by source: ring plus 1, of rendezvous
}

func newServer(w *world, p policy) *server {
	name := fnv.New64a()
	name.Write([]byte(p.name))
	n := w.Rings
	s := &server{
		world: w, policy: p,
		rng:  rand.New(rand.NewPCG(w.Seed, name.Sum64())),
		ring: make([]uint16, len(w.conns)), held: make([]bool, n),
		count: make([]int64, n), shown: make([]int64, n), work: make([]int64, n),
		expected: make([]int64, n), weight: slices.Repeat([]int64{fullWeight}, n),
		perConn: 1,
	}
	s.reopen()
	return s
}

// replay lets the policy pick for all conns, and calls second after each.
func (s *server) replay(second func(tick int)) {
	arrived, accepted, delay := 0, 0, int32(ticks(s.Delay))
	for t := range s.end + 1 {
		now := int32(t)
		for _, e := range s.events[s.first[t]:s.first[t+1]] {
			r := s.ring[e.conn]
			s.work[r] += int64(e.work)
			if e.left {
				s.count[r]--
				s.shown[r]--
			}
		}
		for ; accepted < arrived && s.world.conns[accepted].arrive+delay <= now; accepted++ {
			s.shown[s.ring[accepted]]++
		}
		for ; arrived < len(s.ring) && s.world.conns[arrived].arrive == now; arrived++ {
			c := &s.world.conns[arrived]
			r := s.policy.pick(s, c)
			s.ring[arrived] = uint16(r)
			s.count[r]++
			s.work[r] += int64(c.work)
			s.expected[r] += s.perConn
		}
		if t%publishTicks == 0 {
			s.publish()
			second(t)
		}
	}
}

// publish is what rings do each second.
func (s *server) publish() {
	copy(s.expected, s.work)
	conns, work := sum(s.count), sum(s.work)
	if conns > 0 {
		s.perConn = max(work/conns, 1)
	}
	if !s.policy.hold || conns == 0 {
		return
	}
	mean := float64(work) / float64(s.Rings)
	for r := range s.held {
		limit := s.HoldAt
		if s.held[r] {
			limit = s.ResumeAt
		}
		s.held[r] = float64(s.work[r]) > limit*mean
		s.weight[r] = fullWeight
		if s.held[r] {
			s.weight[r] = 0
		}
	}
	s.reopen()
}

// reopen brings open in line with the weights. There is always a ring with no
// more work than the mean, so open is never empty.
func (s *server) reopen() {
	s.open = s.open[:0]
	for r, w := range s.weight {
		if w > 0 {
			s.open = append(s.open, r)
		}
	}
}

// result is how one policy did. Loads are those of the worst ring, relative
// to the mean.
type result struct {
	Policy      string
	Conns, Work load
	Above       float64 // share of rings with more than aboveAt times the mean work: median
	Held        float64 // share of rings held: mean
	FullAt      float64 // share of its capacity that the server can use before a ring is full
}

type load struct {
	Median, Worst float64
	Seconds       []float64
}

// aboveAt counts as much more than the mean.
const aboveAt = 1.1

// measure replays the world under p, and measures each second from the end of
// the restart.
func (w *world) measure(p policy) result {
	s := newServer(w, p)
	res := result{Policy: p.name}
	var above []float64
	s.replay(func(t int) {
		if t < w.restart {
			return
		}
		c, _ := relative(s.count)
		x, over := relative(s.work)
		res.Conns.Seconds = append(res.Conns.Seconds, c)
		res.Work.Seconds = append(res.Work.Seconds, x)
		above = append(above, over)
		res.Held += float64(w.Rings-len(s.open)) / float64(w.Rings)
	})
	res.Conns.fill()
	res.Work.fill()
	res.Above = median(above)
	res.Held /= float64(len(above))
	res.FullAt = 1 / res.Work.Worst
	return res
}

// compare measures the policies.
func (w *world) compare(ps []policy) []result {
	out := make([]result, len(ps))
	parallel(len(ps), func(i int) { out[i] = w.measure(ps[i]) })
	return out
}

// parallel calls fn for 0 to n-1, some at a time.
func parallel(n int, fn func(i int)) {
	limit := make(chan struct{}, runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	for i := range n {
		limit <- struct{}{}
		wg.Go(func() {
			defer func() { <-limit }()
			fn(i)
		})
	}
	wg.Wait()
}

func (l *load) fill() { l.Median, l.Worst = median(l.Seconds), slices.Max(l.Seconds) }

// relative returns the highest load by the mean, and the share of rings
// above aboveAt. Rings without any load are all at the mean.
func relative(loads []int64) (worst, above float64) {
	total := sum(loads)
	if total == 0 {
		return 1, 0
	}
	mean := float64(total) / float64(len(loads))
	for _, l := range loads {
		if float64(l) > aboveAt*mean {
			above++
		}
	}
	return float64(slices.Max(loads)) / mean, above / float64(len(loads))
}

func sum(values []int64) (total int64) {
	for _, v := range values {
		total += v
	}
	return total
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}
