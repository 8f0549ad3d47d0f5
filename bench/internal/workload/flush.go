package workload

import (
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A flush is a request of FlushBytes, the time to compute. It is answered by
// FlushParts Writes of FlushBytes, each the time of its Write: the last comes
// after the computing, the others before it.
const (
	FlushBytes = 8
	FlushParts = 3

	// FlushLeast and FlushMost bound the time to compute, of those that do.
	FlushLeast = time.Millisecond
	FlushMost  = 50 * time.Millisecond
)

// PutDuration and Duration are how a flush's times are written down.
func PutDuration(p []byte, d time.Duration) { binary.BigEndian.PutUint64(p, uint64(d)) }

func Duration(p []byte) time.Duration { return time.Duration(binary.BigEndian.Uint64(p)) }

// Clock is the time since the machine's start: the same in all processes.
func Clock() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err) // every Linux has it
	}
	return time.Duration(ts.Nano())
}

// ComputeFor keeps a processor busy for about d of its time, however long it
// takes to get that.
func ComputeFor(d time.Duration) {
	for range d / computeUnit() {
		unit()
	}
}

// computeUnit is what unit takes on a processor that nothing else wants: the
// shortest of some.
var computeUnit = sync.OnceValue(func() time.Duration {
	shortest := time.Hour
	for range 200 {
		start := Clock()
		unit()
		shortest = min(shortest, Clock()-start)
	}
	return max(shortest, 1)
})

// unit takes some ten microseconds.
func unit() { sha256.Sum256(pattern[:1<<14]) }
