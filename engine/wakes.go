//go:build linux

package engine

// mostWoken bounds the callers that an engine has woken and that have not run
// yet. The run queue of a processor holds 256; out of a full one Go moves half to
// a queue that a busy processor looks at every 61st time, so that groups of
// callers would wait while others go round and round. The rest of it is for what
// callers start in their turn: net/http's have one goroutine more each. A second
// processor takes half of it over. Engines that share processors share their
// queues.
const (
	mostWoken  = 96 // of one processor
	maxWoken   = 192
	leastWoken = 8
)

// wakesSampled is of how many callers that are woken one has its way to a processor
// measured, which takes two looks at the clock.
const wakesSampled = 64

// mostFor is the bound for an engine that is one of rings.
func mostFor(rings, procs int) uint64 {
	return uint64(min(max(mostWoken*procs/max(rings, 1), leastWoken), maxWoken))
}

// wakes are the callers that a turn is to wake, first come, first served. Its
// completions are handled all the same: what waits here is only the waking.
// Engine thread only.
type wakes struct {
	most uint64 // see mostWoken
	queue[wakeup]
}

// wakeup is of a Read that is parked on the ring, or of a caller that waits for a token.
type wakeup struct {
	read interface{ wakeRead(l *loop) }
	ch   chan<- struct{}
}

// isFull reports whether the engine has woken as many callers as it may. One
// more it always may: others wake callers, too.
func (l *loop) isFull(woken int) bool {
	e := l.e
	return woken > 0 && e.readied.Load()-e.ran.Load() >= l.wakes.most
}

// wakeNext wakes those whose turn it is, until the engine is full.
func (l *loop) wakeNext() {
	for n := 0; !l.wakes.empty() && !l.isFull(n); n++ {
		u := l.wakes.pop()
		if u.read != nil {
			u.read.wakeRead(l)
		} else {
			l.e.ready(u.ch)
			l.woke = true
		}
	}
}

// ready passes ch a token, for a caller that is in wait.
func (e *Engine) ready(ch chan<- struct{}) {
	e.readied.Add(1)
	ch <- struct{}{}
}

// wait parks a caller until ready, and counts that it has run.
func (e *Engine) wait(ch <-chan struct{}) {
	<-ch
	e.hasRun()
}
