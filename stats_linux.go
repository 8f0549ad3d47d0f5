//go:build linux

package quoit

import (
	"cmp"
	"slices"
	"strings"

	"github.com/quoit-go/quoit/engine"
)

// stats adds up what the rings did.
func (t *transport) stats(s *Stats) {
	s.Gear = GearPoll
	s.Comparisons, s.RingCost = engine.Comparisons()
	for i, r := range t.rings {
		s.Rings = append(s.Rings, r.stats(s))
		s.Rings[i].Held = t.watch.isHeld(i)
	}
	s.Listening = t.listening()
	for _, st := range t.steerings() {
		out := SteeringStats{Addr: st.addr, Policy: st.String(), Decisions: st.Decisions(nil)}
		if f, ok := st.Steering.(interface{ Err() error }); ok {
			out.Err = f.Err()
		}
		s.Steering = append(s.Steering, out)
	}
}

// listening returns what the open listeners did, by address.
func (t *transport) listening() (out []ListenerStats) {
	for _, e := range t.engines() {
		for _, l := range e.Listening() {
			out = append(out, ListenerStats(l))
		}
	}
	slices.SortFunc(out, func(a, b ListenerStats) int {
		return cmp.Or(strings.Compare(a.Addr.Network(), b.Addr.Network()), strings.Compare(a.Addr.String(), b.Addr.String()))
	})
	return out
}
