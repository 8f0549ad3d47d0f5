package quoit

import (
	"net"
	"time"
)

// Stats is a snapshot of an engine's counters. Counters only grow.
type Stats struct {
	Transport string // "io_uring" or "net"
	Reason    error  // why Transport is "net"; nil on io_uring

	Conns     int    // open now
	Listeners int    // open now
	Accepted  uint64 // conns accepted
	Adopted   uint64 // conns dialed or taken over

	Enters      uint64 // io_uring_enter calls
	Completions uint64 // completion queue entries handled
	Wakeups     uint64 // times another thread woke a ring's
	Overflows   uint64 // times a completion queue overflowed

	Gear        Gear          // now: GearPoll, or GearRing if any ring is in it
	GearChanges uint64        // between the two
	RingTime    time.Duration // spent in GearRing, all rings added
	PollTime    time.Duration // spent in GearPoll

	// Of all engines of the process in GearAuto together.
	Comparisons uint64  // of the two gears under load
	RingCost    float64 // CPU time for the same work in GearRing by that in GearPoll, in the last of them

	BytesReceived  uint64 // by Reads that had waited on a ring
	DirectReads    uint64 // Reads that had not
	BusyReads      uint64 // Reads that found something by looking before they waited; see Config.BusyPoll
	BytesForwarded uint64 // from one conn to another by a ring's thread; see [Conn.ReadFrom]
	WritesBatched  uint64 // Writes that returned before they were sent
	Batches        uint64 // sends of such that a ring made, and no call of the conn's
	SendsParked    uint64 // Writes that met a full socket and waited
	AcceptFailures uint64 // accepts that failed: descriptor limits and the like

	// How long what such Writes had accepted waited for its send, by sends: bucket i
	// counts those of less than 2^i microseconds that no bucket before it does, and
	// the last the rest. WorstWriteDelay is the longest of the last second or two.
	WriteDelays     [20]uint64
	WorstWriteDelay time.Duration

	Rings    []RingStats     // each ring's share of the above
	Steering []SteeringStats // of each open listener that has one
}

// RingStats is one ring's part of [Stats]; fields of the same name mean the
// same.
type RingStats struct {
	CPU  int  // its thread is pinned to, or -1
	Held bool // much busier than others, and gets no new conns where there is a choice

	Conns                                   int
	Accepted, Adopted                       uint64
	Enters, Completions, Wakeups, Overflows uint64
	Gear                                    Gear
	GearChanges                             uint64
	RingTime, PollTime                      time.Duration
	BytesReceived, DirectReads, BusyReads   uint64
	BytesForwarded                          uint64
	WritesBatched, Batches, SendsParked     uint64
	WriteDelays                             [20]uint64
	WorstWriteDelay                         time.Duration
}

// SteeringStats is what the [Steering] of a listener did.
type SteeringStats struct {
	Addr      net.Addr // of the listener
	Policy    string   // what is in force
	Err       error    // why that is not what was asked for; nil if it is
	Decisions []uint64 // connections sent to each ring; nil if not known
}
