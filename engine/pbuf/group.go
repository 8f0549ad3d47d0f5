//go:build linux

package pbuf

import (
	"fmt"
	"math"
	"os"
	"structs"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/engine/internal/lent"
)

// Registrar is the part of an io_uring that a Group needs. *ring.Ring is one.
type Registrar interface {
	RegisterBufRing(mem unsafe.Pointer, entries uint32, bgid uint16) error
	UnregisterBufRing(bgid uint16) error
}

// MaxEntries is the most buffers that one group can have.
const MaxEntries = 32768

// Group is a provided-buffer group. See the package comment for who may call
// which method.
type Group struct {
	// Immutable from New to Close.
	reg      Registrar
	id       uint16
	bufBytes int
	mask     uint32
	ringMem  []byte         // mapped; descs and tail lie in it
	bufMem   []byte         // mapped; buffer bid starts at bid*bufBytes
	descs    []desc         // shared with the kernel
	tailWord *atomic.Uint32 // bytes 12 to 15 of descs: tail<<16 | descs[0].bid
	next     []uint32       // stack links by bid: 1 + the bid below, 0 at the bottom
	poison   *poison        // nil unless SetPoison

	// The owner's.
	tail  uint16 // as published
	bid0  uint16 // descs[0].bid, whose word the tail shares
	given int    // buffers that the kernel has had; those above never were in use
	_     [64]byte

	// Shared. Each on a cache line of its own: all connections push, and the
	// owner counts.
	returned atomic.Uint32 // top of the stack: 1 + bid, 0 if empty
	_        [60]byte
	out      atomic.Int32 // stored by the owner alone
	_        [60]byte

	consumed uint16 // Consume's head
}

// desc is struct io_uring_buf. The ring's tail lies over the first one's resv.
type desc struct {
	_ structs.HostLayout

	addr uint64
	len  uint32
	bid  uint16
	resv uint16
}

const sizeofDesc = 16

// firstEntries is how many buffers the kernel gets at first. It uses what it
// has in turn, so that all of them cost memory, and room in the CPU's caches.
const firstEntries = 128

// New maps entries buffers of bufBytes each and their ring, registers the
// ring as group bgid with r and gives the kernel some of the buffers; Refill
// gives it more when they get few. entries is a power of two up to MaxEntries.
// The memory is not inherited by fork, and pages of buffers never used cost
// nothing.
//
// A nil r registers nothing: Consume then plays the kernel.
//
// Sizes that cannot work give an error that is syscall.EINVAL, a failed mmap
// an *os.SyscallError; r's errors come back as they are. Linux 5.19.
func New(r Registrar, bgid uint16, entries, bufBytes int) (*Group, error) {
	switch {
	case entries < 1 || entries > MaxEntries || entries&(entries-1) != 0:
		return nil, fmt.Errorf("pbuf: %d entries are not a power of two up to %d: %w", entries, MaxEntries, syscall.EINVAL)
	case bufBytes < 1 || bufBytes > math.MaxInt32 || bufBytes > math.MaxInt/entries:
		return nil, fmt.Errorf("pbuf: buffers of %d bytes: %w", bufBytes, syscall.EINVAL)
	}
	ringMem, err := mmap(entries * sizeofDesc)
	if err != nil {
		return nil, err
	}
	bufMem, err := mmap(entries * bufBytes)
	if err != nil {
		_ = unix.Munmap(ringMem)
		return nil, err
	}
	g := &Group{
		reg: r, id: bgid, bufBytes: bufBytes, mask: uint32(entries) - 1,
		ringMem: ringMem, bufMem: bufMem,
		descs:    unsafe.Slice((*desc)(unsafe.Pointer(unsafe.SliceData(ringMem))), entries),
		tailWord: (*atomic.Uint32)(unsafe.Pointer(&ringMem[12])),
		next:     make([]uint32, entries),
	}
	g.give(firstEntries)
	if r != nil {
		if err := r.RegisterBufRing(unsafe.Pointer(unsafe.SliceData(ringMem)), uint32(entries), bgid); err != nil {
			g.unmap()
			return nil, err
		}
	}
	g.publish()
	g.SetPoison(lent.Checked)
	return g, nil
}

func mmap(n int) ([]byte, error) {
	b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	if err := unix.Madvise(b, unix.MADV_DONTFORK); err != nil {
		_ = unix.Munmap(b)
		return nil, os.NewSyscallError("madvise", err)
	}
	return b, nil
}

func (g *Group) unmap() {
	_ = unix.Munmap(g.ringMem)
	_ = unix.Munmap(g.bufMem)
	g.ringMem, g.bufMem, g.descs, g.tailWord = nil, nil, nil, nil // a late use panics
}

// put writes buffer bid's descriptor at the tail and advances it; the kernel
// sees nothing before publish.
func (g *Group) put(bid uint16) {
	i := uint32(g.tail) & g.mask
	d := &g.descs[i]
	d.addr = uint64(uintptr(unsafe.Pointer(unsafe.SliceData(g.bufMem)))) + uint64(bid)*uint64(g.bufBytes)
	d.len = uint32(g.bufBytes)
	if i == 0 {
		g.bid0 = bid // its word is publish's: the kernel reads the tail there
	} else {
		d.bid = bid
	}
	g.tail++
}

