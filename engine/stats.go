//go:build linux

package engine

import (
	"reflect"
	"sync/atomic"
	"time"
)

// Counters are what an engine counts where it happens. N is atomic.Uint64 in
// the engine, uint64 in a snapshot.
type Counters[N any] struct {
	Enters, Completions, Wakeups, Overflows N
	Batches, WritesBatched, SendsParked     N
	Accepted, Adopted, AcceptFailures       N
	BytesForwarded, BusyReads               N
}

// Snapshot is what Stats returns. Its fields have the names of those of quoit.Stats, and
// get there by their names.
type Snapshot struct {
	Counters[uint64]
	Conns, Listeners         int
	BytesReceived, BytesSent uint64
	DirectReads, RingReads   uint64
	GearChanges              uint64
	RingTime, PollTime       time.Duration
	TurnSizes                [Buckets]uint64
	WakeDelays               [Buckets]uint64
	WakeDelaySum             time.Duration
	WriteDelays              [Buckets]uint64
	WriteDelaySum            time.Duration
	WorstWriteDelay          time.Duration // of this second and the one before
}

// snapshot reads each counter.
func snapshot(c *Counters[atomic.Uint64]) (out Counters[uint64]) {
	from, to := reflect.ValueOf(c).Elem(), reflect.ValueOf(&out).Elem()
	for i := range to.NumField() {
		to.Field(i).SetUint(from.Field(i).Addr().Interface().(*atomic.Uint64).Load())
	}
	return out
}
