//go:build linux

package engine

import (
	"math"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// The clocks of a testing/synctest bubble are fake and its goroutines and
// channels closed to the outside, while sockets go on in real time outside.
// What the engine's thread shares with callers must therefore be made
// outside, and timed by the real clock.

// inBubble tells a bubble's clock by its readings, which have no monotonic part.
// A variable for the simulation, which lives in one.
var inBubble = func() bool { return !hasMonotonic(time.Now()) }

func hasMonotonic(t time.Time) bool { return t != t.Round(0) }

var (
	clockBase   = time.Now()
	clockOffset = readClock(unix.CLOCK_MONOTONIC)
)

// readClock asks the kernel, in nanoseconds.
func readClock(id int32) int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(id, &ts); err != nil {
		panic(err) // cannot fail
	}
	return ts.Nano()
}

// monotonic is CLOCK_MONOTONIC in nanoseconds, by the vDSO where it can.
func monotonic() int64 {
	t := time.Now()
	if !hasMonotonic(t) {
		return readClock(unix.CLOCK_MONOTONIC)
	}
	return int64(t.Sub(clockBase)) + clockOffset
}

// deadline turns a caller's deadline into engine time, with as few looks at
// the clock as can be: net/http sets several for each request. 0 is none, 1
// long past.
func deadline(k kernel, t time.Time) int64 {
	switch {
	case t.IsZero():
		return 0
	case t.Unix() < 24*60*60: // time.Unix(1, 0) and the like, in a bubble too
		return 1
	case hasMonotonic(t):
		// A reading of the monotonic clock needs no second one.
		return clampDeadline(int64(t.Sub(clockBase)), clockOffset)
	}
	return clampDeadline(int64(time.Until(t)), k.Now())
}

// clampDeadline adds, keeping what is past above 0; what is too far off to
// count never comes.
func clampDeadline(d, base int64) int64 {
	if d > math.MaxInt64-base {
		return 0
	}
	return max(1, d+base)
}

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

// newToken makes the channel on which a caller parks.
func newToken() (ch chan struct{}) {
	outside(func() { ch = make(chan struct{}, 1) })
	return ch
}
