package main

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// drained says how long a ring took to lose its conns.
type drained struct {
	Policy, How string
	Conns       int // at the start
	// Times from the start until half of as many, 1 of 10, 1 of 100 and none
	// were left for good.
	Half, Tenth, Hundredth, None time.Duration
	Others                       float64 // worst of the other rings by their mean, in conns
}

// step is a weight from a moment on.
type step struct {
	after  int // seconds
	weight int64
}

// drains empties one ring at once and in steps, in a policy that ignores load
// and in one that does not.
func (w *world) drains() []drained {
	each := min(15, (w.end-w.drainStart())/publishTicks/4)
	plans := []struct {
		how   string
		steps []step
	}{
		{"at once", []step{{0, 0}}},
		{fmt.Sprintf("in 4 steps, %ds", 3*each), []step{{0, 3}, {each, 2}, {2 * each, 1}, {3 * each, 0}}},
	}
	names := []string{"hash", "p2c-bump"}
	out := make([]drained, len(names)*len(plans))
	parallel(len(out), func(i int) {
		p, _ := findPolicy(names[i/len(plans)])
		plan := plans[i%len(plans)]
		out[i] = w.drain(p, plan.steps)
		out[i].How = plan.how
	})
	return out
}

// drainStart is after a quarter of the run.
func (w *world) drainStart() int {
	return (w.restart + (w.end-w.restart)/4) / publishTicks * publishTicks
}

// drain lowers the weight of one ring step by step.
func (w *world) drain(p policy, steps []step) drained {
	s := newServer(w, p)
	ring := w.Rings / 2
	start := w.drainStart()
	d := drained{Policy: p.name}
	s.replay(func(t int) {
		if t == start {
			d.Conns = int(s.count[ring])
		}
		for _, step := range steps {
			if t == start+step.after*publishTicks {
				s.weight[ring] = step.weight
				s.reopen()
			}
		}
		if t >= start {
			others := slices.Delete(slices.Clone(s.count), ring, ring+1)
			worst, _ := relative(others)
			d.Others = max(d.Others, worst)
		}
	})
	left := s.left(ring)
	d.Half = left.until(start, d.Conns/2)
	d.Tenth = left.until(start, d.Conns/10)
	d.Hundredth = left.until(start, d.Conns/100)
	d.None = left.until(start, 0)
	return d
}

// change is a conn that came or went.
type change struct {
	tick int32
	by   int
}

type changes []change

// left returns all that came to a ring and went, with what goes after the end
// of the run: nothing comes to a drained ring after that.
func (s *server) left(ring int) changes {
	var out changes
	for i, c := range s.world.conns {
		if int(s.ring[i]) == ring {
			out = append(out, change{c.arrive, 1}, change{c.depart, -1})
		}
	}
	slices.SortFunc(out, func(a, b change) int { return cmp.Compare(a.tick, b.tick) })
	return out
}

// until returns the time from start to the last moment with more than n conns.
func (c changes) until(start, n int) time.Duration {
	open, last := 0, start
	for _, x := range c {
		if open > n {
			last = max(last, int(x.tick))
		}
		open += x.by
	}
	return time.Duration(last-start) * time.Millisecond
}
