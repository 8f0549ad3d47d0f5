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
// alone (Box.held).
const (
	windows    = 9
	settleTime = 50 * time.Millisecond // of each, for a thousand conns to come over; not counted
	windowTime = 40 * time.Millisecond // after that

	// The ring wins unless it is dearer, or slower, by more than this. Equal is
	// good enough, for its tails are shorter.
	costMargin = 0.03 // of CPU time for the same work
	rateMargin = 0.03 // of work in the same time, where callers wait for answers

	minTerm = 10 * time.Second // that a verdict holds; doubles while the same is found again
	maxTerm = time.Minute
)

type verdict int

const (
	undecided verdict = iota
	ringWins
	pollWins
)

// comparison is the process's. Its methods may be called by any thread.
type comparison struct {
	clock func() int64                              // engine time
	spent func() int64                              // CPU time of the process, in nanoseconds
	pause func(time.Duration, <-chan struct{}) bool // false if the channel was closed meanwhile

	mu      sync.Mutex
	boxes   []*Box // in Auto
	running bool
	last    verdict
	until   int64 // last holds
	term    time.Duration
	count   uint64  // of those with a verdict
	cost    float64 // see Comparisons
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

// ask returns the verdict that holds and until when. Where there is none it
// begins a comparison, for hot box b, which stays hot until that is over.
func (c *comparison) ask(b *Box) (verdict, int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running {
		return undecided, 0
	}
	if c.clock() < c.until {
		return c.last, c.until
	}
	var all []entrant
	for _, x := range c.boxes {
		x.held.Store(true)
		all = append(all, entrant{x, x.tally.sum()})
	}
	c.running = true
	go c.run(all, b.stop)
	return undecided, 0
}

// entrant is a box in a comparison.
type entrant struct {
	*Box
	before uint64 // its tally
}

// run compares, and tells boxes. It gives up when stop is closed.
func (c *comparison) run(boxes []entrant, stop <-chan struct{}) {
	var seen [windows]window
	ok := true
	for i := 0; i < windows && ok; i++ {
		for _, b := range boxes {
			b.shift(i%2 != 0, c.clock())
		}
		ok = c.pause(settleTime, stop)
		began := c.look(boxes)
		ok = ok && c.pause(windowTime, stop)
		seen[i] = c.look(boxes).since(began)
		ok = ok && seen[i].work > 0 && seen[i].cost > 0
	}
	v, cost := undecided, 0.0
	if ok {
		v, cost = judged(seen[:])
	}
	c.end(boxes, v, cost)
}

// end tells the verdict to those that had work. It is none if the load went
// away.
func (c *comparison) end(boxes []entrant, v verdict, cost float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.clock()
	if v != undecided {
		term := minTerm
		if v == c.last {
			term = min(2*c.term, maxTerm)
		}
		c.last, c.term, c.until = v, term, now+int64(term)
		c.count++
		c.cost = cost
	}
	c.running = false
	for _, b := range boxes {
		if b.tally.sum() == b.before {
			b.decided(undecided, c.until, now)
		} else {
			b.decided(v, c.until, now)
		}
	}
}

// Comparisons returns how many times this process has compared the gears, and
// what the ring cost in the last: CPU time for the same work, by that of the
// netpoller.
func Comparisons() (n uint64, ringCost float64) {
	c := &process
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count, c.cost
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

// judged compares windows that are the ring's and the netpoller's by turns. It
// returns what the ring costs by what the netpoller does for the same work.
func judged(seen []window) (verdict, float64) {
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
	cost, rate := costs[len(costs)/2], rates[len(rates)/2]
	if cost > 1+costMargin || rate < 1-rateMargin {
		return pollWins, cost
	}
	return ringWins, cost
}

// amid compares the second window with those on both sides of it, so that a
// machine which only gets slower or faster does not matter.
func amid(seen []window, f func(window) float64) float64 {
	return f(seen[1]) / math.Sqrt(f(seen[0])*f(seen[2]))
}
