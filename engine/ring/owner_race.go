//go:build linux && race

package ring

// ownerCheck makes the race detector see every use of a Ring as a write, so it
// reports two goroutines that use one without handing it over, even if their
// calls do not overlap.
type ownerCheck struct{ uses uint64 }

func (o *ownerCheck) use() { o.uses++ }

// notVisiting panics if a loop over CQEs runs.
func (*ownerCheck) notVisiting(r *Ring, method string) {
	if r.cq.visiting {
		panic("ring: " + method + " in the body of a loop over CQEs")
	}
}
