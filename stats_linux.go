//go:build linux

package quoit

import "github.com/quoit-go/quoit/engine"

// stats adds up what the rings did.
func (t *transport) stats(s *Stats) {
	s.Gear = GearPoll
	s.Comparisons, s.RingCost = engine.Comparisons()
	for i, e := range t.rings {
		es := e.Stats()
		r := RingStats{
			CPU: t.cpus[i], Held: t.watch.isHeld(i),
			Conns: es.Conns, Accepted: es.Accepted, Adopted: es.Adopted,
			Enters: es.Enters, Completions: es.Completions, Wakeups: es.Wakeups, Overflows: es.Overflows,
			Gear: GearPoll, GearChanges: es.Shifts, RingTime: es.RingTime, PollTime: es.PollTime,
			BytesReceived: es.BytesReceived, DirectReads: es.DirectReads,
			WritesBatched: es.WritesBatched, Batches: es.Batches, SendsParked: es.SendsParked,
		}
		if es.Hot {
			r.Gear, s.Gear = GearRing, GearRing
		}
		s.Rings = append(s.Rings, r)
		s.Listeners += es.Listeners
		s.AcceptFailures += es.AcceptFailures
		s.add(&r)
	}
	for _, st := range t.steerings() {
		out := SteeringStats{Addr: st.addr, Policy: st.String(), Decisions: st.Decisions(nil)}
		if f, ok := st.Steering.(interface{ Err() error }); ok {
			out.Err = f.Err()
		}
		s.Steering = append(s.Steering, out)
	}
}

func (s *Stats) add(r *RingStats) {
	s.Conns += r.Conns
	s.Accepted += r.Accepted
	s.Adopted += r.Adopted
	s.Enters += r.Enters
	s.Completions += r.Completions
	s.Wakeups += r.Wakeups
	s.Overflows += r.Overflows
	s.GearChanges += r.GearChanges
	s.RingTime += r.RingTime
	s.PollTime += r.PollTime
	s.BytesReceived += r.BytesReceived
	s.DirectReads += r.DirectReads
	s.WritesBatched += r.WritesBatched
	s.Batches += r.Batches
	s.SendsParked += r.SendsParked
}
