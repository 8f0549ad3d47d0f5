//go:build linux

package engine

import (
	"runtime"
	"sync"
	"time"

	"github.com/quoit-go/quoit/engine/internal/clock"
)

// The clocks of a testing/synctest bubble are fake and its goroutines and
// channels closed to the outside, while sockets go on in real time outside.
// What callers share with the engine's thread and with timers must therefore be
// made outside, and timed by the real clock.

// inBubble tells a bubble's clock by its readings, which have no monotonic part.
// A variable for the simulation, which lives in one.
var inBubble = func() bool { return !clock.HasMonotonic(time.Now()) }

var (
	outsideMu    sync.Mutex          // held during a call
	outsideOn    bool                // serveOutside runs; guarded by outsideMu
	outsideCalls = make(chan func()) // made at init, so of no bubble
	outsideDone  = make(chan struct{})
)

// outside runs f, on a goroutine that is in no bubble, and returns when it
// has. f must not block.
func outside(f func()) {
	if !inBubble() {
		f()
		return
	}
	outsideMu.Lock()
	defer outsideMu.Unlock()
	if !outsideOn {
		outsideOn = true
		// A bubble's goroutine can only start goroutines of the bubble, but
		// finalizers run in none.
		runtime.SetFinalizer(&struct{ p, q *int }{}, func(any) { go serveOutside() })
		runtime.GC()
	}
	outsideCalls <- f
	<-outsideDone
}

// serveOutside runs calls until there is none for a while.
func serveOutside() {
	for {
		select {
		case f := <-outsideCalls:
			f()
			outsideDone <- struct{}{}
		case <-time.After(100 * time.Millisecond):
			if outsideMu.TryLock() {
				outsideOn = false
				outsideMu.Unlock()
				return
			}
		}
	}
}

// setTimer has f called after d of the real clock, on a goroutine that is in no
// bubble: by t, or, if that is nil, by a new timer, which it returns.
func setTimer(k kernel, t timer, d time.Duration, f func()) timer {
	outside(func() {
		if t == nil {
			t = k.AfterFunc(d, f)
		} else {
			t.Reset(d)
		}
	})
	return t
}

// newToken makes the channel on which a caller parks.
func newToken() (ch chan struct{}) {
	outside(func() { ch = make(chan struct{}, 1) })
	return ch
}
