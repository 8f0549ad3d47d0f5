package steering

// The memory that the program and user space share, as byte offsets; the
// package comment draws it. The program's loads have 16 bits for an offset,
// so the tables come before the rings.
const (
	offPolicy    = 0   // a Policy
	offTurns     = 8   // how many of the turns count
	offRings     = 16  // how many rings there are
	offTicket    = 64  // round robin: the next turn
	offUnsteered = 128 // left to the kernel's hash
	offTurn      = 256
	offCPU       = offTurn + maxTurns
	offSlot      = offCPU + maxCPUs*perCPU
	offRing      = offSlot + slots
	memoryBytes  = offRing + MaxRings*ringBytes

	maxTurns = 4096 // rings in the order of round robin
	maxCPUs  = 512  // CPUs are taken modulo this
	perCPU   = 8    // for rings that share a CPU
	slotBits = 14
	slots    = 1 << slotBits
)

// A ring's record. The program writes only the second cache line of it, and
// user space only the first.
const (
	ringLoad     = 0  // open connections
	ringAccepted = 8  // of sent
	ringWeight   = 16 // 0 if it gets nothing
	ringHeld     = 24 // 0 or 1
	ringBase     = 32 // of sent: before the rules changed
	ringSent     = 64
	ringMigrated = 72 // of sent
	ringShift    = 7
	ringBytes    = 1 << ringShift
)

// A table entry is a byte.
var _ = [1]struct{}{}[MaxRings-1<<8]

// word is the index of a ring's 64-bit word.
func word(ring, field int) int { return (offRing + ring*ringBytes + field) / 8 }
