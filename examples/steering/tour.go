package main

import (
	"fmt"
	"strings"

	"github.com/quoit-go/quoit/engine/steering"
)

// tour goes through steps and keeps samples of each.
type tour struct {
	steps []step
	done  []result
	from  sample   // when the present step began
	seen  []sample // since then
}

type step struct {
	name string // "" for what is in force
	do   func(s *server) error
}

type result struct {
	name            string
	conns, requests float64 // the worst ring's by the mean
	sent            []uint64
}

// stepsFor is one step where nothing can be switched.
func stepsFor(s *server) []step {
	if s.program == nil {
		return []step{{"", func(*server) error { return nil }}}
	}
	var steps []step
	for _, p := range policies {
		steps = append(steps, step{p.policy.String(), func(s *server) error { return s.setPolicy(p.policy) }})
	}
	last := s.rings - 1
	if last == 0 {
		return steps
	}
	return append(steps, step{fmt.Sprintf("least loaded, ring %d drained", last), func(s *server) error {
		if err := s.drain(last, true); err != nil {
			return err
		}
		return s.setPolicy(steering.LeastLoaded)
	}})
}

// last reports whether there is no further step.
func (t *tour) last() bool { return len(t.steps) == 0 }

// next ends the present step and begins the next one.
func (t *tour) next(s *server, l *load) (string, error) {
	t.finish()
	st := t.steps[0]
	t.steps = t.steps[1:]
	if err := st.do(s); err != nil {
		return "", err
	}
	t.from, t.seen = s.sample(l), nil
	name := st.name
	if name == "" {
		name = t.from.policy + ", which cannot be switched"
	}
	t.done = append(t.done, result{name: name})
	return fmt.Sprintf("tour: %s; %d more to come", name, len(t.steps)), nil
}

func (t *tour) note(x sample) {
	if len(t.done) > 0 {
		t.seen = append(t.seen, x)
	}
}

// finish sums the present step up. Evenness is that of its second half, when
// most conns of the step before are gone.
func (t *tour) finish() {
	if len(t.seen) == 0 || len(t.from.stats.Rings) == 0 {
		return
	}
	r := &t.done[len(t.done)-1]
	end := &t.seen[len(t.seen)-1]
	half := t.seen[len(t.seen)/2:]
	var most, total float64
	for _, x := range half { // one that saw few conns counts for little
		m, n := x.most(x.conns())
		most, total = most+m, total+n
	}
	r.conns = share(most, total)
	r.requests = end.worst(end.requests(&t.seen[(len(t.seen)-1)/2]))
	r.sent = end.sentSince(&t.from)
	t.seen = nil
}

// summary is a line for each step.
func (t *tour) summary() string {
	t.finish()
	if len(t.done) == 0 || t.done[0].sent == nil {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%-32s worst ring by the mean   new conns\n%-32s conns requests           of each ring\n", "", "")
	for _, r := range t.done {
		fmt.Fprintf(&b, "%-32s %5.2f %8.2f          %6d\n", r.name, r.conns, r.requests, r.sent)
	}
	return b.String()
}
