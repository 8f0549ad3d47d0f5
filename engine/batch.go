//go:build linux

package engine

import (
	"runtime/debug"
	"sync"
)

// batch is memory of accepted Writes of one conn, which one send takes.
type batch struct {
	b      []byte // what is left to send
	writes uint64
	since  int64             // when the first was accepted, in engine time
	small  [1 << 10]byte     // room for most
	large  *[batchBytes]byte // for more, once needed
}

const batchBytes = 16 << 10 // of one conn, at once

// Most batches are small, and there can be one a conn: their memory should
// stay in the cache.
var (
	batchPool = sync.Pool{New: func() any { return new(batch) }}
	largePool = sync.Pool{New: func() any { return new([batchBytes]byte) }}
)

func newBatch(now int64) *batch {
	b := batchPool.Get().(*batch)
	b.b, b.writes, b.since = b.small[:0], 0, now
	return b
}

// add appends p, which fits into batchBytes, and reports whether it could be
// read: p may lie in a mapped file that has been cut short since. A system call
// would say EFAULT, while here the processor faults, which must not end the
// process.
func (b *batch) add(p []byte) (ok bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if v := recover(); v != nil {
			if _, fault := v.(interface{ Addr() uintptr }); !fault {
				panic(v)
			}
		}
	}()
	if b.large == nil && len(b.b)+len(p) > len(b.small) {
		b.large = largePool.Get().(*[batchBytes]byte)
		b.b = append(b.large[:0], b.b...)
	}
	b.b = append(b.b, p...)
	b.writes++
	return true
}

func (b *batch) free() {
	if b.large != nil {
		largePool.Put(b.large)
		b.large = nil
	}
	batchPool.Put(b)
}
