package main

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// config describes the simulated world. Shares are of 1.
type config struct {
	Conns      int // open at once
	Rings      int
	Seed       uint64
	Skew       string        // even, hot or pareto
	Phase      time.Duration // mean time until a conn's work is drawn anew; 0 is never
	Life       time.Duration
	Long       float64 // share of new conns that live longTimes as long
	Restart    time.Duration
	Run        time.Duration // after the restart
	Burst      int
	Bursty     float64       // share of new conns that come in bursts
	Delay      time.Duration // from pick to accept
	Sources    int
	SourceSkew float64 // Zipf exponent
	Queues     int
	HoldAt     float64
	ResumeAt   float64
}

const (
	longTimes = 10
	hotShare  = 0.01
	hotTimes  = 100
	workUnit  = 100 // work of a conn that is not busy

	paretoIndex = 1.2
	paretoMost  = 10_000 // times the least

	maxArrivals = 100_000_000 // some 40 bytes each

	publishTicks = 1000 // rings publish their work this often
)

func defaults() config {
	return config{
		Conns: 1_000_000, Rings: 256, Seed: 1, Skew: "hot",
		Life: 30 * time.Second, Long: 0.1, Restart: 10 * time.Second, Run: 2 * time.Minute,
		Bursty: 0.5, Delay: 50 * time.Millisecond,
		SourceSkew: 0.8, Queues: 128, HoldAt: 1.1, ResumeAt: 1.05,
	}
}

// fill sets what depends on the number of conns.
func (c *config) fill() {
	if c.Burst == 0 {
		c.Burst = max(c.Conns/100, 1)
	}
	if c.Sources == 0 {
		c.Sources = max(c.Conns/5, 1)
	}
}

func (c config) check() error {
	share := func(v float64) bool { return v >= 0 && v <= 1 }
	switch {
	case c.Conns < 1 || c.Conns > 100_000_000:
		return errors.New("-conns is not within 1 and 100000000")
	case c.Rings < 1 || c.Rings > 1<<16:
		return errors.New("-rings is not within 1 and 65536")
	case c.Burst < 1 || c.Sources < 1 || c.Queues < 1:
		return errors.New("-burst, -sources and -queues must be positive")
	case !share(c.Long) || !share(c.Bursty):
		return errors.New("-long and -bursty are shares, 0 to 1")
	case c.Life < time.Millisecond || c.Run < time.Second || c.Run > 24*time.Hour:
		return errors.New("-life must be at least 1ms, -run within 1s and 24h")
	case c.Phase < 0 || c.Phase > 0 && c.Phase < 100*time.Millisecond:
		return errors.New("-phase is 0 or at least 100ms")
	case c.Restart < 0 || c.Restart > time.Hour:
		return errors.New("-restart is not within 0 and 1h")
	case c.Delay < 0 || c.Delay > c.Run:
		return errors.New("-delay must be positive and less than -run")
	case c.SourceSkew < 0 || !(c.SourceSkew <= 3):
		return errors.New("-source-skew is not within 0 and 3")
	case !(c.ResumeAt >= 1) || !(c.ResumeAt <= c.HoldAt): // some ring is always open
		return errors.New("-resume-at must be at least 1, -hold-at as high or higher")
	}
	if n := c.arrivals(); n > maxArrivals {
		return fmt.Errorf("%.0f conns in all are too many: less -conns, a shorter -run or a longer -life", n)
	}
	if _, ok := skews[c.Skew]; !ok {
		return fmt.Errorf("-skew %q is none of even, hot, pareto", c.Skew)
	}
	return nil
}

// conn is one conn, with times in ticks of a millisecond.
type conn struct {
	arrive, depart int32
	work           int32 // per tick, in units of 1/workUnit, at first
	source         uint32
	hash           uint32 // of addresses and ports
}

// world holds what happens, the same for all policies.
type world struct {
	config
	conns   []conn  // in order of arrival
	events  []event // in order
	first   []int32 // events[first[t]:first[t+1]] are those of tick t
	restart int     // tick at which all conns are back
	end     int     // last tick
}

// event is a conn that leaves or changes its work, with what that adds to its
// ring's.
type event struct {
	conn uint32
	work int32
	left bool
}

// meanLife is that of new conns, in ticks.
func (c config) meanLife() float64 {
	return float64(c.Life) / float64(time.Millisecond) * (1 + c.Long*(longTimes-1))
}

// arrivals is about how many conns there are in all.
func (c config) arrivals() float64 {
	return float64(c.Conns) * (1 + float64(ticks(c.Run))/c.meanLife())
}

func ticks(d time.Duration) int { return int(d / time.Millisecond) }

