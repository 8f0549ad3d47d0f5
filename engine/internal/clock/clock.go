//go:build linux

// Package clock has the time of an engine, and deadlines in it. It knows no engine.
//
// Engine time is CLOCK_MONOTONIC in nanoseconds, also in a testing/synctest bubble,
// whose own clock is fake while sockets go on in real time. A moment is an int64: 0
// is none, 1 long past.
package clock

import (
	"math"
	"time"

	"golang.org/x/sys/unix"
)

// HasMonotonic reports whether t is a reading of the real clock: those of a bubble
// have no monotonic part.
func HasMonotonic(t time.Time) bool { return t != t.Round(0) }

var (
	clockBase   = time.Now()
	clockOffset = Read(unix.CLOCK_MONOTONIC)
)

// Read asks the kernel for a clock of it, in nanoseconds.
func Read(id int32) int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(id, &ts); err != nil {
		panic(err) // cannot fail
	}
	return ts.Nano()
}

// Now is engine time, by the vDSO where it can.
func Now() int64 {
	t := time.Now()
	if !HasMonotonic(t) {
		return Read(unix.CLOCK_MONOTONIC)
	}
	return int64(t.Sub(clockBase)) + clockOffset
}

// Source is where engine time comes from. A test has its own.
type Source interface {
	// Now never jumps and is above 1.
	Now() int64
}

// Deadline turns a caller's deadline into engine time, with as few looks at
// the clock as can be: net/http sets several for each request.
func Deadline(c Source, t time.Time) int64 {
	switch {
	case t.IsZero():
		return 0
	case t.Unix() < 24*60*60: // time.Unix(1, 0) and the like, in a bubble too
		return 1
	case HasMonotonic(t):
		// A reading of the monotonic clock needs no second one.
		return clampDeadline(int64(t.Sub(clockBase)), clockOffset)
	}
	return clampDeadline(int64(time.Until(t)), c.Now())
}

// clampDeadline adds, keeping what is past above 0; what is too far off to
// count never comes.
func clampDeadline(d, base int64) int64 {
	if d > math.MaxInt64-base {
		return 0
	}
	return max(1, d+base)
}
