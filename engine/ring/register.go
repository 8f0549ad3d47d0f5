//go:build linux

package ring

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// register makes one io_uring_register call.
func (r *Ring) register(op registerOp, arg unsafe.Pointer, n uint32) error {
	_, err := r.registerRes(op, arg, n)
	return err
}

// registerRes is register for operations that return a number.
func (r *Ring) registerRes(op registerOp, arg unsafe.Pointer, n uint32) (int, error) {
	r.owner.use()
	if r.closed { // its fd is -1, which io_uring_register takes for "no ring"
		return 0, registerError(op, syscall.EBADF)
	}
	fd := uintptr(r.fd)
	if r.fd < 0 {
		fd, op = r.enterFD, op|registerUseRegisteredRing
	}
	return sysRegister(fd, op, arg, n)
}

// noRing stands for the fd of operations that need none.
const noRing = ^uintptr(0)

func sysRegister(fd uintptr, op registerOp, arg unsafe.Pointer, n uint32) (int, error) {
	address(arg) // on the heap, since the kernel may go on using it, as it does a pinned buffer
	res, _, errno := syscall.Syscall6(unix.SYS_IO_URING_REGISTER, fd, uintptr(op), uintptr(arg), uintptr(n), 0, 0)
	if errno != 0 {
		return 0, registerError(op, errno)
	}
	return int(res), nil
}

// registerError says in the Hint which operation it was.
func registerError(op registerOp, errno syscall.Errno) *Error {
	e := newError(opRegister, errno)
	if e.Hint != "" {
		e.Hint = ": " + e.Hint
	}
	e.Hint = op.String() + e.Hint
	return e
}

// RegisterEventFD has the kernel add to eventfd fd for each completion, also while
// the owner sleeps in SubmitAndWait. Only the ring's owner may call it. EBUSY
// means that an eventfd is registered already. Linux 5.2.
func (r *Ring) RegisterEventFD(fd int) error {
	v := int32(fd)
	return r.register(registerEventFD, unsafe.Pointer(&v), 1)
}

// UnregisterEventFD undoes RegisterEventFD. Only the ring's owner may call it.
// ENXIO means that no eventfd is registered. Linux 5.2.
func (r *Ring) UnregisterEventFD() error { return r.register(unregisterEventFD, nil, 0) }

// RegisterEventFDAsync is RegisterEventFD for only those completions that the
// ring's worker threads post. Only the ring's owner may call it. Linux 5.6.
func (r *Ring) RegisterEventFDAsync(fd int) error {
	v := int32(fd)
	return r.register(registerEventFDAsync, unsafe.Pointer(&v), 1)
}

// SetEventFDEnabled turns the signals of a registered eventfd off and on
// again. It returns false, and does nothing, before Linux 5.8. Only the ring's
// owner may call it.
func (r *Ring) SetEventFDEnabled(on bool) bool {
	r.owner.use()
	if r.cq.flags.p == nil {
		return false
	}
	if on {
		r.cq.flags.p.And(^uint32(cqEventFDDisabled))
	} else {
		r.cq.flags.p.Or(cqEventFDDisabled)
	}
	return true
}

// RegisterRingFD makes the Submit family name the ring by an index private to
// the calling thread, which saves the look-up of the fd. After it only that
// thread may submit. A second call does nothing. Only the ring's owner may call
// it. Linux 5.18.
func (r *Ring) RegisterRingFD() error {
	if r.registrant != 0 {
		return nil
	}
	up := rsrcUpdate{offset: registerOffsetAny, data: uint64(r.fd)}
	if err := r.register(registerRingFDs, unsafe.Pointer(&up), 1); err != nil {
		return err
	}
	r.registrant = unix.Gettid()
	r.enterFD = uintptr(up.offset)
	r.enterFlags |= enterRegisteredRing
	return nil
}

// UnregisterRingFD undoes RegisterRingFD, on the same thread: on another one, where
// the index may be that of another ring, it is EINVAL. Without RegisterRingFD it does
// nothing. A SetupRegisteredFDOnly ring, which has no other name, refuses it. Only the
// ring's owner may call it. Linux 5.18.
func (r *Ring) UnregisterRingFD() error {
	switch {
	case r.registrant == 0:
		return nil
	case r.registrant != unix.Gettid():
		return refuse(opRegister, "another thread has registered the ring's fd")
	case r.fd < 0:
		return refuse(opRegister, "a REGISTERED_FD_ONLY ring has no fd to go back to")
	}
	return r.unregisterRingFD()
}

// unregisterRingFD is UnregisterRingFD without the refusals, for Close.
func (r *Ring) unregisterRingFD() error {
	up := rsrcUpdate{offset: uint32(r.enterFD)}
	if err := r.register(unregisterRingFDs, unsafe.Pointer(&up), 1); err != nil {
		return err
	}
	r.registrant = 0
	r.enterFD = uintptr(r.fd) // none, if the ring had no other
	r.enterFlags &^= enterRegisteredRing
	return nil
}

// Enable starts a ring set up with SetupRDisabled; until then the Submit
// family fails with EBADFD. The calling thread becomes the issuer of a
// SetupSingleIssuer ring. Only the ring's owner may call it. Linux 5.10.
func (r *Ring) Enable() error { return r.register(registerEnableRings, nil, 0) }

// RegisterPersonality keeps the calling thread's credentials and returns the
// number under which an entry's Personality names them: its request then acts
// with those. Only the ring's owner may call it. Linux 5.6.
func (r *Ring) RegisterPersonality() (uint16, error) {
	id, err := r.registerRes(registerPersonality, nil, 0)
	return uint16(id), err
}

// UnregisterPersonality ends a personality. Only the ring's owner may call it.
// EINVAL means that there is none with this number. Linux 5.6.
func (r *Ring) UnregisterPersonality(id uint16) error {
	return r.register(unregisterPersonality, nil, uint32(id))
}

// RegisterIOWQAffinity ties the ring's worker threads to CPUs. Only the ring's
// owner may call it. Linux 5.14.
func (r *Ring) RegisterIOWQAffinity(cpus *unix.CPUSet) error {
	return r.register(registerIOWQAff, unsafe.Pointer(cpus), uint32(unsafe.Sizeof(*cpus)))
}

// UnregisterIOWQAffinity undoes RegisterIOWQAffinity. Only the ring's owner may
// call it. Linux 5.14.
func (r *Ring) UnregisterIOWQAffinity() error { return r.register(unregisterIOWQAff, nil, 0) }

// RegisterIOWQMaxWorkers limits the worker threads for bounded work, such as
// on regular files, and for unbounded work, such as on sockets, and returns
// the limits before; 0 leaves a limit as it is. The limits are the calling
// thread's, for all of its rings. Only the ring's owner may call it. Linux 5.15.
func (r *Ring) RegisterIOWQMaxWorkers(bounded, unbounded uint32) (oldBounded, oldUnbounded uint32, err error) {
	v := [2]uint32{bounded, unbounded}
	err = r.register(registerIOWQMaxWorkers, unsafe.Pointer(&v), 2)
	return v[0], v[1], err
}

// RegisterClock has waits measure time by a clock, unix.CLOCK_MONOTONIC, which
// is the default, or unix.CLOCK_BOOTTIME. Only the ring's owner may call it.
// Linux 6.12.
func (r *Ring) RegisterClock(clock int32) error {
	arg := clockRegister{clockid: uint32(clock)}
	return r.register(registerClock, unsafe.Pointer(&arg), 0)
}
