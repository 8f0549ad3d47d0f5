//go:build linux

package gear

import (
	"math"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/engine/internal/clock"
)

// Large turns are a sign that the ring may pay, not proof: what callers do
// with what they read may cost more when many do it at once. So before an
// engine stays in Ring, both gears are compared under the load there is,
// by CPU time, which only the process as a whole has a clock for. Hence one
// comparison at a time, of all engines of the process that are in Auto, with
// one verdict for them. Those that have little to do hardly count, and are cold
// again soon. Where the slowest goroutines run much sooner (tail), some CPU time more
// is no reason against.
//
// It is windows in the netpoller and in the ring by turns, each against its
// neighbours, and the median of that: nine of them, and where the quartiles disagree as many
// as maxWindows. During it the gears leave their engines alone (Box.held). Whether Reads
// should look (look.go) is found out in the same way.
const (
	period     = 8 // windows until the next look at them, after the first
	maxWindows = 1 + 3*period
	windowTime = 40 * time.Millisecond // of each that counts, after rule.settle

	minTerm = 10 * time.Second // that a verdict holds; doubles while the same is found again
	maxTerm = time.Minute
)

// question is what a comparison finds out: whether to do a thing or not.
type question int

const (
	ringing   question = iota // go to Ring, from Poll
	looking                   // look before a wait in Poll
	questions = iota
)

// rule is what an answer of yes takes: the one, or the other where the tail is at
// most shortTail.
type rule struct {
	settle       time.Duration // of each window, before it counts
	plain, short limits
}

// limits are on ratios, with by without.
type limits struct {
	cost float64 // at most: CPU time for the same work
	rate float64 // at least: work in the same time, where callers wait for answers
}

const (
	shortTail = 0.7    // that is worth some CPU time
	minTail   = 100e-6 // seconds without, below which nobody feels what is saved
)

var rules = [questions]rule{
	// A thousand conns have to come over.
	ringing: {50 * time.Millisecond, limits{1.03, 0.97}, limits{1.10, 0.92}},
	// A CPU that is awake for nothing is a cost that only a gain defends.
	looking: {5 * time.Millisecond, limits{1, 1.05}, limits{1, 1.05}},
}

type verdict int

const (
	undecided verdict = iota
	yes
	no
)

// comparison is the process's. Its methods may be called by any thread.
type comparison struct {
	clock func() int64                              // engine time
	spent func() int64                              // CPU time of the process, in nanoseconds
	waits func() waits                              // of the process
	pause func(time.Duration, <-chan struct{}) bool // false if the channel was closed meanwhile

	mu      sync.Mutex
	boxes   []*Box // in Auto
	running bool
	answers [questions]answer
}

// answer is what is known about a question.
type answer struct {
	last  verdict
	until int64 // last holds
	term  time.Duration
	count uint64  // of comparisons with a verdict
	cost  float64 // found by the last one, see rule
}

// process has the boxes of this process.
var process = comparison{clock: clock.Now, spent: processTime, waits: processWaits, pause: pause}

func processTime() int64 { return clock.Read(unix.CLOCK_PROCESS_CPUTIME_ID) }

func pause(d time.Duration, stop <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-stop:
		return false
	}
}

func (c *comparison) join(b *Box) {
	c.mu.Lock()
	c.boxes = append(c.boxes, b)
	c.mu.Unlock()
}

func (c *comparison) leave(b *Box) {
	c.mu.Lock()
	c.boxes = slices.DeleteFunc(c.boxes, func(x *Box) bool { return x == b })
	c.mu.Unlock()
}

// ask returns the verdict on q that holds and until when. Where there is none it
// begins a comparison, for b, which nothing else shifts until that is over.
func (c *comparison) ask(q question, b *Box) (verdict, int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running {
		return undecided, 0
	}
	if a := &c.answers[q]; c.clock() < a.until {
		return a.last, a.until
	}
	var all []entrant
	for _, x := range c.boxes {
		x.held.Store(true)
		all = append(all, entrant{x, x.tally.sum()})
	}
	c.running = true
	go c.run(q, all, b.stop)
	return undecided, 0
}

// entrant is a box in a comparison.
type entrant struct {
	*Box
	before uint64 // its tally
}

// run compares, and tells boxes. It gives up when stop is closed.
func (c *comparison) run(q question, boxes []entrant, stop <-chan struct{}) {
	v, found := undecided, Report{}
	var seen []window
	for ok, sure := true, false; ok && !sure && len(seen) < maxWindows; {
		var w window
		if w, ok = c.window(q, len(seen)%2 != 0, boxes, stop); !ok {
			v = undecided
		} else if seen = append(seen, w); len(seen)%period == 1 && len(seen) > 1 {
			found, sure = rules[q].judge(seen)
			if v = no; found.Pays {
				v = yes
			}
		}
	}
	found.Looking = q == looking
	for _, b := range c.end(q, boxes, v, found.Cost) {
		if b.report != nil && v != undecided {
			b.report(found)
		}
	}
}

