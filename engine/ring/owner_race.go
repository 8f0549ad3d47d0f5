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

// modify panics if s, to which the modifier adds, is not of one of ops, or has
// had no Prep since NextSQE.
func (s *SQE) modify(modifier string, ops opSet) {
	switch {
	case *s == SQE{}:
		panic("ring: " + modifier + " before a Prep")
	case s.Opcode >= 64 && ops != anyOp, s.Opcode < 64 && ops>>s.Opcode&1 == 0:
		panic("ring: " + modifier + " on " + s.Opcode.String())
	}
}

// clear makes an entry empty that is handed out: what its last request left
// must not pass for this one's.
func (s *SQE) clear() { *s = SQE{} }

// filled panics if one of the entries that are not consumed has had no Prep.
func (q *submissionQueue) filled() {
	for i := q.head.loadAcquire(); i != q.next; i++ {
		if q.sqes[(i&q.mask)<<q.shift] == (SQE{}) {
			panic("ring: an entry of NextSQE had no Prep")
		}
	}
}
