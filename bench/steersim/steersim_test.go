package main

import (
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"
)

// small is a world of 20,000 conns on 16 rings.
func small() config {
	c := defaults()
	c.Conns, c.Rings, c.Queues, c.Sources = 20_000, 16, 16, 5000
	c.Life, c.Restart, c.Run = 4*time.Second, 2*time.Second, 12*time.Second
	c.fill()
	return c
}

// even has no bursts and no skew.
func even() config {
	c := small()
	c.Skew, c.Bursty, c.SourceSkew = "even", 0, 0
	return c
}

func named(t *testing.T, name string) policy {
	t.Helper()
	p, ok := findPolicy(name)
	if !ok {
		t.Fatalf("no policy %q", name)
	}
	return p
}

// everyPolicy returns each as it is, and with hold.
func everyPolicy(t *testing.T) []policy {
	out := slices.Clone(policies)
	for _, p := range policies {
		out = append(out, named(t, p.name+holdSuffix))
	}
	return out
}

// burst picks for n conns in a row, none of which is accepted.
func (s *server) burst(n int) []int64 {
	got := make([]int64, s.Rings)
	for i := range n {
		c := &s.world.conns[i]
		r := s.policy.pick(s, c)
		s.count[r]++
		s.expected[r] += s.perConn
		got[r]++
	}
	return got
}

func TestWorld(t *testing.T) {
	for _, skew := range []string{"even", "hot", "pareto"} {
		c := small()
		c.Skew = skew
		w := newWorld(c)
		if got := w.openAt(w.restart); got < c.Conns || got > c.Conns+c.Burst {
			t.Errorf("%s: %d conns after the restart, want %d", skew, got, c.Conns)
		}
		var open, work float64
		for tick := w.restart; tick <= w.end; tick += publishTicks {
			open += float64(w.openAt(tick)) / float64(c.Run/time.Second+1)
		}
		if math.Abs(open/float64(c.Conns)-1) > 0.05 {
			t.Errorf("%s: %.0f conns on the average, want %d", skew, open, c.Conns)
		}
		least := int32(math.MaxInt32)
		for i, x := range w.conns {
			work += float64(x.work) / float64(len(w.conns))
			least = min(least, x.work)
			if x.depart <= x.arrive+int32(ticks(c.Delay)) {
				t.Fatalf("conn %d leaves before it is accepted: %+v", i, x)
			}
			if i > 0 && x.arrive < w.conns[i-1].arrive {
				t.Fatalf("conn %d arrives before the one before", i)
			}
		}
		// 0.99 + 100/100, and index/(index-1) less what is cut off.
		want := map[string]float64{"even": 1, "hot": 1.99, "pareto": 5}[skew]
		if got := work / workUnit; math.Abs(got/want-1) > 0.1 || least != workUnit {
			t.Errorf("%s: work %.2f on the average, want %v; least %d", skew, got, want, least)
		}
	}
}

// openAt counts the conns in the trace.
func (w *world) openAt(tick int) (n int) {
	for _, c := range w.conns {
		if int(c.arrive) <= tick && tick < int(c.depart) {
			n++
		}
	}
	return n
}

// Work that is drawn anew stays as skewed, and is gone with the conn.
func TestPhases(t *testing.T) {
	c := small()
	c.Phase = time.Second
	w := newWorld(c)
	now := make([]int32, len(w.conns)) // work of each conn
	for i, x := range w.conns {
		now[i] = x.work
	}
	changed := 0
	for tick := range w.end + 1 {
		for _, e := range w.events[w.first[tick]:w.first[tick+1]] {
			x := w.conns[e.conn]
			now[e.conn] += e.work
			switch got := now[e.conn]; {
			case e.left && (got != 0 || int(x.depart) != tick):
				t.Fatalf("%+v leaves at %d, with work %d left", x, tick, got)
			case !e.left && (got != workUnit && got != workUnit*hotTimes || tick <= int(x.arrive) || tick >= int(x.depart)):
				t.Fatalf("%+v has work %d at %d", x, got, tick)
			case !e.left:
				changed++
			}
		}
	}
	open, hot := 0, 0
	for _, work := range now {
		if work > 0 {
			open++
		}
		if work > workUnit {
			hot++
		}
	}
	if share := float64(hot) / float64(open); math.Abs(share/hotShare-1) > 0.3 {
		t.Errorf("%d of %d conns are busy at the end", hot, open)
	}
	// Each second, 1 of 100 becomes busy and as many no longer are.
	if want := 2 * hotShare * float64(w.end) / 1000 * float64(c.Conns); math.Abs(float64(changed)/want-1) > 0.2 {
		t.Errorf("%d changes, want %.0f", changed, want)
	}
	s := newServer(w, named(t, "hash"))
	s.replay(func(int) {})
	var left int64
	for _, work := range now {
		left += int64(work)
	}
	if sum(s.work) != left {
		t.Errorf("work %d at the end, want %d", sum(s.work), left)
	}
}

