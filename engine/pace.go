//go:build linux

package engine

import (
	"sync/atomic"
	"time"
)

// pace learns whether a conn reads on soon after it has written several times in a
// row: then the Writes can wait for that Read, which sends them. Where a caller
// computes in between, its peer would wait, too.
//
//	direct -- as many Reads in a row as proofs have come soon --> soon
//	soon   -- a Read has not, and proofs doubles ---------------> direct
//	soon   -- forgiven Reads in a row have, and proofs halves --> soon
type pace struct {
	began  atomic.Int64 // the second Write since a Read, in engine time; 0: none, or judged
	proven atomic.Int32 // Reads in a row that came soon, less proofs; below 0: direct
	proofs int32        // guarded by rmu
}

const (
	soonTime  = 500 * time.Microsecond
	minProofs = 2
	maxProofs = 1 << 10
	forgiven  = 64
)

func (p *pace) init() {
	p.proofs = minProofs
	p.proven.Store(-minProofs)
}

// begin notes the second Write since a Read. Called with wmu held.
func (p *pace) begin(now int64) { p.began.Store(now) }

func (p *pace) isSoon() bool { return p.proven.Load() >= 0 }

// take returns when the Writes began that a Read follows, once, or 0. Called with
// rmu held, as is judge.
func (p *pace) take() int64 {
	if p.began.Load() == 0 {
		return 0
	}
	return p.began.Swap(0)
}

// judge takes note of how long after them the Read came, in nanoseconds, and reports
// whether that was late.
func (p *pace) judge(d int64) (late bool) {
	n := p.proven.Load() + 1
	switch {
	case d > int64(soonTime):
		late = true
		p.proofs = min(2*p.proofs, maxProofs)
		n = -p.proofs
	case n == forgiven:
		p.proofs = max(p.proofs/2, minProofs)
		n = 0
	}
	p.proven.Store(n)
	return late
}

// lateness says whether the Reads of all conns of an engine come soon. Where more than
// one in lateCost is late, Writes are direct, whatever their conn has shown: of many conns
// each learns slowly, and the bytes of some wait meanwhile until the engine gets a
// processor. Any goroutine may call it; a note that is lost among others does not matter.
type lateness struct {
	score atomic.Int32 // lateCost more with each that is late, one less with each that is not
}

const (
	lateCost  = 64
	lateLimit = 4 * lateCost
	lateMost  = 16 * lateCost
)

func (l *lateness) note(late bool) {
	switch n := l.score.Load(); {
	case late && n < lateMost:
		l.score.Add(lateCost)
	case !late && n > 0:
		l.score.Add(-1)
	}
}

func (l *lateness) isRare() bool { return l.score.Load() < lateLimit }
