package load

import (
	"slices"
	"time"
)

// Evenness says how alike conns were served that ask all the time.
type Evenness struct {
	Seconds []Second      `json:"seconds"` // whole ones, from the beginning of the measured time
	Gap     time.Duration `json:"gap_ns"`  // the longest that a conn was without an answer
}

// Second is the numbers of answers that conns had in a second.
type Second struct {
	Least  int `json:"least"`
	Median int `json:"median"`
	Most   int `json:"most"`
}

// Share is the worst served conn's part of the median's.
func (s Second) Share() float64 {
	if s.Median == 0 {
		return 0
	}
	return float64(s.Least) / float64(s.Median)
}

// evenness takes down the answers of each conn. A nil one takes down nothing.
type evenness struct {
	Evenness
	second  time.Duration // when it began
	answers []int         // of each conn, in this second
	last    []time.Duration
	sorted  []int
}

// begin starts the first second.
func (e *evenness) begin(conns int, now time.Duration) {
	if e == nil {
		return
	}
	e.second = now
	e.answers, e.sorted, e.last = make([]int, conns), make([]int, conns), make([]time.Duration, conns)
	for i := range e.last {
		e.last[i] = now
	}
}

// answered notes units completed on a conn now.
func (e *evenness) answered(conn, units int, now time.Duration) {
	if e == nil {
		return
	}
	e.turn(now)
	e.answers[conn] += units
	e.Gap = max(e.Gap, now-e.last[conn])
	e.last[conn] = now
}

// turn ends the second that is over by now. A generator that was kept from running
// has one that lasted longer.
func (e *evenness) turn(now time.Duration) {
	if now-e.second < time.Second {
		return
	}
	copy(e.sorted, e.answers)
	slices.Sort(e.sorted)
	n := len(e.sorted)
	e.Seconds = append(e.Seconds, Second{e.sorted[0], e.sorted[n/2], e.sorted[n-1]})
	clear(e.answers)
	e.second = now
}

// end returns what was found. Conns that had no answer since have a gap, too.
func (e *evenness) end(now time.Duration) *Evenness {
	if e == nil {
		return nil
	}
	e.turn(now)
	for _, last := range e.last {
		e.Gap = max(e.Gap, now-last)
	}
	return &e.Evenness
}
