//go:build linux

package ring

import (
	"runtime"
	"syscall"
	"unsafe"
)

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

// Limits is what the kernel's io_uring knows, as QueryLimits finds it.
type Limits struct {
	Ops         int // operations have numbers below this
	RegisterOps int // so have those of io_uring_register
	Features    Features
	SetupFlags  SetupFlags
	EnterFlags  uint64
	SQEFlags    SQEFlags
}

// QueryLimits asks the kernel what it knows, without a ring. EINVAL means that
// it cannot be asked. Safe for concurrent use. Linux 6.18.
func QueryLimits() (Limits, error) {
	q := new(queryOpcode)
	hdr := &queryHdr{
		queryData: address(unsafe.Pointer(q)), queryOp: queryOpcodes, size: uint32(unsafe.Sizeof(*q)),
	}
	_, err := sysRegister(noRing, registerQuery, unsafe.Pointer(hdr), 0)
	runtime.KeepAlive(q)
	if err == nil && hdr.result < 0 {
		err = registerError(registerQuery, syscall.Errno(-hdr.result))
	}
	if err != nil {
		return Limits{}, err
	}
	return Limits{
		Ops: int(q.nrRequestOpcodes), RegisterOps: int(q.nrRegisterOpcodes),
		Features: Features(q.featureFlags), SetupFlags: SetupFlags(q.ringSetupFlags),
		EnterFlags: q.enterFlags, SQEFlags: SQEFlags(q.sqeFlags),
	}, nil
}
