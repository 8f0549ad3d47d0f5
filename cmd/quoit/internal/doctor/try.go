package doctor

import (
	"errors"
	"syscall"
)

// endedError says how a trial ended that gave no result.
type endedError struct {
	how    string
	killed bool // by the SIGSYS of a filter
}

func (e *endedError) Error() string { return e.how }

// startError says that a trial could not be started.
type startError struct{ err error }

func (e *startError) Error() string { return "no process for the trials: " + e.err.Error() }
func (e *startError) Unwrap() error { return e.err }

// tryAll tries the calls, and then what is not going to end the process.
func (r *Report) tryAll(try func(step string, result any) error) {
	for _, name := range callNames {
		c := Call{Name: name, Answer: notTried}
		err := try(name, &c)
		if se, ok := errors.AsType[*startError](err); ok {
			r.child = se
			r.SelfTest = append(r.SelfTest, Trip{Gear: "auto", Error: failure(se), Skipped: true})
			r.Error = failure(se)
			return
		}
		if ee, ok := errors.AsType[*endedError](err); ok && ee.killed {
			c.Answer = kills
		}
		r.Calls = append(r.Calls, c)
	}
	deadly := r.deadly()
	if !deadly {
		r.tryProbe(try)
	}
	for _, gear := range []string{"auto", "ring", "poll", "net"} {
		t := Trip{Gear: gear, Skipped: deadly && gear != "net"}
		if !t.Skipped {
			r.tryTrip(try, &t)
		}
		r.SelfTest = append(r.SelfTest, t)
	}
	// The probe's ring is small next to an engine's.
	if auto := r.trip("auto"); r.Error == nil && auto.Reason != nil {
		r.Error, r.Engine = auto.Reason, Engine{}
	}
}

func (r *Report) tryProbe(try func(step string, result any) error) {
	var p probed
	if err := try("probe", &p); err != nil {
		p = probed{Error: failure(err)}
	}
	r.Error, r.Features, r.Engine = p.Error, p.Features, p.Engine
}

// tryTrip runs the self-test in a gear. The kernel gives the memory of the last
// trial's ring back after a while, so that a lack of it is looked at twice.
func (r *Report) tryTrip(try func(step string, result any) error, t *Trip) {
	for range 2 {
		got := Trip{Gear: t.Gear}
		if err := try(t.Gear, &got); err != nil {
			got.Error = failure(err)
		}
		*t = got
		if r.Error != nil || !t.Reason.isAny(syscall.ENOMEM) {
			return
		}
	}
}
