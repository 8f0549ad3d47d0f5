package doctor

import (
	"encoding/json"
	"errors"
	"io"

	"github.com/quoit-go/quoit"
)

// TrialCommand is the hidden command that one step of the examination is, in a
// process of its own: a filter that kills costs no more than that.
const TrialCommand = "doctor-trial"

// Trial performs a step and writes its result. It returns the exit status.
func Trial(step string, w io.Writer) int {
	result, err := perform(step)
	if err == nil {
		err = json.NewEncoder(w).Encode(result)
	}
	if err != nil {
		return 1
	}
	return 0
}

// perform takes one of the steps: a Call's name, "probe", or a gear. The
// results are a Call, a probed and a Trip.
func perform(step string) (any, error) {
	for _, name := range callNames {
		if step == name {
			return tryCall(name), nil
		}
	}
	switch step {
	case "probe":
		return probeHere(), nil
	case "auto", "ring", "poll", "net":
		return selfTest(step), nil
	}
	return nil, errors.New("no such step: " + step)
}

// callNames are the system calls that are tried. The last is for steering.
var callNames = []string{"io_uring_setup", "io_uring_enter", "io_uring_register", "bpf"}

// probed is what quoit.Probe says.
type probed struct {
	Error    *Failure
	Features []Feature
	Engine   Engine
}

func probeHere() probed {
	s := quoit.Probe()
	p := probed{
		Error:  failure(s.Err),
		Engine: Engine{Rings: s.Rings, Entries: s.Entries, Bytes: s.Rings * s.RingBytes},
	}
	for _, f := range s.Features {
		p.Features = append(p.Features, Feature(f))
	}
	return p
}
