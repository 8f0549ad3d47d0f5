//go:build linux

package engine

import "sync/atomic"

// fdRef counts who may use a descriptor: its owner until Close, callers in
// the middle of a system call, and the engine while a request is in flight.
// The descriptor is closed when the last reference of a closed one has been
// dropped.
type fdRef struct{ v atomic.Uint32 }

const fdClosed = 1 << 31

func (r *fdRef) init() { r.v.Store(1) }

// acquire takes a reference, unless closed.
func (r *fdRef) acquire() bool {
	for {
		v := r.v.Load()
		if v&fdClosed != 0 {
			return false
		}
		if r.v.CompareAndSwap(v, v+1) {
			return true
		}
	}
}

// close refuses further references. The owner's own stays.
func (r *fdRef) close() { r.v.Or(fdClosed) }

func (r *fdRef) closed() bool { return r.v.Load()&fdClosed != 0 }

// alone reports whether a closed descriptor is used by its owner only.
func (r *fdRef) alone() bool { return r.v.Load() == fdClosed|1 }

// release drops a reference and reports whether the descriptor is now the
// caller's to close.
func (r *fdRef) release() bool { return r.v.Add(^uint32(0)) == fdClosed }