// window has boxes do what q asks about, or not, and returns what that led to, or
// false if there was nothing to do or stop was closed.
func (c *comparison) window(q question, do bool, boxes []entrant, stop <-chan struct{}) (window, bool) {
	for _, b := range boxes {
		b.put(q, do, c.clock())
	}
	if !c.pause(rules[q].settle, stop) {
		return window{}, false
	}
	began := c.look(boxes)
	ok := c.pause(windowTime, stop)
	w := c.look(boxes).since(began)
	return w, ok && w.work > 0 && w.cost > 0
}

// Report is what a comparison found.
type Report struct {
	Looking    bool    // of looking before a wait; else of the ring
	Pays       bool    // and is done from now on
	Cost, Rate float64 // CPU time for the same work, and work in the same time, by those without it
	Tail       float64 // wait for a processor of the slowest hundredth, by that without it; 0 if unknown or short
}

// end tells the verdict to those that had work, and returns them. It is none if the load
// went away.
func (c *comparison) end(q question, boxes []entrant, v verdict, cost float64) (told []*Box) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a, now := &c.answers[q], c.clock()
	if v != undecided {
		term := minTerm
		if v == a.last {
			term = min(2*a.term, maxTerm)
		}
		a.last, a.term, a.until = v, term, now+int64(term)
		a.count++
		a.cost = cost
	}
	c.running = false
	for _, b := range boxes {
		if b.tally.sum() == b.before {
			b.decided(q, undecided, a.until, now)
		} else {
			b.decided(q, v, a.until, now)
			told = append(told, b.Box)
		}
	}
	return told
}

// Comparisons returns how many times this process has compared the gears, and
// what the ring cost in the last: CPU time for the same work, by that of the
// netpoller.
func Comparisons() (n uint64, ringCost float64) {
	c := &process
	c.mu.Lock()
	defer c.mu.Unlock()
	a := &c.answers[ringing]
	return a.count, a.cost
}

// window is what was done in it, and took.
type window struct {
	work       float64
	time, cost float64
	waits      waits
}

func (c *comparison) look(boxes []entrant) window {
	w := window{time: float64(c.clock()), cost: float64(c.spent()), waits: c.waits()}
	for _, b := range boxes {
		w.work += float64(b.tally.sum())
	}
	return w
}

func (w window) since(o window) window {
	return window{w.work - o.work, w.time - o.time, w.cost - o.cost, w.waits.since(o.waits)}
}

// judge compares windows without and with, by turns. It is sure if the quartiles lead
// to the same verdict as the medians.
func (r rule) judge(seen []window) (found Report, sure bool) {
	var costs, rates []float64
	for i := 1; i < len(seen)-1; i++ {
		cost := amid(seen[i-1:], func(w window) float64 { return w.cost / w.work })
		rate := amid(seen[i-1:], func(w window) float64 { return w.work / w.time })
		if i%2 == 0 {
			cost, rate = 1/cost, 1/rate
		}
		costs, rates = append(costs, cost), append(rates, rate)
	}
	slices.Sort(costs)
	slices.Sort(rates)
	low, mid, high := len(costs)/4, len(costs)/2, len(costs)-1-len(costs)/4
	found.Cost, found.Rate, found.Tail = costs[mid], rates[mid], tail(seen)
	found.Pays = r.allows(costs[mid], rates[mid], found.Tail)
	sure = r.allows(costs[low], rates[high], found.Tail) == r.allows(costs[high], rates[low], found.Tail)
	return found, sure
}

func (r rule) allows(cost, rate, tail float64) bool {
	l := r.plain
	if tail > 0 && tail <= shortTail {
		l = r.short
	}
	return cost <= l.cost && rate >= l.rate
}

// amid compares the second window with those on both sides of it, so that a
// machine which only gets slower or faster does not matter.
func amid(seen []window, f func(window) float64) float64 {
	return f(seen[1]) / math.Sqrt(f(seen[0])*f(seen[2]))
}

// tail compares the slowest hundredths of windows without and with, by turns. It is
// zero where there is nothing to gain, or too little is known.
func tail(seen []window) float64 {
	var sums [2]waits
	for i, w := range seen {
		sums[i%2] = sums[i%2].plus(w.waits)
	}
	without, ok := sums[0].slowest()
	with, ok2 := sums[1].slowest()
	if !ok || !ok2 || without < minTail {
		return 0
	}
	return with / without
}
