package debug

import (
	"fmt"
	"slices"
	"time"

	"github.com/quoit-go/quoit"
)

// Finding is a sentence about an engine, and how much it matters.
type Finding struct {
	Level Level  `json:"level"`
	Text  string `json:"text"`
}

// Level says how much a [Finding] matters.
type Level string

const (
	LevelProblem Level = "problem" // costs performance or connections
	LevelNote    Level = "note"    // may explain something
	LevelGood    Level = "good"
)

const (
	lateWrite = 10 * time.Millisecond // what a Write should never have waited to be sent
	fewFiles  = 1024                  // descriptors, that a busy server runs out of soon
)

// find says what is remarkable about an engine in a process that may have maxFiles
// descriptors, problems first.
func find(st *quoit.Stats, maxFiles uint64, support quoit.Support) (out []Finding) {
	say := func(l Level, format string, args ...any) {
		out = append(out, Finding{l, fmt.Sprintf(format, args...)})
	}
	if st.Transport != "io_uring" {
		say(LevelProblem, "Package net serves, not io_uring: %v. The command quoit doctor says what to do.", st.Reason)
		return out
	}
	if st.RingsLost > 0 {
		say(LevelProblem, "Rings failed, %d so far, the last because of this: %v. Their connections went on in gear poll.", st.RingsLost, st.SetupError)
	}
	for _, l := range st.Listening {
		if l.AcceptFailures > 0 {
			say(LevelProblem, "%v: %d accepts failed. The process may have %d descriptors.", l.Addr, l.AcceptFailures, maxFiles)
		}
		if l.Queue > 0 && l.Queue >= (l.Backlog+1)/2 {
			say(LevelProblem, "%v: %d connections wait to be accepted, of %d that may. Accept is not called often enough.", l.Addr, l.Queue, l.Backlog)
		}
	}
	for _, x := range st.Steering {
		if x.Err != nil {
			say(LevelProblem, "%v: connections are steered %s, not as asked for: %v.", x.Addr, x.Policy, x.Err)
		}
	}
	if d := st.WorstWriteDelay; d >= lateWrite {
		say(LevelProblem, "A Write waited %v to be sent, within the last two seconds: all processors are busy. Config.DirectWrites rules that out.", d.Round(time.Millisecond))
	}
	for i, r := range st.Rings {
		if r.Held {
			say(LevelNote, "Ring %d has much more to do than others, and gets no new connections where there is a choice.", i)
		}
	}
	if st.Overflows > 0 {
		say(LevelNote, "A completion queue was full %d times, and the kernel kept what was over. Config.Entries makes it larger.", st.Overflows)
	}
	for _, f := range support.Features {
		switch {
		case f.Have:
		case f.MinKernel == "": // it is not the kernel that lacks it
			say(LevelNote, "There are no %s here: %s.", f.Name, f.Without)
		default:
			say(LevelNote, "The kernel (%s) lacks %s, which came with Linux %s: %s.", support.Kernel, f.Name, f.MinKernel, f.Use)
		}
	}
	if 0 < maxFiles && maxFiles < fewFiles {
		say(LevelNote, "The process may have %d descriptors only.", maxFiles)
	}
	if !slices.ContainsFunc(out, func(f Finding) bool { return f.Level == LevelProblem }) {
		say(LevelGood, "io_uring serves, and nothing is wrong that can be seen from here.")
	}
	return out
}