func TestZipf(t *testing.T) {
	const n, draws = 1000, 50_000
	for _, tt := range []struct{ exponent, first float64 }{
		{0, 1.0 / n}, {0.8, 0.0499}, {1, 0.1003}, {1.2, 0.1729}, // of the continuous distribution
	} {
		rng, hits := rand.New(rand.NewPCG(1, 1)), make([]int, n)
		for range draws {
			hits[zipf(rng, n, tt.exponent)]++
		}
		if got := float64(hits[0]) / draws; math.Abs(got/tt.first-1) > 0.2 {
			t.Errorf("exponent %v: the first has %.4f of all, want %.4f", tt.exponent, got, tt.first)
		}
		if hits[n-1] == 0 {
			t.Errorf("exponent %v: the last is never drawn", tt.exponent)
		}
	}
}

// Nothing is lost or counted twice, under any policy.
func TestConservation(t *testing.T) {
	c := small()
	c.Bursty, c.HoldAt, c.ResumeAt = 0.5, 1.05, 1.01
	w := newWorld(c)
	for _, p := range everyPolicy(t) {
		s := newServer(w, p)
		s.replay(func(tick int) {
			if tick%(5*publishTicks) != 0 {
				return
			}
			var work, shown int64
			count := make([]int64, w.Rings)
			for i, c := range w.conns {
				if int(c.arrive) > tick || int(c.depart) <= tick {
					continue
				}
				count[s.ring[i]]++
				work += int64(c.work)
				if int(c.arrive)+ticks(w.Delay) <= tick {
					shown++
				}
			}
			if !slices.Equal(count, s.count) || sum(s.work) != work || sum(s.shown) != shown {
				t.Errorf("%s, tick %d: conns %v, want %v; work %d, want %d; accepted %d, want %d",
					p.name, tick, s.count, count, sum(s.work), work, sum(s.shown), shown)
			}
			if slices.Min(s.shown) < 0 || slices.Min(s.work) < 0 {
				t.Errorf("%s, tick %d: negative: %v, %v", p.name, tick, s.shown, s.work)
			}
		})
	}
}

func TestRoundRobinIsExact(t *testing.T) {
	s := newServer(newWorld(small()), named(t, "round-robin"))
	got := s.burst(1000*s.Rings + 3)
	if most, least := slices.Max(got), slices.Min(got); most != 1001 || least != 1000 {
		t.Errorf("%v", got)
	}
}

func TestHashMaximum(t *testing.T) {
	const runs = 6
	c := even()
	c.Conns, c.Rings, c.Queues, c.Run = 64_000, 64, 64, time.Second
	excess := map[string]float64{}
	for c.Seed = range uint64(runs) {
		w := newWorld(c)
		for _, name := range []string{"hash", "random", "cpu"} {
			got := newServer(w, named(t, name)).burst(c.Conns)
			excess[name] += float64(slices.Max(got)-1000) / runs
		}
	}
	// Balls in bins; for 64 bins the asymptote is a little high.
	want := math.Sqrt(2 * 1000 * math.Log(64))
	for name, got := range excess {
		if got > 1.1*want || got < 0.6*want {
			t.Errorf("%s: the worst ring has %.0f more than the mean, theory says up to %.0f", name, got, want)
		}
	}
}

func TestTwoChoices(t *testing.T) {
	w := newWorld(small())
	random, two := w.measure(named(t, "random")).Conns, w.measure(named(t, "p2c-bump")).Conns
	if two.Worst-1 > (random.Worst-1)/4 || two.Median > 1.01 {
		t.Errorf("worst ring of two choices %.3f, of one %.3f", two.Worst, random.Worst)
	}
}

