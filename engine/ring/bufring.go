//go:build linux

package ring

import (
	"errors"
	"fmt"
	"iter"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// BufRing is the ring of a provided-buffer group: the owner adds buffers, each with
// a number of its own, requests with SetBufferGroup and their like use them in
// the order in which they were added, and completions name them. Package pbuf has
// a group whose buffers other goroutines may give back.
//
// A buffer belongs to the kernel from Add or Return until the completion that
// Buffers shows without CQE.BufMore behind it; from then to the caller, until Add
// or Return. The bytes that Buffers shows are the caller's at once, also where the
// kernel goes on with the rest of the buffer.
//
// A BufRing is its ring's owner's: only that may call its methods. ID and Flags
// are safe for concurrent use.
type BufRing struct {
	// Immutable from SetupBufRing to Close.
	r        *Ring
	id       uint16
	flags    BufRingFlags
	mem      []byte // mapped; descs and tail lie in it
	descs    []buf
	tailWord *atomic.Uint32 // bytes 12 to 15 of descs: tail<<16 | descs[0].bid

	tail uint16       // as of Add, ahead of the published one until Publish
	bid0 uint16       // descs[0].bid, whose word the tail shares
	last uint16       // the buffer added last
	bufs []ringBuffer // by number
}

// ringBuffer is a buffer of a BufRing. The slice keeps its memory.
type ringBuffer struct {
	mem  []byte
	used int    // bytes that completions have shown
	next uint16 // the buffer added after this one
	lent bool   // the kernel has it
}

// maxBufs is the most buffers that a BufRing can have.
const maxBufs = 32768

// SetupBufRing makes group bgid a ring with room for entries buffers, a power of two
// up to 32768; it is empty until Add and Publish. With BufRingInc a kernel that
// does not know it, before Linux 6.12, makes an ordinary ring: BufRing.Flags says
// which it is, and the same code serves both.
//
// The ring keeps the BufRing referenced, and so the buffers' memory, until
// either is closed. EEXIST means that bgid is taken, or that this is not the
// issuer's thread. Only the ring's owner may call it. Linux 5.19.
func (r *Ring) SetupBufRing(entries uint32, bgid uint16, flags BufRingFlags) (*BufRing, error) {
	return r.setupBufRing(entries, bgid, flags, r.RegisterBufRingFlags)
}

// setupBufRing is SetupBufRing with what registers, for tests of older kernels.
func (r *Ring) setupBufRing(entries uint32, bgid uint16, flags BufRingFlags,
	register func(unsafe.Pointer, uint32, uint16, BufRingFlags) error) (*BufRing, error) {
	if entries == 0 || entries > maxBufs || entries&(entries-1) != 0 {
		return nil, refuse(opRegister, "the entries of a buffer ring are a power of two up to 32768")
	}
	mem, err := unix.Mmap(-1, 0, int(entries)*int(sizeofBuf), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, wrapError(opMmap, err)
	}
	if err := unix.Madvise(mem, unix.MADV_DONTFORK); err != nil {
		_ = unix.Munmap(mem)
		return nil, wrapError("madvise", err)
	}
	at := unsafe.Pointer(unsafe.SliceData(mem))
	err = register(at, entries, bgid, flags)
	if flags&BufRingInc != 0 && errors.Is(err, syscall.EINVAL) {
		flags &^= BufRingInc
		err = register(at, entries, bgid, flags)
	}
	if err != nil {
		_ = unix.Munmap(mem)
		return nil, err
	}
	b := &BufRing{
		r: r, id: bgid, flags: flags, mem: mem,
		descs:    unsafe.Slice((*buf)(at), entries),
		tailWord: (*atomic.Uint32)(unsafe.Add(at, unsafe.Offsetof(buf{}.bid))),
		bufs:     make([]ringBuffer, entries),
	}
	if r.keep == nil {
		r.keep = map[uint16]any{}
	}
	r.keep[bgid] = b
	return b, nil
}

// Add puts mem into the ring as buffer bid, whose number is less than the ring's
// entries. The kernel sees it with the next Publish. mem, of the heap or mapped,
// stays referenced until another Add of bid or Close. A number that is too large,
// a buffer that the kernel has, and a mem without bytes panic.
func (b *BufRing) Add(bid uint16, mem []byte) {
	b.r.owner.use()
	e := b.buffer(bid, false)
	if len(mem) == 0 {
		panic(fmt.Sprintf("ring: buffer %d has no memory", bid))
	}
	mem = mem[:bytesLen(mem):bytesLen(mem)]
	*e = ringBuffer{mem: mem, lent: true}
	b.bufs[b.last].next, b.last = bid, bid
	i := int(b.tail) & (len(b.descs) - 1)
	d := &b.descs[i]
	d.addr, d.len = address(unsafe.Pointer(unsafe.SliceData(mem))), uint32(len(mem))
	if i == 0 {
		b.bid0 = bid // its word is Publish's: the kernel reads the tail there
	} else {
		d.bid = bid
	}
	b.tail++
}

// Return is Add of the memory that buffer bid had before.
func (b *BufRing) Return(bid uint16) { b.Add(bid, b.buffer(bid, false).mem) }

// Publish shows the kernel the buffers that were added since the last Publish, with
// one store and without a system call. A multishot receive that ended for want
// of buffers has to be submitted again.
func (b *BufRing) Publish() {
	b.r.owner.use()
	// The tail is 16 bits, for which Go has no atomics, so the number beside it is
	// stored again with it.
	b.tailWord.Store(uint32(b.tail)<<16 | uint32(b.bid0))
}

// Buffers iterates over the buffers that completion c used and the bytes that it has
// received into them, or sent from them: one buffer as a rule, several for a
// request with SetBundle, none if c names none. Call it once for each
// completion, in their order, for it notes what becomes of the buffers, also of
// those that the loop leaves out.
//
// Behind each but the last the buffer is the caller's, and behind the last unless
// c.BufMore says that the kernel keeps it: then the bytes are still the caller's,
// and a later completion shows what follows them. The body may call Add, Return
// and Publish. A buffer that the kernel does not have panics.
//
// In a BufRingInc ring the kernel names no offset, so that parts are told apart by
// the order of the completions: use it for requests of one kind, such as
// multishot receives.
func (b *BufRing) Buffers(c *CQE) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		b.r.owner.use()
		bid, ok := c.Buffer()
		seen, left := true, max(int(c.Res), 0)
		for more := c.BufMore(); ok; ok = left > 0 {
			e := b.buffer(bid, true)
			start, next := e.used, e.next
			end := start + min(left, len(e.mem)-start)
			left -= end - start
			if e.used = end; left > 0 || !more {
				e.lent = false
			}
			if seen {
				seen = yield(bid, e.mem[start:end:end])
			}
			bid = next
		}
	}
}

