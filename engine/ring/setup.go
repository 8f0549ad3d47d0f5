//go:build linux

package ring

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

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
	sp := p.kernel()
	fd, _, errno := syscall.Syscall(unix.SYS_IO_URING_SETUP,
		uintptr(p.Entries), uintptr(unsafe.Pointer(sp)), 0)
	if errno != 0 {
		return nil, newError(opSetup, errno)
	}
	sp.features &^= p.ignore
	r := &Ring{fd: int(fd), enterFD: fd, flags: sp.flags, features: sp.features, info: newInfo(sp)}
	if sp.flags&SetupRegisteredFDOnly != 0 {
		r.fd = -1
		r.registrant = unix.Gettid()
		r.enterFlags = enterRegisteredRing
	}
	m, err := r.mapQueues(sp, p.Memory)
	if err != nil {
		r.Close()
		return nil, err
	}
	r.useQueues(sp, m)
	if r.features&FeatNoIowait != 0 {
		r.waitFlags = enterNoIowait
	}
	return r, nil
}

// queueMemory is where a ring's queues lie.
type queueMemory struct {
	sq, cq, sqes unsafe.Pointer
	maps         []mapping
}

// unmap undoes mapQueues. Memory of the caller is not among the maps.
func (m queueMemory) unmap() {
	for _, mm := range m.maps {
		_ = unix.MunmapPtr(mm.addr, mm.size)
	}
}

// mapQueues maps what setup allocated, or finds it in the caller's memory.
func (r *Ring) mapQueues(sp *setupParams, caller []byte) (m queueMemory, err error) {
	if sp.flags&SetupNoMmap != 0 {
		m.sqes = unsafe.Pointer(unsafe.SliceData(caller))
		m.sq = unsafe.Add(m.sqes, sqeBytes(sp))
		m.cq = m.sq
		return m, nil
	}
	cqSize := uintptr(sp.cqOff.cqes) + cqeBytes(sp)
	sqSize := uintptr(sp.sqOff.array) + uintptr(sp.sqEntries)*4
	single := r.features&FeatSingleMmap != 0
	if single {
		sqSize = max(sqSize, cqSize)
	}
	if m.sq, err = m.add(r.fd, offSQRing, sqSize); err == nil {
		if m.cq = m.sq; !single {
			m.cq, err = m.add(r.fd, offCQRing, cqSize)
		}
	}
	if err == nil {
		m.sqes, err = m.add(r.fd, offSQEs, sqeBytes(sp))
	}
	if err != nil {
		m.unmap()
		return queueMemory{}, err
	}
	return m, nil
}

// add maps part of the ring's fd.
func (m *queueMemory) add(fd int, off int64, size uintptr) (unsafe.Pointer, error) {
	p, err := unix.MmapPtr(fd, off, nil, size,
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return nil, wrapError(opMmap, err)
	}
	m.maps = append(m.maps, mapping{p, size})
	if err := unix.Madvise(unsafe.Slice((*byte)(p), size), unix.MADV_DONTFORK); err != nil {
		return nil, wrapError("madvise", err)
	}
	return p, nil
}

// useQueues makes m's queues the ring's. Positions are kept, which ResizeRings
// needs; they start at 0.
func (r *Ring) useQueues(sp *setupParams, m queueMemory) {
	sqShift, cqShift := shiftSQ(sp.flags), shiftCQ(sp.flags)
	r.maps = m.maps
	r.sq = submissionQueue{
		head:    indexAt(m.sq, sp.sqOff.head),
		tail:    indexAt(m.sq, sp.sqOff.tail),
		flags:   flagsAt(m.sq, sp.sqOff.flags),
		dropped: indexAt(m.sq, sp.sqOff.dropped),
		next:    r.sq.next,
		entries: sp.sqEntries,
		sqePlaces: sqePlaces{
			sqes:  unsafe.Slice((*SQE)(m.sqes), sp.sqEntries<<sqShift),
			mask:  sp.sqEntries - 1,
			shift: sqShift,
		},
		memory: &r.memory,
	}
	r.memory.watch(r.sq.head, r.sq.sqePlaces)
	r.cq = completionQueue{
		head:     indexAt(m.cq, sp.cqOff.head),
		tail:     indexAt(m.cq, sp.cqOff.tail),
		overflow: indexAt(m.cq, sp.cqOff.overflow),
		next:     r.cq.next,
		mask:     sp.cqEntries - 1,
		shift:    cqShift,
		mixed:    sp.flags&SetupCQEMixed != 0,
		cqes:     unsafe.Slice((*CQE)(unsafe.Add(m.cq, sp.cqOff.cqes)), sp.cqEntries<<cqShift),
		memory:   &r.memory,
	}
	if sp.cqOff.flags != 0 { // Linux 5.8
		r.cq.flags = flagsAt(m.cq, sp.cqOff.flags)
	}
	if sp.flags&SetupNoSQArray == 0 {
		// Slot i of the ring is entry i, for good.
		array := unsafe.Slice((*uint32)(unsafe.Add(m.sq, sp.sqOff.array)), sp.sqEntries)
		for i := range array {
			array[i] = uint32(i)
		}
	}
}

// Close unmaps the queues and closes the fd; a second Close does nothing. The
// kernel cancels what is in flight and frees the ring some time later, so
// memory and files that requests use must outlive Close: cancel and reap
// first. No completion can be seen after Close, and no other method may be
// called, nor Close in the body of a loop over CQEs. Only the ring's owner may
// call it, on any thread. A thread's registration of the ring, by RegisterRingFD
// or SetupRegisteredFDOnly, goes only with a Close on that thread; after one on
// another it keeps the ring until the thread ends.
func (r *Ring) Close() error {
	r.owner.use()
	if r.closed {
		return nil
	}
	r.cq.notVisiting("Close")
	var err error
	if r.registrant == unix.Gettid() { // another thread's index may be another ring's
		err = r.unregisterRingFD()
	}
	r.closed = true
	r.memory.end()
	r.sq, r.cq = submissionQueue{}, completionQueue{} // a late use panics
	queueMemory{maps: r.maps}.unmap()
	r.unmapWaits()
	r.maps, r.keep = nil, nil
	fd := r.fd
	r.fd, r.enterFD = -1, ^uintptr(0)
	if fd < 0 {
		return err
	}
	if err := unix.Close(fd); err != nil {
		return wrapError("close", err)
	}
	return nil
}

// unmapWaits unmaps what RegisterWaits mapped.
func (r *Ring) unmapWaits() {
	if r.waitMem != nil {
		_ = unix.Munmap(r.waitMem)
		r.waitMem, r.waits = nil, nil
	}
}
