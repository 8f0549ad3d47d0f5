//go:build linux

package gear

import (
	"math"
	"runtime"
	"slices"
	"testing"
	"time"
)

// contest is the world of a comparison under test: time passes in its pauses
// only, and while the engines are hot the load is ring, else poll.
type contest struct {
	comparison
	hot, other *Box
	ring, poll load
	passed     func(pauses int) bool // may change loads; false ends the comparison
	tails      [len(bounds) - 1]uint64
	now, cpu   float64
	pauses     int
	asked      chan struct{} // closed once nobody asks any more
}

// load is what engines do in a second, and how long their slowest goroutines wait.
type load struct {
	bytes, cpu float64
	tail       time.Duration // 0: 10 µs, as all others
}

var bounds = [...]float64{0, 20e-6, 1e-3, 2e-3, 3e-3, 4e-3, math.Inf(1)}

func newContest(t *testing.T, ring, poll load) *contest {
	w := &contest{ring: ring, poll: poll, now: float64(time.Hour)}
	w.clock = func() int64 { return int64(w.now) }
	w.spent = func() int64 { return int64(w.cpu) }
	w.waits = func() waits { return waits{slices.Clone(w.tails[:]), bounds[:]} }
	w.pause = func(d time.Duration, _ <-chan struct{}) bool {
		<-w.asked
		w.pauses++
		if w.passed != nil && !w.passed(w.pauses) {
			return false
		}
		l := w.poll
		if w.hot.Hot() {
			l = w.ring
		}
		if w.other.Hot() != w.hot.Hot() || !w.other.held.Load() {
			t.Error("a box is left out")
		}
		w.now += float64(d)
		w.cpu += l.cpu * float64(d)
		w.tails[0] += 970
		i, _ := slices.BinarySearch(bounds[:], l.tail.Seconds())
		w.tails[max(i-1, 0)] += 30
		for _, b := range []*Box{w.hot, w.other} {
			b.Meter().sent.Add(uint64(l.bytes * d.Seconds()))
		}
		return true
	}
	for _, b := range []**Box{&w.hot, &w.other} {
		*b = new(Box)
		(*b).Init(Auto, &fakeClock{now: w.clock()})
		w.join(*b)
	}
	return w
}

func (w *contest) answer() *answer { return &w.answers[ringing] }

// awaitEnd waits for the end of the comparison that b is in, if it is.
func awaitEnd(b *Box) {
	for b.held.Load() {
		runtime.Gosched()
	}
}

// run has the hot engine ask, and returns what it heeds at the end.
func (w *contest) run(t *testing.T) (v verdict, term time.Duration) {
	t.Helper()
	w.asked = make(chan struct{})
	w.hot.Shift(true)
	count := w.answer().count
	if v, _ := w.ask(ringing, w.hot); v != undecided || !w.hot.held.Load() {
		t.Fatalf("%v at once", v)
	}
	if v, _ := w.ask(ringing, w.hot); v != undecided {
		t.Fatalf("%v in the middle", v)
	}
	close(w.asked)
	awaitEnd(w.hot)
	w.mu.Lock() // until end is over
	defer w.mu.Unlock()
	if w.running || w.answer().count == count {
		return undecided, 0
	}
	return w.answer().last, time.Duration(w.answer().until - w.clock())
}

func TestCompare(t *testing.T) {
	const ms = time.Millisecond
	net := load{1e6, 0.5, 4 * ms}
	for _, tt := range []struct {
		name string
		ring load
		want verdict
		cost float64
	}{
		{"cheaper", load{1e6, 0.4, 4 * ms}, yes, 0.8},
		{"same", net, yes, 1},
		{"cheaper and faster", load{2e6, 0.8, 4 * ms}, yes, 0.8},
		{"dearer", load{1e6, 0.53, 4 * ms}, no, 1.06},
		{"dearer, for it does less", load{0.9e6, 0.5, 4 * ms}, no, 1 / 0.9},
		{"cheaper and slower", load{0.9e6, 0.4, 4 * ms}, no, 0.8 / 0.9},
		{"dearer, with a short tail", load{1e6, 0.54, 2 * ms}, yes, 1.08},
		{"dearer, with a tail somewhat shorter", load{1e6, 0.54, 3 * ms}, no, 1.08},
		{"much dearer, with a short tail", load{1e6, 0.56, 2 * ms}, no, 1.12},
		{"dearer and slower, with a short tail", load{0.9e6, 0.48, 2 * ms}, no, 0.96 / 0.9},
		{"cheaper, with a long tail", load{1e6, 0.4, 5 * ms}, yes, 0.8},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newContest(t, tt.ring, net)
			told := make(chan Report)
			w.other.report = func(r Report) { told <- r }
			w.passed = func(pauses int) bool {
				drift := 0.97 // the machine slows down, and stalls once
				if pauses == 6 {
					drift = 0.1
				} else if pauses == 7 {
					drift = 10
				}
				w.ring.bytes *= drift
				w.poll.bytes *= drift
				return true
			}
			v, term := w.run(t)
			if v != tt.want || math.Abs(w.answer().cost-tt.cost) > 0.01*tt.cost {
				t.Errorf("verdict %v, cost %.3f, want %v, %.3f", v, w.answer().cost, tt.want, tt.cost)
			}
			if r := <-told; r.Pays != (tt.want == yes) || r.Looking || r.Cost != w.answer().cost || r.Rate <= 0 {
				t.Errorf("told %+v", r)
			}
			wins := tt.want == yes
			for _, b := range []*Box{w.hot, w.other} {
				if b.Hot() != wins || b.proven.Load() != wins {
					t.Errorf("hot %v, proven %v", b.Hot(), b.proven.Load())
				}
				if rest := time.Duration(b.rest.Load() - w.clock()); !wins && rest != term {
					t.Errorf("no trial for %v, want %v", rest, term)
				}
			}
		})
	}
}

