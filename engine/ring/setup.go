//go:build linux

package ring

import (
	"encoding/binary"
	"math/bits"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Params choose a ring's size and mode.
type Params struct {
	// Entries is the size of the submission queue, 1 to 32768, rounded up to
	// a power of two.
	Entries uint32

	// CQEntries is the size of the completion queue, Entries to 65536,
	// rounded up to a power of two. 0 means the kernel's default of twice
	// Entries; anything else implies SetupCQSize.
	CQEntries uint32

	Flags SetupFlags
}

// Ring is one io_uring instance. See the package comment for who may use it.
type Ring struct {
	// Immutable from New to Close.
	fd       int
	flags    SetupFlags
	features Features
	maps     []mapping

	// The owner's.
	sq         submissionQueue
	cq         completionQueue
	enterFD    uintptr // fd, or its registered index
	enterFlags uint32  // on every enter
	waitFlags  uint32  // on those that may sleep
	registered bool

	// Read by the kernel while SubmitAndWait runs. They are here because
	// Ring is on the heap and does not move.
	ts  timespec
	arg geteventsArg
}

// mapping is memory shared with the kernel.
type mapping struct {
	addr unsafe.Pointer
	size uintptr
}

// unsupported are flags that would change the shared memory's layout, or that
// need parameters which Params does not have.
const unsupported = SetupSQAff | SetupAttachWQ | SetupSQE128 | SetupCQE32 |
	SetupNoMmap | SetupRegisteredFDOnly | SetupCQEMixed

// check refuses by name what the kernel would answer with a bare EINVAL.
func (p *Params) check() *Error {
	f := p.Flags
	no := func(why string) *Error { return refuse(opSetup, why) }
	if p.CQEntries != 0 {
		f |= SetupCQSize
	}
	switch {
	case binary.NativeEndian.Uint16([]byte{1, 0}) != 1:
		return &Error{Op: opSetup, Errno: syscall.ENOSYS, Hint: "big-endian machines are not supported"}
	case p.Entries == 0:
		return no("Entries is 0")
	case f&unsupported != 0:
		return no("not supported by this package: " + (f & unsupported).String())
	case f>>len(setupNames) != 0:
		return no("unknown flags in " + f.String())
	case f&SetupCQSize != 0 && p.CQEntries == 0:
		return no("CQSIZE needs CQEntries")
	case f&SetupClamp == 0 && p.Entries > maxEntries:
		return no("Entries is over 32768, and CLAMP is not set")
	case f&SetupClamp == 0 && p.CQEntries > maxCQEntries:
		return no("CQEntries is over 65536, and CLAMP is not set")
	case f&SetupCQSize != 0 && roundUp(p.CQEntries, maxCQEntries) < roundUp(p.Entries, maxEntries):
		return no("CQEntries is less than Entries")
	case f&SetupDeferTaskrun != 0 && f&SetupSingleIssuer == 0:
		return no("DEFER_TASKRUN needs SINGLE_ISSUER")
	case f&SetupSQPoll != 0 && f&(SetupCoopTaskrun|SetupTaskrunFlag|SetupDeferTaskrun) != 0:
		return no("SQPOLL excludes COOP_TASKRUN, TASKRUN_FLAG and DEFER_TASKRUN")
	case f&SetupTaskrunFlag != 0 && f&(SetupCoopTaskrun|SetupDeferTaskrun) == 0:
		return no("TASKRUN_FLAG needs COOP_TASKRUN or DEFER_TASKRUN")
	case f&SetupHybridIOPoll != 0 && f&SetupIOPoll == 0:
		return no("HYBRID_IOPOLL needs IOPOLL")
	}
	return nil
}

// roundUp returns the power of two that the kernel makes of n.
func roundUp(n, limit uint32) uint32 {
	if n >= limit {
		return limit
	}
	return 1 << bits.Len32(n-1)
}

// New sets up a ring and maps its queues. p is not kept. The kernel makes the
// fd close-on-exec, and the mappings are not inherited by fork.
//
// The calling thread becomes the only issuer of a SetupSingleIssuer ring,
// unless SetupRDisabled leaves that to the one that calls Enable.
//
// Every failure is an *Error. Parameters that cannot work are refused without
// a system call, as EINVAL with a Hint that names them. Linux 5.1; each flag
// has its own minimum.
func New(p *Params) (*Ring, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	sp := &setupParams{flags: p.Flags, cqEntries: p.CQEntries}
	if p.CQEntries != 0 {
		sp.flags |= SetupCQSize
	}
	fd, _, errno := syscall.Syscall(unix.SYS_IO_URING_SETUP,
		uintptr(p.Entries), uintptr(unsafe.Pointer(sp)), 0)
	if errno != 0 {
		return nil, newError(opSetup, errno)
	}
	r := &Ring{fd: int(fd), enterFD: fd, flags: sp.flags, features: sp.features}
	if err := r.mapQueues(sp); err != nil {
		r.Close()
		return nil, err
	}
	r.arg.ts = uint64(uintptr(unsafe.Pointer(&r.ts)))
	if r.features&FeatNoIowait != 0 {
		r.waitFlags = enterNoIowait
	}
	return r, nil
}

// mapQueues maps what setup allocated.
func (r *Ring) mapQueues(sp *setupParams) error {
	cqSize := uintptr(sp.cqOff.cqes) + uintptr(sp.cqEntries)*sizeofCQE
	sqSize := uintptr(sp.sqOff.array) + uintptr(sp.sqEntries)*4
	if r.features&FeatSingleMmap != 0 {
		sqSize = max(sqSize, cqSize)
	}
	sq, err := r.mmap(offSQRing, sqSize)
	if err != nil {
		return err
	}
	cq := sq
	if r.features&FeatSingleMmap == 0 {
		if cq, err = r.mmap(offCQRing, cqSize); err != nil {
			return err
		}
	}
	sqes, err := r.mmap(offSQEs, uintptr(sp.sqEntries)*sizeofSQE)
	if err != nil {
		return err
	}

	r.sq = submissionQueue{
		head:    indexAt(sq, sp.sqOff.head),
		tail:    indexAt(sq, sp.sqOff.tail),
		flags:   flagsAt(sq, sp.sqOff.flags),
		mask:    sp.sqEntries - 1,
		entries: sp.sqEntries,
		sqes:    unsafe.Slice((*SQE)(sqes), sp.sqEntries),
	}
	r.cq = completionQueue{
		head:     indexAt(cq, sp.cqOff.head),
		tail:     indexAt(cq, sp.cqOff.tail),
		overflow: indexAt(cq, sp.cqOff.overflow),
		mask:     sp.cqEntries - 1,
		cqes:     unsafe.Slice((*CQE)(unsafe.Add(cq, sp.cqOff.cqes)), sp.cqEntries),
	}
	if r.flags&SetupNoSQArray == 0 {
		// Slot i of the ring is entry i, for good.
		array := unsafe.Slice((*uint32)(unsafe.Add(sq, sp.sqOff.array)), sp.sqEntries)
		for i := range array {
			array[i] = uint32(i)
		}
	}
	return nil
}

// mmap maps part of the ring's fd; Close unmaps it.
func (r *Ring) mmap(off int64, size uintptr) (unsafe.Pointer, error) {
	p, err := unix.MmapPtr(r.fd, off, nil, size,
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return nil, wrapError(opMmap, err)
	}
	r.maps = append(r.maps, mapping{p, size})
	if err := unix.Madvise(unsafe.Slice((*byte)(p), size), unix.MADV_DONTFORK); err != nil {
		return nil, wrapError("madvise", err)
	}
	return p, nil
}

// Close unmaps the queues and closes the fd; a second Close does nothing. The
// kernel cancels what is in flight and frees the ring some time later, so
// memory and files that requests use must outlive Close: cancel and reap
// first. No completion can be seen after Close, and no other method may be
// called. Only the ring's owner may call it, on any thread.
func (r *Ring) Close() error {
	if r.fd < 0 {
		return nil
	}
	if r.registered {
		// A registration belongs to a thread. Another one's Close fails here,
		// and the registration then ends with its thread.
		_ = r.UnregisterRingFD()
	}
	r.sq, r.cq = submissionQueue{}, completionQueue{} // a late use panics
	for _, m := range r.maps {
		_ = unix.MunmapPtr(m.addr, m.size)
	}
	r.maps = nil
	fd := r.fd
	r.fd, r.enterFD = -1, ^uintptr(0)
	err := unix.Close(fd)
	if err != nil {
		return wrapError("close", err)
	}
	return nil
}

// FD returns the ring's file descriptor, -1 after Close. Other rings name it
// in PrepMsgRing.
func (r *Ring) FD() int { return r.fd }

// Flags returns the flags that the ring was set up with.
func (r *Ring) Flags() SetupFlags { return r.flags }

// Features returns what the kernel reported at setup.
func (r *Ring) Features() Features { return r.features }

// SQEntries returns the size of the submission queue.
func (r *Ring) SQEntries() uint32 { return r.sq.entries }

// CQEntries returns the size of the completion queue.
func (r *Ring) CQEntries() uint32 { return uint32(len(r.cq.cqes)) }
