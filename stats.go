package quoit

import (
	"net"
	"time"
)

// Stats is a snapshot of an engine's counters. Counters only grow.
//
// It encodes as JSON, by the keys below: Gear by its name, errors and addresses as
// text ("" for none), durations as nanoseconds in keys that end in _ns. This
// package does not decode it.
//
// The arrays are histograms: bucket i counts what is less than 2^i and in no bucket
// before it, and the last bucket the rest. Delays are in microseconds there.
type Stats struct {
	Transport string `json:"transport"` // "io_uring" or "net"
	Reason    error  `json:"reason"`    // why Transport is "net"; nil on io_uring

	Conns     int    `json:"conns"`     // open now
	Listeners int    `json:"listeners"` // open now
	Accepted  uint64 `json:"accepted"`  // conns accepted
	Adopted   uint64 `json:"adopted"`   // conns dialed or taken over

	Enters      uint64 `json:"enters"`      // io_uring_enter calls
	Completions uint64 `json:"completions"` // completion queue entries handled
	Wakeups     uint64 `json:"wakeups"`     // times another thread woke a ring's
	Overflows   uint64 `json:"overflows"`   // times a completion queue overflowed

	Gear        Gear          `json:"gear"`         // now: GearPoll, or GearRing if any ring is in it
	GearChanges uint64        `json:"gear_changes"` // between the two
	RingTime    time.Duration `json:"ring_time_ns"` // spent in GearRing, all rings added
	PollTime    time.Duration `json:"poll_time_ns"` // spent in GearPoll

	// Of all engines of the process in GearAuto together.
	Comparisons uint64  `json:"comparisons"` // of the two gears under load
	RingCost    float64 `json:"ring_cost"`   // CPU time for the same work in GearRing by that in GearPoll, in the last of them

	// But for what callers move themselves, by SyscallConn and File, and messages of
	// unix sockets.
	BytesReceived  uint64 `json:"bytes_received"`
	BytesSent      uint64 `json:"bytes_sent"`      // or accepted to be sent, by Write
	BytesForwarded uint64 `json:"bytes_forwarded"` // in both, from one conn to another by a ring's thread; see [Conn.ReadFrom]

	RingReads      uint64 `json:"ring_reads"`      // Reads that had waited on a ring
	DirectReads    uint64 `json:"direct_reads"`    // Reads that had not
	BusyReads      uint64 `json:"busy_reads"`      // Reads that found something by looking before they waited; see Config.BusyPoll
	WritesBatched  uint64 `json:"writes_batched"`  // Writes that returned before they were sent
	Batches        uint64 `json:"batches"`         // sends of such Writes by a ring's thread, not by the conn's next call
	SendsParked    uint64 `json:"sends_parked"`    // Writes that met a full socket and waited
	AcceptFailures uint64 `json:"accept_failures"` // accepts that failed: descriptor limits and the like

	// TurnSizes are the turns of the rings' threads, by the completions in each.
	TurnSizes [20]uint64 `json:"turn_sizes"`

	// WakeDelays are how long callers that a ring woke, or a deadline, took to run
	// again: of one in 64 of them. WakeDelaySum is all those added.
	WakeDelays   [20]uint64    `json:"wake_delays"`
	WakeDelaySum time.Duration `json:"wake_delay_sum_ns"`

	// WriteDelays are how long what WritesBatched counts waited for its send, by
	// sends. WorstWriteDelay is the longest of the last second or two.
	WriteDelays     [20]uint64    `json:"write_delays"`
	WriteDelaySum   time.Duration `json:"write_delay_sum_ns"`
	WorstWriteDelay time.Duration `json:"worst_write_delay_ns"`

	// A set-up that failed for want of memory or descriptors is tried again, and so is
	// that of a ring that failed, whose conns go on in gear poll.
	RingsLost    uint64 `json:"rings_lost"`    // rings that failed
	SetupRetries uint64 `json:"setup_retries"` // set-ups that were tried again
	SetupError   error  `json:"setup_error"`   // why the last set-up or ring failed; nil if none has

	Rings     []RingStats     `json:"rings"`     // each ring's share of the above
	Listening []ListenerStats `json:"listening"` // each open listener
	Steering  []SteeringStats `json:"steering"`  // of each open listener that has one
}

// RingStats is one ring's part of [Stats]; fields of the same name mean the
// same, and have the same keys.
type RingStats struct {
	CPU  int  `json:"cpu"`  // its thread is pinned to, or -1
	Held bool `json:"held"` // much busier than others, and gets no new conns where there is a choice

	Conns    int    `json:"conns"`
	Accepted uint64 `json:"accepted"`
	Adopted  uint64 `json:"adopted"`

	Enters      uint64 `json:"enters"`
	Completions uint64 `json:"completions"`
	Wakeups     uint64 `json:"wakeups"`
	Overflows   uint64 `json:"overflows"`

	Gear        Gear          `json:"gear"`
	GearChanges uint64        `json:"gear_changes"`
	RingTime    time.Duration `json:"ring_time_ns"`
	PollTime    time.Duration `json:"poll_time_ns"`

	BytesReceived  uint64 `json:"bytes_received"`
	BytesSent      uint64 `json:"bytes_sent"`
	BytesForwarded uint64 `json:"bytes_forwarded"`

	RingReads     uint64 `json:"ring_reads"`
	DirectReads   uint64 `json:"direct_reads"`
	BusyReads     uint64 `json:"busy_reads"`
	WritesBatched uint64 `json:"writes_batched"`
	Batches       uint64 `json:"batches"`
	SendsParked   uint64 `json:"sends_parked"`

	TurnSizes       [20]uint64    `json:"turn_sizes"`
	WakeDelays      [20]uint64    `json:"wake_delays"`
	WakeDelaySum    time.Duration `json:"wake_delay_sum_ns"`
	WriteDelays     [20]uint64    `json:"write_delays"`
	WriteDelaySum   time.Duration `json:"write_delay_sum_ns"`
	WorstWriteDelay time.Duration `json:"worst_write_delay_ns"`
}

// ListenerStats is what became of the conns of an open listener, and who waits now.
// With a [Steering] it is all its sockets together.
type ListenerStats struct {
	Addr           net.Addr `json:"addr"`
	Accepted       uint64   `json:"accepted"`        // conns accepted
	AcceptFailures uint64   `json:"accept_failures"` // accepts that failed: descriptor limits and the like

	// Queue is how many conns are established and not accepted, Backlog how many may
	// be: the kernel refuses more, or has them try again, and counts them for the
	// whole network namespace only. -1 for unix sockets, where it does not say.
	Queue   int `json:"queue"`
	Backlog int `json:"backlog"`
}

// SteeringStats is what the [Steering] of a listener did.
type SteeringStats struct {
	Addr      net.Addr `json:"addr"`      // of the listener
	Policy    string   `json:"policy"`    // what is in force
	Err       error    `json:"err"`       // why that is not what was asked for; nil if it is
	Decisions []uint64 `json:"decisions"` // connections sent to each ring; nil if not known
}