// A verdict holds, for longer while it is the same, and is what other engines
// are told that ask.
func TestCompareTerm(t *testing.T) {
	net, better, worse := load{1e6, 0.5, 0}, load{1e6, 0.4, 0}, load{1e6, 0.6, 0}
	w := newContest(t, better, net)
	for want := minTerm; want < 2*maxTerm; want *= 2 {
		if v, term := w.run(t); v != yes || term != min(want, maxTerm) {
			t.Fatalf("%v for %v, want %v", v, term, min(want, maxTerm))
		}
		w.now = float64(w.answer().until - 1)
		if v, until := w.ask(ringing, w.other); v != yes || until != w.answer().until || w.running {
			t.Fatalf("told %v until %d", v, until)
		}
		w.now++
	}
	for _, want := range []time.Duration{minTerm, 2 * minTerm} {
		w.ring = worse
		if v, term := w.run(t); v != no || term != want {
			t.Fatalf("%v for %v, want %v", v, term, want)
		}
		w.now = float64(w.answer().until)
	}
}

// The windows with are those with odd numbers, and nothing is made of what is short.
func TestTail(t *testing.T) {
	fast := waits{[]uint64{1000, 0, 0}, []float64{0, minTail / 2, 1, 2}}
	slow := waits{[]uint64{0, 0, 1000}, fast.bounds}
	for _, tt := range []struct {
		name string
		seen []window
		want float64
	}{
		{"same", []window{{waits: slow}, {waits: slow}, {waits: slow}}, 1},
		{"shorter", []window{{waits: slow}, {waits: fast}, {waits: slow}}, 0.99 * minTail / 2 / 1.99},
		{"longer, but short without", []window{{waits: fast}, {waits: slow}, {waits: fast}}, 0},
		{"too few", []window{{waits: slow}, {}, {waits: slow}}, 0},
	} {
		if got := tail(tt.seen); math.Abs(got-tt.want) > 1e-9 {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// What the first windows leave open takes more of them.
func TestCompareOpen(t *testing.T) {
	for _, tt := range []struct {
		cpu     float64 // of the ring in the first period, by turns with 0.4
		windows int
		want    verdict
	}{
		{0.4, 1 + period, yes},
		{0.6, 1 + 2*period, yes},
	} {
		w := newContest(t, load{1e6, 0.4, 0}, load{1e6, 0.5, 0})
		w.passed = func(pauses int) bool {
			w.ring.cpu = 0.4
			if window := (pauses + 1) / 2; window <= 1+period && window%4 == 2 {
				w.ring.cpu = tt.cpu
			}
			return true
		}
		if v, _ := w.run(t); v != tt.want || w.pauses != 2*tt.windows {
			t.Errorf("ring at %v: verdict %v after %d windows, want %v after %d", tt.cpu, v, w.pauses/2, tt.want, tt.windows)
		}
	}
}

// A load that goes away, or the end of the engine, leaves no verdict.
func TestCompareUndecided(t *testing.T) {
	for name, passed := range map[string]func(w *contest, pauses int) bool{
		"no load": func(w *contest, pauses int) bool {
			if pauses == 7 {
				w.ring.bytes, w.poll.bytes = 0, 0
			}
			return true
		},
		"closed": func(_ *contest, pauses int) bool { return pauses < 7 },
	} {
		t.Run(name, func(t *testing.T) {
			w := newContest(t, load{1e6, 0.4, 0}, load{1e6, 0.5, 0})
			w.passed = func(pauses int) bool { return passed(w, pauses) }
			if v, _ := w.run(t); v != undecided || w.pauses > 8 {
				t.Errorf("%v after %d pauses", v, w.pauses)
			}
			before := w.pauses
			if w.run(t); w.pauses == before {
				t.Error("no second try")
			}
		})
	}
}

// A box that has joined is out again once it leaves, and one in a fixed gear never
// joins.
func TestCompareLeave(t *testing.T) {
	joined := func(b *Box) bool {
		process.mu.Lock()
		defer process.mu.Unlock()
		return slices.Contains(process.boxes, b)
	}
	for g, want := range map[Mode]bool{Auto: true, Ring: false, Poll: false} {
		b, _ := newBox(g)
		b.Join(nil, nil)
		if joined(b) != want {
			t.Errorf("gear %v: joined is %v", g, !want)
		}
		b.End()
		if joined(b) {
			t.Errorf("gear %v: still compared", g)
		}
	}
}
