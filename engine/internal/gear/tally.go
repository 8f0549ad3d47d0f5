//go:build linux

package gear

import "sync/atomic"

// tally counts what Reads and Writes move, in either gear.
type tally struct {
	conns  atomic.Uint32
	meters [8]Meter
}

// Pad keeps what stands before it off the cache line of what stands behind it: 64 bytes on
// amd64 and arm64. It is not that of x/sys/cpu, which on arm64 reads a file when the
// program starts, and so opens Go's netpoller: without descriptors for that the
// program ends, though none of its calls needs it.
type Pad [64]byte

// Meter is some conns' part of it, on a cache line of its own.
type Meter struct {
	received    atomic.Uint64 // bytes
	sent        atomic.Uint64 // bytes
	uncounted   atomic.Uint64 // of those two, what is not the tally's
	directReads atomic.Uint64 // that did not wait on the ring
	ringReads   atomic.Uint64 // that did
	_           Pad
}

// maxTallied keeps a few large transfers from outweighing many small ones.
const maxTallied = 16 << 10

// Write counts a Write of n bytes.
func (m *Meter) Write(n int) {
	if n > 0 {
		m.sent.Add(uint64(n))
		m.cut(n)
	}
}

// cut has the tally count no more than maxTallied of n bytes.
func (m *Meter) cut(n int) {
	if n > maxTallied {
		m.uncounted.Add(uint64(n - maxTallied))
	}
}

// Read counts a Read of n bytes, which may have waited on the ring.
func (m *Meter) Read(n int, waited bool) {
	if n <= 0 {
		return
	}
	m.received.Add(uint64(n))
	m.cut(n)
	if waited {
		m.ringReads.Add(1)
	} else {
		m.directReads.Add(1)
	}
}

// MovedIn and MovedOut count n bytes that the kernel moved from and to a socket
// without a Read or Write, which is nothing to the tally.
func (m *Meter) MovedIn(n int64) {
	m.received.Add(uint64(n))
	m.uncounted.Add(uint64(n))
}

func (m *Meter) MovedOut(n int64) {
	m.sent.Add(uint64(n))
	m.uncounted.Add(uint64(n))
}

// sum returns the bytes that Reads and Writes moved, large ones cut.
func (t *tally) sum() (n uint64) {
	for i := range t.meters {
		m := &t.meters[i]
		uncounted := m.uncounted.Load() // first: it is what is added last
		n += m.received.Load() + m.sent.Load() - uncounted
	}
	return n
}