// buffer returns buffer bid, which the kernel has if lent says so, and else has not.
func (b *BufRing) buffer(bid uint16, lent bool) *ringBuffer {
	switch {
	case int(bid) >= len(b.bufs):
		panic(fmt.Sprintf("ring: buffer %d of %d", bid, len(b.bufs)))
	case b.bufs[bid].lent && !lent:
		panic(fmt.Sprintf("ring: buffer %d is the kernel's", bid))
	case !b.bufs[bid].lent && lent:
		panic(fmt.Sprintf("ring: buffer %d is not the kernel's", bid))
	}
	return &b.bufs[bid]
}

// ID returns the group's number.
func (b *BufRing) ID() uint16 { return b.id }

// Flags returns what the kernel made of SetupBufRing's flags.
func (b *BufRing) Flags() BufRingFlags { return b.flags }

// Close takes the group from the kernel and lets go of the buffers; a second Close
// does nothing. End the requests that use the group before, and close it before
// its ring. If the kernel will not give the group up, Close returns its error,
// and the memory stays.
func (b *BufRing) Close() error {
	if b.mem == nil {
		return nil
	}
	if err := b.r.UnregisterBufRing(b.id); err != nil {
		return err
	}
	delete(b.r.keep, b.id)
	_ = unix.Munmap(b.mem)
	b.mem, b.descs, b.tailWord, b.bufs = nil, nil, nil, nil // a late use panics
	return nil
}
