package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/quoit-go/quoit/engine/steering"
)

var policies = []struct {
	key    string
	policy steering.Policy
}{
	{"l", steering.LeastLoaded},
	{"r", steering.RoundRobin},
	{"s", steering.BySource},
	{"c", steering.ByCPU},
}

func (s *server) setPolicy(p steering.Policy) error {
	if s.program == nil {
		return s.fixed
	}
	return s.program.SetPolicy(p)
}

func (s *server) drain(ring int, drained bool) error {
	if s.program == nil {
		return s.fixed
	}
	weight := steering.DefaultWeight
	if drained {
		weight = 0
	}
	return s.program.SetWeight(ring, weight)
}

func (s *server) drained(ring int) bool { return s.program != nil && s.program.Weight(ring) == 0 }

func (s *server) allDrained() bool {
	for ring := range s.rings {
		if !s.drained(ring) {
			return false
		}
	}
	return true
}

// press does what a key stands for and says what it did.
func (s *server) press(key string) (string, error) {
	for _, p := range policies {
		if key == p.key {
			return "new conns go " + adverb(p.policy), s.setPolicy(p.policy)
		}
	}
	ring, err := strconv.Atoi(key)
	if err != nil {
		return "", fmt.Errorf("%q is no key", key)
	}
	drain := !s.drained(ring)
	if err := s.drain(ring, drain); err != nil {
		return "", err
	}
	switch {
	case s.allDrained():
		return "all rings are drained, which is as if none was", nil
	case drain:
		return fmt.Sprintf("ring %d gets no new conns", ring), nil
	}
	return fmt.Sprintf("ring %d gets new conns again", ring), nil
}

func adverb(p steering.Policy) string {
	switch p {
	case steering.LeastLoaded:
		return "to the less loaded of two rings"
	case steering.RoundRobin:
		return "to one ring after the other"
	}
	return p.String()
}

// help lists the keys.
func (s *server) help(rings int) string {
	if s.program == nil {
		return "keys, each with Enter: q quit; the policy is fixed"
	}
	var b strings.Builder
	b.WriteString("keys, each with Enter:")
	for _, p := range policies {
		fmt.Fprintf(&b, " %s %v,", p.key, p.policy)
	}
	fmt.Fprintf(&b, "\n  0-%d drain that ring or no longer, q quit", rings-1)
	return b.String()
}
