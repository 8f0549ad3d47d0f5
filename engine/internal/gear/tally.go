//go:build linux

package gear

import (
	"sync/atomic"

	"golang.org/x/sys/cpu"
)

// tally counts what Reads and Writes move, in either gear.
type tally struct {
	conns  atomic.Uint32
	meters [8]Meter
}

// Meter is some conns' part of it, on a cache line of its own.
type Meter struct {
	bytes       atomic.Uint64 // that Reads and Writes moved, large ones cut
	directReads atomic.Uint64 // that did not wait on the ring
	ringBytes   atomic.Uint64 // of Reads that did
	_           cpu.CacheLinePad
}

// maxTallied keeps a few large transfers from outweighing many small ones.
const maxTallied = 16 << 10

// Add counts n bytes of a Read or Write.
func (m *Meter) Add(n int) {
	if n > 0 {
		m.bytes.Add(uint64(min(n, maxTallied)))
	}
}

// Read counts a Read of n bytes, which may have waited on the ring.
func (m *Meter) Read(n int, waited bool) {
	if n <= 0 {
		return
	}
	m.Add(n)
	if waited {
		m.ringBytes.Add(uint64(n))
	} else {
		m.directReads.Add(1)
	}
}

func (t *tally) sum() (n uint64) {
	for i := range t.meters {
		n += t.meters[i].bytes.Load()
	}
	return n
}
