//go:build linux

package engine

import (
	"runtime"
	"runtime/debug"

	"github.com/quoit-go/quoit/engine/internal/lent"
)

// batch is memory of accepted Writes of one conn, which one send takes.
type batch struct {
	mark   lent.Mark
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
	batchPool = lent.Pool[batch]{
		Name:  batchName,
		New:   func() *batch { return new(batch) },
		Bytes: func(b *batch) []byte { return b.small[:] },
	}
	largePool = lent.Pool[[batchBytes]byte]{
		Name:  "a batch's memory",
		New:   func() *[batchBytes]byte { return new([batchBytes]byte) },
		Bytes: func(b *[batchBytes]byte) []byte { return b[:] },
	}
)

const batchName = "a batch"

func newBatch(now int64) *batch {
	b := batchPool.Get()
	b.b, b.writes, b.since = b.small[:0], 0, now
	return b
}

// add appends p, which fits into batchBytes, and reports whether it could be read.
func (b *batch) add(p []byte) bool {
	b.mark.Use(batchName)
	if b.large == nil && len(b.b)+len(p) > len(b.small) {
		b.large = largePool.Get()
		b.b = append(b.large[:0], b.b...)
	}
	if !couldRead(func() { b.b = append(b.b, p...) }) {
		return false
	}
	b.writes++
	return true
}

// bringIn has p be in memory, for somebody who is about to read it with a lock held: it
// may be of a mapped file, and on a disk. It reports whether p could be read.
func bringIn(p []byte) bool {
	return couldRead(func() {
		sum := p[len(p)-1]
		for i := 0; i < len(p); i += pageBytes {
			sum += p[i]
		}
		runtime.KeepAlive(sum) // or nothing would be read
	})
}

const pageBytes = 4 << 10 // the smallest there are

// couldRead calls read, which reads a caller's memory, and reports whether that could be
// done: it may be of a mapped file that has been cut short since. A system call would say
// EFAULT, while here the processor faults, which must not end the process.
func couldRead(read func()) (ok bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if v := recover(); v != nil {
			if _, fault := v.(interface{ Addr() uintptr }); !fault {
				panic(v)
			}
		}
	}()
	read()
	return true
}

// unsent returns what is left to send. It is b's until free.
func (b *batch) unsent() []byte {
	b.mark.Use(batchName)
	return b.b
}

// advance notes that n bytes were sent.
func (b *batch) advance(n int) { b.b = b.unsent()[n:] }

// free gives b's memory back. Nobody may use b after that, nor the kernel its bytes.
func (b *batch) free() {
	b.mark.End(batchName)
	if b.large != nil {
		largePool.Put(b.large)
		b.large = nil
	}
	batchPool.Put(b)
}
