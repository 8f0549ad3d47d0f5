//go:build linux

package ring

import (
	"sync/atomic"
	"unsafe"
)

// sharedIndex is a ring head or tail mapped with the kernel. sync/atomic is
// sequentially consistent, stronger than the names say; SQPOLL needs that
// between storing the tail and loading NEED_WAKEUP (liburing#541).
type sharedIndex struct{ p *atomic.Uint32 }

func indexAt(base unsafe.Pointer, off uint32) sharedIndex {
	return sharedIndex{(*atomic.Uint32)(unsafe.Add(base, off))}
}

// loadAcquire makes entries the kernel published visible.
func (i sharedIndex) loadAcquire() uint32 { return i.p.Load() }

// storeRelease publishes entries written before it.
func (i sharedIndex) storeRelease(v uint32) { i.p.Store(v) }

// sqePlaces is the memory of the submission entries.
type sqePlaces struct {
	sqes  []SQE
	mask  uint32
	shift uint8 // 1 for SetupSQE128
}

// at returns the entry with index i, which runs freely through 32 bits.
func (p *sqePlaces) at(i uint32) *SQE { return &p.sqes[(i&p.mask)<<p.shift] }

// sharedFlags is a word of bits that the kernel sets and clears.
type sharedFlags struct{ p *atomic.Uint32 }

func flagsAt(base unsafe.Pointer, off uint32) sharedFlags {
	return sharedFlags{(*atomic.Uint32)(unsafe.Add(base, off))}
}

func (f sharedFlags) has(bit uint32) bool { return f.p.Load()&bit != 0 }
