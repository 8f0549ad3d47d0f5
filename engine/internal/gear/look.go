//go:build linux

package gear

import (
	"sync/atomic"
	"time"
)

// Where a single conn is busy and its peer answers at once, a Read that looks for
// some microseconds before it waits saves the way into the netpoller, two thread
// switches and the wake-up of an idle CPU. With more conns it is in their way. So a
// box asks for a comparison when a trial of the ring has shown that few are busy,
// and stops looking as soon as that is in vain too often.
const (
	LookTime = 30 * time.Microsecond // that a Read looks
	fewBusy  = 2                     // conns that a turn brings something

	looksJudged = 64 // at a time
	vainLooks   = 16 // that are too many of them
)

// look is whether Reads look, and how they fared.
type look struct {
	on    atomic.Bool
	count atomic.Uint32
	vain  atomic.Uint32 // since the last looksJudged
}

// looked counts a Read that was to look, and reports whether too many were in vain.
func (l *look) looked(found bool) (tooMany bool) {
	if !found {
		l.vain.Add(1)
	}
	return l.count.Add(1)%looksJudged == 0 && l.vain.Swap(0) > vainLooks
}
