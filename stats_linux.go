//go:build linux

package quoit

import (
	"cmp"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/quoit-go/quoit/engine"
)

// stats adds up what the rings did.
func (t *transport) stats(s *Stats) {
	s.Gear = GearPoll
	s.Comparisons, s.RingCost = engine.Comparisons()
	for i, e := range t.rings {
		es := e.Stats()
		r := RingStats{CPU: t.cpus[i], Held: t.watch.isHeld(i), Gear: GearPoll}
		if es.Hot {
			r.Gear, s.Gear = GearRing, GearRing
		}
		addCounters(&r, &es)
		addCounters(s, &es)
		s.Rings = append(s.Rings, r)
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
	for _, e := range t.rings {
		for _, l := range e.Listening() {
			out = append(out, ListenerStats(l))
		}
	}
	slices.SortFunc(out, func(a, b ListenerStats) int {
		return cmp.Or(strings.Compare(a.Addr.Network(), b.Addr.Network()), strings.Compare(a.Addr.String(), b.Addr.String()))
	})
	return out
}

// addCounters adds to each counter of to, a struct, the one of the same name
// that a ring has, if it has one. Of what is the worst it keeps the worst.
func addCounters(to any, ring *engine.Snapshot) {
	sum, part := reflect.ValueOf(to).Elem(), reflect.ValueOf(ring).Elem()
	for i := range sum.NumField() {
		name := sum.Type().Field(i).Name
		n := part.FieldByName(name)
		if !n.IsValid() {
			continue
		}
		switch sum := sum.Field(i).Addr().Interface().(type) {
		case *int:
			*sum += int(n.Int())
		case *uint64:
			*sum += n.Uint()
		case *[engine.Buckets]uint64:
			for i := range sum {
				sum[i] += n.Index(i).Uint()
			}
		case *time.Duration:
			if strings.HasPrefix(name, "Worst") {
				*sum = max(*sum, time.Duration(n.Int()))
			} else {
				*sum += time.Duration(n.Int())
			}
		}
	}
}
