//go:build linux

package ring

// Kind tells completions of one consumer's request types apart.
type Kind uint8

// UserData is kind<<56 | generation<<32 | slot. Never a pointer: the
// collector cannot see the kernel's copy. Generation changes on slot reuse,
// so a late CQE cannot reach the next connection.
type UserData uint64

const slotBits, genBits, kindBits = 32, 24, 8

var _ = [1]struct{}{}[64-slotBits-genBits-kindBits] // exactly 64 bits

// NewUserData takes gen modulo 1<<24.
func NewUserData(k Kind, gen, slot uint32) UserData {
	return UserData(k)<<(genBits+slotBits) | UserData(gen&(1<<genBits-1))<<slotBits | UserData(slot)
}

// Kind returns what NewUserData was given.
func (u UserData) Kind() Kind { return Kind(u >> (genBits + slotBits)) }

// Gen returns the low 24 bits of what NewUserData was given.
func (u UserData) Gen() uint32 { return uint32(u>>slotBits) & (1<<genBits - 1) }

// Slot returns what NewUserData was given.
func (u UserData) Slot() uint32 { return uint32(u) }
