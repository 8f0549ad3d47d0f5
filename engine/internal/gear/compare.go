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
// again soon.
//
// It is windows in the netpoller and in the ring by turns, each against its
// neighbours, and the median of that. During it the gears leave their engines
// alone (Box.held). Whether Reads should look (look.go) is found out in the same way.
const (
	windows    = 9
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

// rule is what an answer of yes takes.
type rule struct {
	settle time.Duration // of each window, before it counts
	cost   float64       // at most: CPU time for the same work, with by without
	rate   float64       // at least: work in the same time, where callers wait for answers
}

var rules = [questions]rule{
	// A thousand conns have to come over. Equal is good enough, for the ring's tails
	// are shorter.
	ringing: {50 * time.Millisecond, 1.03, 0.97},
	// A CPU that is awake for nothing is a cost that only a gain defends.
	looking: {5 * time.Millisecond, 1, 1.05},
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
var process = comparison{clock: clock.Now, spent: processTime, pause: pause}

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
	var seen [windows]window
	ok := true
	for i := 0; i < windows && ok; i++ {
		for _, b := range boxes {
			b.put(q, i%2 != 0, c.clock())
		}
		ok = c.pause(rules[q].settle, stop)
		began := c.look(boxes)
		ok = ok && c.pause(windowTime, stop)
		seen[i] = c.look(boxes).since(began)
		ok = ok && seen[i].work > 0 && seen[i].cost > 0
	}
	v, r := undecided, Report{}
	if ok {
		v, r = rules[q].judge(seen[:])
		r.Looking, r.Pays = q == looking, v == yes
	}
	for _, b := range c.end(q, boxes, v, r.Cost) {
		if b.report != nil && v != undecided {
			b.report(r)
		}
	}
}

// Report is what a comparison found.
type Report struct {
	Looking    bool    // of looking before a wait; else of the ring
	Pays       bool    // and is done from now on
	Cost, Rate float64 // CPU time for the same work, and work in the same time, by those without it
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
}

func (c *comparison) look(boxes []entrant) window {
	w := window{time: float64(c.clock()), cost: float64(c.spent())}
	for _, b := range boxes {
		w.work += float64(b.tally.sum())
	}
	return w
}

func (w window) since(o window) window {
	return window{w.work - o.work, w.time - o.time, w.cost - o.cost}
}

// judge compares windows without and with, by turns.
func (r rule) judge(seen []window) (verdict, Report) {
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
	found := Report{Cost: costs[len(costs)/2], Rate: rates[len(rates)/2]}
	if found.Cost > r.cost || found.Rate < r.rate {
		return no, found
	}
	return yes, found
}

// amid compares the second window with those on both sides of it, so that a
// machine which only gets slower or faster does not matter.
func amid(seen []window, f func(window) float64) float64 {
	return f(seen[1]) / math.Sqrt(f(seen[0])*f(seen[2]))
}
