//go:build linux

package ring

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// RegisterRegion makes mem, whole pages that are mapped and not Go heap, known
// to the ring as its memory region, of which it can have one; mem must stay
// mapped as long as the ring. RegisterWaits uses the region of a ring for its
// waits. Only the ring's owner may call it. EBUSY means that there is a region
// already. Linux 6.13.
func (r *Ring) RegisterRegion(mem []byte) error { return r.registerRegion(mem, 0) }

// registerRegion is RegisterRegion with flags. desc is on the heap, where it does
// not move while the kernel reads it by its address.
func (r *Ring) registerRegion(mem []byte, flags uint64) error {
	desc := &regionDesc{
		userAddr: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(mem)))), size: uint64(len(mem)),
		flags: memRegionTypeUser,
	}
	arg := memRegionReg{regionUptr: address(unsafe.Pointer(desc)), flags: flags}
	err := r.register(registerMemRegion, unsafe.Pointer(&arg), 1)
	runtime.KeepAlive(desc)
	return err
}

// MapRegion is RegisterRegion in memory that the kernel allocates and MapRegion
// maps: n bytes in whole pages, which the caller unmaps. Only the ring's owner may
// call it. Linux 6.13.
func (r *Ring) MapRegion(n int) ([]byte, error) {
	desc := &regionDesc{size: uint64(n)}
	arg := memRegionReg{regionUptr: address(unsafe.Pointer(desc))}
	if err := r.register(registerMemRegion, unsafe.Pointer(&arg), 1); err != nil {
		return nil, err
	}
	mem, err := unix.Mmap(r.fd, int64(desc.mmapOffset), n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, wrapError(opMmap, err)
	}
	return mem, nil
}

// RegisterWaits makes room for n RegWaits, which Waits returns and
// SubmitAndWaitReg names by index: such a wait copies nothing from the caller.
// The ring must be a SetupRDisabled one not yet enabled. Only the ring's owner
// may call it. EINVAL means that it is enabled, EBUSY that there are waits, or
// a region, already. Linux 6.13.
func (r *Ring) RegisterWaits(n int) error {
	if n < 1 || n > 1<<20 {
		return refuse(opRegister, "waits are 1 to 1048576")
	}
	mem, err := unix.Mmap(-1, 0, int(pageUp(uintptr(n)*sizeofRegWait)),
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return wrapError(opMmap, err)
	}
	if err := r.registerRegion(mem, memRegionWaitArg); err != nil {
		_ = unix.Munmap(mem)
		return err
	}
	r.waitMem = mem
	r.waits = unsafe.Slice((*RegWait)(unsafe.Pointer(unsafe.SliceData(mem))), n)
	return nil
}

// Waits returns what RegisterWaits made, nil without it. An element must not
// change while a wait uses it. The elements are gone after Close. Only the ring's
// owner may call it.
func (r *Ring) Waits() []RegWait { return r.waits }

// RegisterZcrxIfq gives the ring a network device's receive queue, whose data
// the hardware then places in area; refill is mapped memory for the queue that
// gives it back. All of it must stay mapped as long as the ring, which must be
// a SetupDeferTaskrun one with wide completions. Only the ring's owner may
// call it. It needs CAP_NET_ADMIN and a device that splits headers. Linux 6.15.
func (r *Ring) RegisterZcrxIfq(reg *ZcrxIfqReg, area *ZcrxAreaReg, refill []byte) error {
	desc := &regionDesc{
		userAddr: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(refill)))), size: uint64(len(refill)),
		flags: memRegionTypeUser,
	}
	reg.areaPtr, reg.regionPtr = address(unsafe.Pointer(area)), address(unsafe.Pointer(desc))
	err := r.register(registerZcrxIfq, unsafe.Pointer(reg), 1)
	runtime.KeepAlive(area)
	runtime.KeepAlive(desc)
	return err
}