// A burst whose picks are not seen by the next pick herds.
func TestBump(t *testing.T) {
	const n = 8000 // 500 a ring
	w := newWorld(small())
	tests := []struct {
		policy    string
		low, high int64 // picks of the ring with one conn less than the others
	}{
		{"scan-stale", n, n},
		{"least", n / 16, n/16 + 1},
		{"p2c-stale", 2*n/16 - 120, 2*n/16 + 120}, // in 2 of 16 pairs
		{"p2c-bump", n/16 - 5, n/16 + 6},
		{"least-work", n / 16, n/16 + 1}, // before anything is published
		{"p2c-work", n/16 - 5, n/16 + 6},
	}
	for _, tt := range tests {
		s := newServer(w, named(t, tt.policy))
		for r := range s.Rings {
			s.count[r], s.shown[r] = 100, 100
		}
		s.count[5], s.shown[5] = 99, 99
		if got := s.burst(n); got[5] < tt.low || got[5] > tt.high {
			t.Errorf("%s: %d of %d picks for one ring, want %d to %d: %v", tt.policy, got[5], n, tt.low, tt.high, got)
		}
	}
	c := small()
	c.Burst = 2000
	w = newWorld(c)
	stale, bumped := w.measure(named(t, "scan-stale")).Conns, w.measure(named(t, "least")).Conns
	if stale.Worst < 2 || bumped.Worst > 1.01 {
		t.Errorf("worst ring without the bump %.2f, with it %.2f", stale.Worst, bumped.Worst)
	}
	// Without a delay and one by one there is nothing to bump.
	c = even()
	c.Delay, c.Conns, c.Life = 0, 1000, time.Minute
	if got := newWorld(c).measure(named(t, "scan-stale")).Conns; got.Worst > 1.03 {
		t.Errorf("worst ring without a delay: %.2f", got.Worst)
	}
}

func TestSourceKeepsItsRing(t *testing.T) {
	w := newWorld(small())
	for _, name := range []string{"source-slots", "source-rendezvous"} {
		s := newServer(w, named(t, name))
		for _, closed := range []int{0, 1} { // rings that take nothing
			s.weight[3] = fullWeight * int64(1-closed)
			s.reopen()
			rings := map[uint32]int{}
			used := make([]int64, w.Rings)
			for i := range w.conns {
				c := &w.conns[i]
				got := s.policy.pick(s, c)
				r, known := rings[c.source]
				if known && r != got {
					t.Fatalf("%s: source %d on rings %d and %d", name, c.source, r, got)
				}
				if !known {
					rings[c.source] = got
					used[got]++
				}
			}
			if worst, _ := relative(used); worst > 1.3 || (used[3] == 0) != (closed == 1) {
				t.Errorf("%s, %d closed: sources a ring: %v", name, closed, used)
			}
		}
	}
}

func TestCPUNeedsQueues(t *testing.T) {
	c := small()
	c.Queues = 4
	got := newServer(newWorld(c), named(t, "cpu")).burst(1000)
	if slices.Min(got[:4]) < 200 || sum(got[4:]) != 0 {
		t.Errorf("%v, want all on the 4 rings with a queue", got)
	}
}

func TestHold(t *testing.T) {
	w := newWorld(small())
	s := newServer(w, named(t, "hash+hold"))
	others := int64(1000)
	for i := range s.work {
		s.count[i], s.work[i] = 1, others
	}
	// Held above 1.1 times the mean, until 1.05.
	for _, step := range []struct {
		times float64
		held  bool
	}{{1.09, false}, {1.15, true}, {1.08, true}, {1.03, false}, {1.08, false}} {
		n := float64(len(s.work))
		s.work[3] = int64(step.times * float64(others) * (n - 1) / (n - step.times))
		s.publish()
		if s.held[3] != step.held || slices.Contains(s.open, 3) == step.held {
			t.Errorf("at %v times the mean: held %v, open %v", step.times, s.held[3], s.open)
		}
	}
	for _, p := range everyPolicy(t) {
		s := newServer(w, p)
		if !p.hold {
			continue
		}
		for i := range s.work {
			s.count[i], s.work[i] = 1, others
		}
		s.work[3] = 2 * others
		s.publish()
		if got := s.burst(5000); got[3] != 0 {
			t.Errorf("%s: %d conns for a ring that is held", p.name, got[3])
		}
	}
	c := small()
	c.Restart, c.Life = 20*time.Second, 20*time.Second // not all at once: rings are held by what was a second ago
	w = newWorld(c)
	for _, name := range []string{"hash", "p2c-bump"} {
		free, held := w.measure(named(t, name)), w.measure(named(t, name+holdSuffix))
		if held.Work.Median-1 > 0.9*(free.Work.Median-1) || held.Held == 0 || free.Held != 0 {
			t.Errorf("%s: worst work %.3f, with hold %.3f (held %v, %v)", name, free.Work.Median, held.Work.Median, free.Held, held.Held)
		}
	}
}

