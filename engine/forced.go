//go:build linux

package engine

import (
	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/engine/ring"
	"github.com/quoit-go/quoit/internal/forced"
)

func init() { // for tests in other directories
	forced.ShiftRing = func(e any, hot bool) { e.(*Engine).gear.Shift(hot) }
	forced.BreakRing = func(e any) { breakRing(e.(*Engine)) }
	forced.HoldRing = func(e any) (release func()) { return holdRing(e.(*Engine)) }
}

// breakRing has the ring fail, by another file in place of it.
func breakRing(e *Engine) {
	e.post(&node{h: errand(func(l *loop) {
		if l == nil {
			return
		}
		null, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			err = unix.Dup3(null, l.k.(*osKernel).FD(), unix.O_CLOEXEC)
			unix.Close(null)
		}
		if err != nil {
			panic(err)
		}
		l.submit()
	})}, wantWatch)
}

// holdRing has the thread do nothing from its return until release.
func holdRing(e *Engine) (release func()) {
	holds, end := make(chan struct{}), make(chan struct{})
	e.post(&node{h: errand(func(l *loop) {
		close(holds)
		if l != nil {
			<-end
		}
	})}, wantWatch)
	<-holds
	return func() { close(end) }
}

// errand is a handler that the thread calls once, or anybody, without a loop, when
// there is no ring.
type errand func(l *loop)

func (f errand) serve(l *loop, _ want)         { f(l) }
func (f errand) leaveRing()                    { f(nil) }
func (errand) complete(*loop, kind, *ring.CQE) {}
func (errand) settle(*loop)                    {}
func (errand) Close() error                    { return nil }