// newWorld makes conns up. During the restart nobody leaves, so that at its
// end the server has Conns conns, with lifetimes left as in the long run.
func newWorld(c config) *world {
	w := &world{config: c, restart: ticks(c.Restart)}
	w.end = w.restart + ticks(c.Run)
	m := &maker{
		rng:   rand.New(rand.NewPCG(c.Seed, 0)),
		world: w,
		work:  skews[c.Skew],
	}
	longOpen := c.Long * longTimes / (1 + c.Long*(longTimes-1)) // of those open, not of the new
	w.conns = make([]conn, 0, int(1.1*c.arrivals()))
	for i := range c.Conns {
		at := i * w.restart / c.Conns
		m.add(at, w.restart-at, longOpen)
	}
	// Arrivals per tick. Infinity is never.
	rate := float64(c.Conns) / (c.meanLife() + float64(ticks(c.Delay)))
	single, burst := 1/(rate*(1-c.Bursty)), float64(c.Burst)/(rate*c.Bursty)
	start := float64(w.restart)
	nextSingle, nextBurst := start+single*m.rng.ExpFloat64(), start+burst*m.rng.ExpFloat64()
	for t := w.restart; t <= w.end; t++ {
		for ; nextBurst < float64(t+1); nextBurst += burst * m.rng.ExpFloat64() {
			for range c.Burst {
				m.add(t, 0, c.Long)
			}
		}
		for ; nextSingle < float64(t+1); nextSingle += single * m.rng.ExpFloat64() {
			m.add(t, 0, c.Long)
		}
	}
	w.sortEvents(m.at)
	return w
}

// maker makes conns.
type maker struct {
	*world
	rng  *rand.Rand
	work func(*rand.Rand) int32
	at   []int32 // ticks of the events
}

// add makes a conn that arrives now; its life begins when it is accepted, and
// not before wait.
func (m *maker) add(now, wait int, long float64) {
	life := float64(m.Life) / float64(time.Millisecond)
	if m.rng.Float64() < long {
		life *= longTimes
	}
	lived := min(life*m.rng.ExpFloat64(), math.MaxInt32/2)
	c := conn{
		arrive: int32(now),
		depart: int32(now + max(wait, ticks(m.Delay)) + 1 + int(lived)),
		work:   m.work(m.rng),
		source: zipf(m.rng, m.Sources, m.SourceSkew),
		hash:   m.rng.Uint32(),
	}
	last := c.work
	if m.Phase > 0 {
		last = m.phases(c)
	}
	m.event(int(c.depart), event{work: -last, left: true})
	m.conns = append(m.conns, c)
}

// phases changes the work of the next conn, and returns what it has at last.
func (m *maker) phases(c conn) int32 {
	work := c.work
	mean := float64(m.Phase) / float64(time.Millisecond)
	until := min(int(c.depart), m.end+1)
	for t := float64(c.arrive) + 1; ; {
		t += mean * m.rng.ExpFloat64()
		if t >= float64(until) {
			return work
		}
		if next := m.work(m.rng); next != work {
			m.event(int(t), event{work: next - work})
			work = next
		}
	}
}

// event is one of the next conn.
func (m *maker) event(tick int, e event) {
	if tick <= m.end {
		e.conn = uint32(len(m.conns))
		m.at, m.events = append(m.at, int32(tick)), append(m.events, e)
	}
}

var skews = map[string]func(*rand.Rand) int32{
	"even": func(*rand.Rand) int32 { return workUnit },
	"hot": func(rng *rand.Rand) int32 {
		if rng.Float64() < hotShare {
			return workUnit * hotTimes
		}
		return workUnit
	},
	"pareto": func(rng *rand.Rand) int32 {
		x := math.Pow(1-rng.Float64(), -1/paretoIndex)
		return int32(workUnit * min(x, paretoMost))
	},
}

var skewText = map[string]string{
	"even":   "all conns are equally busy",
	"hot":    "1 of 100 conns is 100 times busier",
	"pareto": "work of conns has a Pareto tail of index 1.2",
}

// zipf returns one of n, the k-th in proportion to k to the power of -s: the
// inverse of that distribution where k is continuous.
func zipf(rng *rand.Rand, n int, s float64) uint32 {
	u, most := rng.Float64(), float64(n+1)
	var x float64
	if e := 1 - s; math.Abs(e) < 1e-9 {
		x = math.Pow(most, u)
	} else {
		x = math.Pow(1+u*(math.Pow(most, e)-1), 1/e)
	}
	return uint32(min(max(int(x), 1), n) - 1)
}

// sortEvents puts events in order of their ticks, by counting.
func (w *world) sortEvents(at []int32) {
	w.first = make([]int32, w.end+2)
	for _, t := range at {
		w.first[t+1]++
	}
	for t := range w.end + 1 {
		w.first[t+1] += w.first[t]
	}
	sorted, next := make([]event, len(at)), slices.Clone(w.first)
	for i, t := range at {
		sorted[next[t]] = w.events[i]
		next[t]++
	}
	w.events = sorted
}
