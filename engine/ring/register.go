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

// registerRes is register for operations whose result is more than 0.
func (r *Ring) registerRes(op registerOp, arg unsafe.Pointer, n uint32) (int, error) {
	r.owner.use()
	if r.closed { // fd -1, which io_uring_register takes for "no ring"
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
	address(arg) // what arg points to, such as a pinned buffer, may have to stay
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

// RegisterEventFDAsync is RegisterEventFD for completions only that the ring's
// worker threads post. Linux 5.6.
func (r *Ring) RegisterEventFDAsync(fd int) error {
	v := int32(fd)
	return r.register(registerEventFDAsync, unsafe.Pointer(&v), 1)
}

// SetEventFDEnabled turns the signals of a registered eventfd off and on
// again. It returns false before Linux 5.8, which cannot. Only the ring's
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
// does nothing. A SetupRegisteredFDOnly ring refuses it: it has no other name.
// Linux 5.18.
func (r *Ring) UnregisterRingFD() error {
	if r.registered && r.fd < 0 {
		return refuse(opRegister, "a REGISTERED_FD_ONLY ring has no fd to go back to")
	}
	return r.unregisterRingFD()
}

func (r *Ring) unregisterRingFD() error {
	if !r.registered {
		return nil
	}
	up := rsrcUpdate{offset: uint32(r.enterFD)}
	if err := r.register(unregisterRingFDs, unsafe.Pointer(&up), 1); err != nil {
		return err
	}
	r.registered = false
	r.enterFD = uintptr(r.fd) // none, if the ring had no other
	r.enterFlags &^= enterRegisteredRing
	return nil
}

// Enable starts a ring set up with SetupRDisabled; until then the Submit
// family fails with EBADFD. The calling thread becomes the issuer of a
// SetupSingleIssuer ring. Linux 5.10.
func (r *Ring) Enable() error { return r.register(registerEnableRings, nil, 0) }

// Probe is what Ring.Probe learned.
type Probe struct {
	p        probe
	features Features
}

// Probe asks the kernel which operations it knows. Only the ring's owner may
// call it. Linux 5.6.
func (r *Ring) Probe() (*Probe, error) {
	p := &Probe{features: r.features}
	if err := r.register(registerProbe, unsafe.Pointer(&p.p), uint32(len(p.p.ops))); err != nil {
		return nil, err
	}
	return p, nil
}

// Ops lists the operations that the kernel knows, in order. Safe for
// concurrent use.
func (p *Probe) Ops() (ops []Op) {
	for op := range int(p.p.lastOp) + 1 {
		if p.Supports(Op(op)) {
			ops = append(ops, Op(op))
		}
	}
	return ops
}

// Has reports whether the kernel has all of these features. Safe for
// concurrent use.
func (p *Probe) Has(f Features) bool { return p.features.Has(f) }

// Supports reports whether the kernel knows op. It says nothing of op's
// flags: multishot and the like need a trial or KernelVersion. Safe for
// concurrent use.
func (p *Probe) Supports(op Op) bool {
	return op <= p.p.lastOp && p.p.ops[op].flags&probeOpSupported != 0
}
