//go:build linux

package engine

import (
	"sync"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/engine/ring"
	"github.com/quoit-go/quoit/internal/forced"
)

func init() { // for tests in other directories
	forced.ShiftRing = func(e any, hot bool) { e.(*Engine).gear.Shift(hot) }
	forced.BreakRing = func(e any) error { return breakRing(e.(*Engine)) }
	forced.HoldRing = func(e any) (release func()) { return holdRing(e.(*Engine)) }
}

// breakRing has the ring's next enter fail, by another file in place of it.
func breakRing(e *Engine) error {
	null, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(null)
	if err := unix.Dup3(null, e.k.(*osKernel).fd, unix.O_CLOEXEC); err != nil {
		return err
	}
	e.rouse() // if it does not sleep, it enters soon
	return nil
}

// holdRing has the thread do nothing from its return until release.
func holdRing(e *Engine) (release func()) {
	h := &holder{holds: make(chan struct{}), release: make(chan struct{})}
	e.post(&node{h: h}, wantWatch)
	<-h.holds
	return func() { close(h.release) }
}

// holder is a handler whose only request takes the thread until release is closed.
type holder struct {
	once           sync.Once
	holds, release chan struct{}
}

func (h *holder) serve(*loop, want) {
	h.leaveRing()
	<-h.release
}
func (h *holder) leaveRing()                    { h.once.Do(func() { close(h.holds) }) }
func (*holder) complete(*loop, kind, *ring.CQE) {}
func (*holder) settle(*loop)                    {}
func (*holder) Close() error                    { return nil }
