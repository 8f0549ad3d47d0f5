//go:build linux

package quoit

import (
	"math/rand/v2"
	"time"
)

// shiftAll changes the gear of all rings.
func (e *Engine) shiftAll(hot bool) {
	for _, r := range e.t.rings {
		r.Shift(hot)
	}
}

// StartFlipping has the default engine change its gear every now and then,
// where that is asked for.
func StartFlipping() (stop func()) {
	e := Default()
	if testGear != "flip" || e.t == nil {
		return func() {}
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for hot := true; ; hot = !hot {
			select {
			case <-quit:
				return
			case <-time.After(time.Duration(rand.Int64N(int64(2 * time.Millisecond)))):
				e.shiftAll(hot)
			}
		}
	}()
	return func() { close(quit); <-done }
}