// give puts n buffers that were never in use, or as many as there are.
func (g *Group) give(n int) {
	for ; n > 0 && g.given < len(g.next); n-- {
		g.put(uint16(g.given))
		g.given++
	}
}

// publish shows the kernel what was put. The tail is 16 bits, for which Go
// has no atomics, so the bid beside it is stored again with it.
func (g *Group) publish() { g.tailWord.Store(uint32(g.tail)<<16 | uint32(g.bid0)) }

// Take notes that a completion named bid, which is now out. Only the owner
// may call it, once per completion. A bid that the group does not have
// panics.
func (g *Group) Take(bid uint16) {
	g.check(bid)
	if g.poison != nil {
		g.poison.take(bid)
	}
	g.out.Store(g.out.Load() + 1)
}

// Bytes returns the first n bytes of buffer bid, which is out. They are the
// caller's until Return(bid); append cannot reach beyond them. Any goroutine
// that bid was lent to may call it. A bid or an n that the group does not
// have panics: the kernel broke its contract, or a caller did.
func (g *Group) Bytes(bid uint16, n int) []byte {
	g.check(bid)
	if uint(n) > uint(g.bufBytes) {
		panic(fmt.Sprintf("pbuf: %d bytes of a buffer of %d", n, g.bufBytes))
	}
	if g.poison != nil {
		g.poison.use(bid)
	}
	off := int(bid) * g.bufBytes
	return g.bufMem[off : off+n : off+n]
}

// Return gives buffer bid back. The caller must not touch its bytes again.
// Any goroutine may call it, once per Take; it does not block or allocate.
// The kernel gets the buffer with the owner's next Refill.
func (g *Group) Return(bid uint16) {
	g.check(bid)
	if g.poison != nil {
		g.poison.release(bid, g.buffer(bid))
	}
	for {
		top := g.returned.Load()
		g.next[bid] = top
		if g.returned.CompareAndSwap(top, uint32(bid)+1) {
			return
		}
	}
}

// Refill gives the kernel every buffer returned since the last call, with one
// store, and returns how many. If more than half of what it has had was out
// since, it gets as many again of those that were never in use. It makes no system call,
// and does not revive a receive that ended for want of buffers. Only the owner
// may call it.
func (g *Group) Refill() int {
	top := g.returned.Swap(0)
	before, n := g.given, 0
	if 2*g.Out() > before {
		g.give(before)
	}
	for ; top != 0; n++ {
		bid := uint16(top - 1)
		top = g.next[bid]
		if g.poison != nil {
			g.poison.refill(bid, g.buffer(bid))
		}
		g.put(bid)
	}
	if n > 0 || g.given > before {
		// The count first: who sees the buffers published never sees them out.
		g.out.Store(g.out.Load() - int32(n))
		g.publish()
	}
	return n
}

// Free returns how many buffers the kernel has or may get, counting those
// whose completions were not yet taken. Only the owner may call it.
func (g *Group) Free() int { return len(g.next) - g.Out() }

// Out returns how many buffers are out or returned but not yet refilled. Safe
// for concurrent use.
func (g *Group) Out() int { return int(g.out.Load()) }

// Entries returns how many buffers the group has. Safe for concurrent use.
func (g *Group) Entries() int { return len(g.next) }

// BufBytes returns the size of a buffer. Safe for concurrent use.
func (g *Group) BufBytes() int { return g.bufBytes }

// ID returns the group's number. Safe for concurrent use.
func (g *Group) ID() uint16 { return g.id }

// Close takes the buffers back from the kernel and unmaps them; a second
// Close does nothing. Close the group before its ring, and end the receives
// that use it first. Only the owner may call it, on the ring's thread.
//
// While buffers are out it returns an error that is syscall.EBUSY and changes
// nothing. If the kernel will not give the group up, its error is returned
// and the memory stays mapped, since the kernel may still write to it.
func (g *Group) Close() error {
	if g.ringMem == nil {
		return nil
	}
	g.Refill()
	if n := g.Out(); n != 0 {
		return fmt.Errorf("pbuf: close with %d buffers out: %w", n, syscall.EBUSY)
	}
	if g.reg != nil {
		if err := g.reg.UnregisterBufRing(g.id); err != nil {
			return err
		}
	}
	g.unmap()
	return nil
}

// Detach takes the group from the kernel; Close then only unmaps it. Only the
// owner may call it, on the ring's thread.
func (g *Group) Detach() error {
	if g.reg == nil {
		return nil
	}
	err := g.reg.UnregisterBufRing(g.id)
	if err == nil {
		g.reg = nil
	}
	return err
}

// check panics unless the group has a buffer bid.
func (g *Group) check(bid uint16) {
	if int(bid) >= len(g.next) {
		panic(fmt.Sprintf("pbuf: buffer %d of %d", bid, len(g.next)))
	}
}

// buffer returns all of buffer bid.
func (g *Group) buffer(bid uint16) []byte {
	return g.bufMem[int(bid)*g.bufBytes:][:g.bufBytes:g.bufBytes]
}
