package quoit

// Steering decides to which ring of an [Engine] a connection of a listener
// comes. [ListenConfig.Listen] then opens one listening socket a ring, on the
// same address by SO_REUSEPORT, and the kernel chooses among them; without
// Steering there is one socket, and the conns that it accepts go to the ring
// that has the fewest.
//
// The values come from this package, which need no privilege, or from package
// engine/steering, whose eBPF programs know the rings' loads. A program that
// does not import that package does not contain it.
//
// Load, Accepted, Drained and Hold are called from any goroutine, often, also
// before Attach and after Detach; they must not block. A panic in one of them, or in
// Detach, is logged, the first of a listener's with its stack, by [Config].Logger or
// on standard error, and nothing else comes of it. A panic in Attach goes on in the
// goroutine that called Listen; the sockets are closed by then.
type Steering interface {
	// Attach is called by Listen, with one listening TCP socket a ring.
	// cpus[i] is the CPU that ring i is pinned to, or -1. The sockets belong
	// to the listener: they are valid during the call only.
	Attach(sockets, cpus []int) error

	// Load tells how many conns a ring has, whoever opened them.
	Load(ring int, conns uint32)

	// Accepted tells that one of the connections sent to a ring has been
	// accepted, Drained that none of them waits to be.
	Accepted(ring int)
	Drained(ring int)

	// Hold asks to send connections elsewhere while a ring has much more work
	// than others.
	Hold(ring int, held bool)

	// Decisions appends to dst how many connections were sent to each ring, or
	// nothing if that is not known.
	Decisions(dst []uint64) []uint64

	// Detach is called when the sockets have been closed.
	Detach()

	// String says what is in force, such as "hash".
	String() string
}

// SteerByHash leaves the choice to the kernel's hash of both addresses and
// ports. First kernel: 3.9.
func SteerByHash() Steering { return byHash }

// SteerByCPU sends a connection to the ring whose index is the CPU that took
// its first packet in, modulo the number of rings, by a classic BPF program.
// The sockets must be the only ones on their address. First kernel: 4.6.
func SteerByCPU() Steering { return byCPU }

// SteerAtRandom is SteerByCPU with a random ring.
func SteerAtRandom() Steering { return atRandom }

// SteerByIncomingCPU prefers, by SO_INCOMING_CPU, the ring pinned to the CPU
// that took the first packet in; rings that [Config.Affinity] does not pin
// count as pinned to the CPU of their index. Where there is none the hash
// decides. First kernel: 6.2.
func SteerByIncomingCPU() Steering { return byIncomingCPU }

// plainSteering is done when it is attached.
type plainSteering int

const (
	byHash plainSteering = iota
	byCPU
	atRandom
	byIncomingCPU
)

var plainNames = [...]string{
	byHash: "hash", byCPU: "by CPU (classic BPF)", atRandom: "at random (classic BPF)", byIncomingCPU: "by CPU (SO_INCOMING_CPU)",
}

func (plainSteering) Load(int, uint32)                {}
func (plainSteering) Accepted(int)                    {}
func (plainSteering) Drained(int)                     {}
func (plainSteering) Hold(int, bool)                  {}
func (plainSteering) Decisions(dst []uint64) []uint64 { return dst }
func (plainSteering) Detach()                         {}
func (s plainSteering) String() string                { return plainNames[s] }