// What counts conns cannot see work; what counts work can.
func TestWorkIsNotConns(t *testing.T) {
	w := newWorld(small())
	for conns, work := range map[string]string{"least": "least-work", "p2c-bump": "p2c-work"} {
		a, b := w.measure(named(t, conns)).Work.Median, w.measure(named(t, work)).Work.Median
		if b-1 > (a-1)/2 {
			t.Errorf("worst ring's work: %s %.3f, %s %.3f", conns, a, work, b)
		}
	}
}

func TestDrain(t *testing.T) {
	c := small()
	c.Long = 0
	w := newWorld(c)
	for _, p := range policies {
		d := w.drain(p, []step{{0, 0}})
		if d.Conns == 0 || d.Half <= 0 || d.Half > d.Tenth || d.Tenth > d.Hundredth || d.Hundredth > d.None {
			t.Errorf("%s: %+v", p.name, d)
		}
		if d.Half > w.Run/2 {
			t.Errorf("%s: half of the conns were there after %v", p.name, d.Half)
		}
		// Nobody drains: there is no half until the run ends.
		if d := w.drain(p, nil); d.Half < w.Run*3/4 {
			t.Errorf("%s: half of the conns gone after %v without a drain", p.name, d.Half)
		}
		// Nothing came after the start.
		s := newServer(w, p)
		s.weight[3] = 0
		s.reopen()
		if got := s.burst(5000); got[3] != 0 {
			t.Errorf("%s: %d conns for a drained ring", p.name, got[3])
		}
	}
	all := w.drains()
	if len(all) != 4 {
		t.Fatalf("%+v", all)
	}
	for _, d := range all {
		if d.Half == 0 || d.Half > w.Run*2/3 {
			t.Errorf("%+v", d)
		}
	}
	if once, steps := all[0], all[1]; steps.Half <= once.Half {
		t.Errorf("at once %+v, in steps %+v", once, steps)
	}
}

func TestUntil(t *testing.T) {
	c := changes{{0, 1}, {1000, 1}, {2000, 1}, {3000, -1}, {4000, 1}, {5000, -1}, {6000, -1}, {7000, -1}}
	for n, want := range []int{6, 5, 4, 0} { // seconds from 1 on, until at most n were left for good
		if got := c.until(1000, n); got != time.Duration(want)*time.Second {
			t.Errorf("%d left after %v, want %ds", n, got, want)
		}
	}
}

func TestWeight(t *testing.T) {
	w := newWorld(small())
	for _, name := range []string{"hash", "p2c-bump"} {
		s := newServer(w, named(t, name))
		s.weight[2] = fullWeight / 2
		if got := s.burst(16_000); math.Abs(float64(got[2])-516) > 80 {
			t.Errorf("%s: %d conns for a ring of half the weight: %v", name, got[2], got)
		}
	}
}

func TestSeed(t *testing.T) {
	c := small()
	c.Conns, c.Sources = 5000, 1000
	all := newWorld(c).compare(policies)
	some := newWorld(c).compare([]policy{policies[8], policies[2]})
	if !reflect.DeepEqual(some, []result{all[8], all[2]}) {
		t.Error("the same seed gives other results")
	}
	c.Seed++
	if other := newWorld(c).compare(policies[:1]); reflect.DeepEqual(other[0], all[0]) {
		t.Error("another seed gives the same results")
	}
}

func TestRelative(t *testing.T) {
	for _, tt := range []struct {
		loads        []int64
		worst, above float64
	}{
		{[]int64{0, 0}, 1, 0}, {[]int64{5, 5, 5, 5}, 1, 0}, {[]int64{0, 0, 0, 8}, 4, 0.25},
		{[]int64{108, 108, 92, 92}, 1.08, 0}, {[]int64{112, 112, 88, 88}, 1.12, 0.5},
	} {
		if w, a := relative(tt.loads); w != tt.worst || a != tt.above {
			t.Errorf("%v: worst %v, above %v", tt.loads, w, a)
		}
	}
	if m := median([]float64{4, 1, 3, 2}); m != 2.5 {
		t.Errorf("median %v", m)
	}
}
