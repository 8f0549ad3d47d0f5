//go:build linux

package ring

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// register makes one io_uring_register call.
func (r *Ring) register(op uint32, arg unsafe.Pointer, n uint32) error {
	if r.fd < 0 { // which io_uring_register takes for "no ring"
		return newError(opRegister, syscall.EBADF)
	}
	_, _, errno := syscall.Syscall6(unix.SYS_IO_URING_REGISTER,
		uintptr(r.fd), uintptr(op), uintptr(arg), uintptr(n), 0, 0)
	if errno != 0 {
		return newError(opRegister, errno)
	}
	return nil
}

// RegisterBufRing makes mem, page-aligned memory for entries descriptors of
// 16 bytes, the ring of provided-buffer group bgid. entries is a power of two
// up to 32768. mem must not be Go heap, and must stay mapped until
// UnregisterBufRing or the ring's end; package pbuf does all this. EEXIST
// means that bgid is taken, or that this is not the issuer's thread. Only the
// ring's owner may call it. Linux 5.19.
func (r *Ring) RegisterBufRing(mem unsafe.Pointer, entries uint32, bgid uint16) error {
	reg := bufReg{ringAddr: uint64(uintptr(mem)), ringEntries: entries, bgid: bgid}
	return r.register(registerPbufRing, unsafe.Pointer(&reg), 1)
}

// UnregisterBufRing ends group bgid: the kernel takes no more buffers from
// it. Those whose completions are not reaped stay valid. Only the ring's
// owner may call it. ENOENT means that there is no such group. Linux 5.19.
func (r *Ring) UnregisterBufRing(bgid uint16) error {
	reg := bufReg{bgid: bgid}
	return r.register(unregisterPbufRing, unsafe.Pointer(&reg), 1)
}

// RegisterEventFD has the kernel add to eventfd fd for each completion. It
// reads ready even while the owner sleeps in SubmitAndWait. Only the ring's
// owner may call it. EBUSY means that there is one already. Linux 5.2.
func (r *Ring) RegisterEventFD(fd int) error {
	v := int32(fd)
	return r.register(registerEventFD, unsafe.Pointer(&v), 1)
}

// UnregisterEventFD undoes RegisterEventFD. ENXIO means that there is none.
// Linux 5.2.
func (r *Ring) UnregisterEventFD() error { return r.register(unregisterEventFD, nil, 0) }

// RegisterRingFD makes the Submit family name the ring by an index private to
// the calling thread, which saves the look-up of the fd. After it only that
// thread may submit. A second call does nothing. Linux 5.18.
func (r *Ring) RegisterRingFD() error {
	if r.registered {
		return nil
	}
	up := rsrcUpdate{offset: registerOffsetAny, data: uint64(r.fd)}
	if err := r.register(registerRingFDs, unsafe.Pointer(&up), 1); err != nil {
		return err
	}
	r.registered = true
	r.enterFD = uintptr(up.offset)
	r.enterFlags |= enterRegisteredRing
	return nil
}

// UnregisterRingFD undoes RegisterRingFD, on the same thread. Without one it
// does nothing. Linux 5.18.
func (r *Ring) UnregisterRingFD() error {
	if !r.registered {
		return nil
	}
	up := rsrcUpdate{offset: uint32(r.enterFD)}
	if err := r.register(unregisterRingFDs, unsafe.Pointer(&up), 1); err != nil {
		return err
	}
	r.registered = false
	r.enterFD = uintptr(r.fd)
	r.enterFlags &^= enterRegisteredRing
	return nil
}

// Enable starts a ring set up with SetupRDisabled; until then the Submit
// family fails with EBADFD. The calling thread becomes the issuer of a
// SetupSingleIssuer ring. Linux 5.10.
func (r *Ring) Enable() error { return r.register(registerEnableRings, nil, 0) }

// Probe is what Ring.Probe learned.
type Probe struct{ p probe }

// Probe asks the kernel which operations it knows. Only the ring's owner may
// call it. Linux 5.6.
func (r *Ring) Probe() (*Probe, error) {
	p := new(Probe)
	if err := r.register(registerProbe, unsafe.Pointer(&p.p), uint32(len(p.p.ops))); err != nil {
		return nil, err
	}
	return p, nil
}

// Supports reports whether the kernel knows op. It says nothing of op's
// flags: multishot and the like need a trial or KernelVersion. Safe for
// concurrent use.
func (p *Probe) Supports(op Op) bool {
	return op <= p.p.lastOp && p.p.ops[op].flags&probeOpSupported != 0
}
