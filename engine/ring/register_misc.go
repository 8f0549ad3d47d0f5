//go:build linux

package ring

import (
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

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

// Restriction is what a restricted ring allows.
type Restriction struct{ c restriction }

// AllowOp allows requests of one operation.
func AllowOp(op Op) Restriction {
	return Restriction{restriction{opcode: restrictionSQEOp, arg: uint8(op)}}
}

// AllowSQEFlags allows entries to have these flags, and no others.
func AllowSQEFlags(f SQEFlags) Restriction {
	return Restriction{restriction{opcode: restrictionSQEFlagsAllowed, arg: uint8(f)}}
}

// RequireSQEFlags refuses entries that lack one of these flags.
func RequireSQEFlags(f SQEFlags) Restriction {
	return Restriction{restriction{opcode: restrictionSQEFlagsRequired, arg: uint8(f)}}
}

// AllowEnable allows Enable, without which a restricted ring stays disabled.
func AllowEnable() Restriction { return allowRegister(registerEnableRings) }

// AllowRegisterBuffers allows RegisterBuffers.
func AllowRegisterBuffers() Restriction { return allowRegister(registerBuffers) }

// AllowRegisterFiles allows RegisterFiles.
func AllowRegisterFiles() Restriction { return allowRegister(registerFiles) }

// AllowProbe allows Probe.
func AllowProbe() Restriction { return allowRegister(registerProbe) }

// AllowRegister allows the io_uring_register operation with the kernel's number
// op, such as 4 for IORING_REGISTER_EVENTFD.
func AllowRegister(op uint8) Restriction { return allowRegister(registerOp(op)) }

func allowRegister(op registerOp) Restriction {
	return Restriction{restriction{opcode: restrictionRegisterOp, arg: uint8(op)}}
}

// What a restriction is about.
const (
	restrictionRegisterOp       = 0 // IORING_RESTRICTION_REGISTER_OP
	restrictionSQEOp            = 1 // IORING_RESTRICTION_SQE_OP
	restrictionSQEFlagsAllowed  = 2 // IORING_RESTRICTION_SQE_FLAGS_ALLOWED
	restrictionSQEFlagsRequired = 3 // IORING_RESTRICTION_SQE_FLAGS_REQUIRED
)

// RegisterRestrictions has the ring, which must be a SetupRDisabled one not
// yet enabled, do only what rs allow, for good: other requests complete with
// EACCES, other registrations fail with it. Only the ring's owner may call it.
// EBUSY means that it has restrictions, EBADFD that it is enabled. Linux 5.10.
func (r *Ring) RegisterRestrictions(rs ...Restriction) error {
	return r.register(registerRestrictions, unsafe.Pointer(unsafe.SliceData(rs)), uint32(len(rs)))
}

// RegisterIOWQAffinity ties the ring's worker threads to CPUs. Only the ring's
// owner may call it. Linux 5.14.
func (r *Ring) RegisterIOWQAffinity(cpus *unix.CPUSet) error {
	return r.register(registerIOWQAff, unsafe.Pointer(cpus), uint32(unsafe.Sizeof(*cpus)))
}

// UnregisterIOWQAffinity undoes RegisterIOWQAffinity. Linux 5.14.
func (r *Ring) UnregisterIOWQAffinity() error { return r.register(unregisterIOWQAff, nil, 0) }

// RegisterIOWQMaxWorkers limits the worker threads for bounded work, such as
// on regular files, and for unbounded work, such as on sockets, and returns
// the limits before; 0 leaves a limit as it is. They are the calling thread's,
// for all of its rings. Only the ring's owner may call it. Linux 5.15.
func (r *Ring) RegisterIOWQMaxWorkers(bounded, unbounded uint32) (oldBounded, oldUnbounded uint32, err error) {
	v := [2]uint32{bounded, unbounded}
	err = r.register(registerIOWQMaxWorkers, unsafe.Pointer(&v), 2)
	return v[0], v[1], err
}

// SyncCancel says what Ring.SyncCancel cancels.
type SyncCancel struct {
	Target  UserData // matched without flags, or with CancelUserData
	FD      int32    // matched with CancelFD; an index with CancelFDFixed
	Op      Op       // matched with CancelOp, Linux 6.6
	Flags   CancelFlags
	Timeout time.Duration // how long to wait; 0 means without end
}

// SyncCancel cancels requests and waits until they have ended; their
// completions are then in the queue. With CancelAll or CancelAny it returns
// how many there were. Only the ring's owner may call it. ENOENT means that
// there was none, ETIME that one has not ended within Timeout, EINTR that a
// signal came. Linux 6.0.
func (r *Ring) SyncCancel(c SyncCancel) (int, error) {
	arg := syncCancelReg{addr: uint64(c.Target), fd: c.FD, flags: c.Flags, opcode: c.Op}
	if arg.timeout = NewTimespec(c.Timeout); c.Timeout == 0 {
		arg.timeout = Timespec{Sec: -1, Nsec: -1}
	}
	return r.registerRes(registerSyncCancel, unsafe.Pointer(&arg), 1)
}

// NAPI is how a ring polls network devices instead of waiting for their
// interrupts.
type NAPI struct {
	BusyPoll       time.Duration // how long a wait polls, in whole microseconds
	PreferBusyPoll bool          // keep the device's interrupts off meanwhile

	// Static polls the queues of AddNAPI instead of those that the ring's
	// sockets receive from. Linux 6.13, EINVAL before.
	Static bool
}

// Values of struct io_uring_napi.
const (
	napiStaticAdd      = 1 // IO_URING_NAPI_STATIC_ADD_ID, in opcode
	napiStaticDel      = 2 // IO_URING_NAPI_STATIC_DEL_ID, in opcode
	napiTrackingStatic = 1 // IO_URING_NAPI_TRACKING_STATIC, in opParam
)

// RegisterNAPI has waits poll the network devices of the ring's sockets and
// returns the setting before. Only the ring's owner may call it. EINVAL means
// that the kernel was built without. Linux 6.9.
func (r *Ring) RegisterNAPI(n NAPI) (old NAPI, err error) { return r.napi(registerNAPI, n) }

// UnregisterNAPI ends that and returns the setting before. Linux 6.9.
func (r *Ring) UnregisterNAPI() (old NAPI, err error) { return r.napi(unregisterNAPI, NAPI{}) }

// AddNAPI has the waits of a ring with NAPI.Static poll the device queue with
// this number, a socket's SO_INCOMING_NAPI_ID. Only the ring's owner may call
// it. EINVAL means that the ring is not static or that it is no such number,
// EEXIST that it is there already. Linux 6.13.
func (r *Ring) AddNAPI(id uint32) error {
	return r.register(registerNAPI, unsafe.Pointer(&napi{opcode: napiStaticAdd, opParam: id}), 1)
}

// RemoveNAPI undoes AddNAPI. Only the ring's owner may call it. ENOENT means
// that id was not there. Linux 6.13.
func (r *Ring) RemoveNAPI(id uint32) error {
	return r.register(registerNAPI, unsafe.Pointer(&napi{opcode: napiStaticDel, opParam: id}), 1)
}

func (r *Ring) napi(op registerOp, n NAPI) (NAPI, error) {
	arg := napi{busyPollTo: uint32(n.BusyPoll.Microseconds())}
	if n.PreferBusyPoll {
		arg.preferBusyPoll = 1
	}
	if n.Static {
		arg.opParam = napiTrackingStatic
	}
	err := r.register(op, unsafe.Pointer(&arg), 1)
	return NAPI{
		BusyPoll:       time.Duration(arg.busyPollTo) * time.Microsecond,
		PreferBusyPoll: arg.preferBusyPoll != 0,
		Static:         op == registerNAPI && arg.opParam == napiTrackingStatic,
	}, err
}

// RegisterClock has waits measure time by a clock, unix.CLOCK_MONOTONIC, which
// is the default, or unix.CLOCK_BOOTTIME. Only the ring's owner may call it.
// Linux 6.12.
func (r *Ring) RegisterClock(clock int32) error {
	arg := clockRegister{clockid: uint32(clock)}
	return r.register(registerClock, unsafe.Pointer(&arg), 0)
}

// ResizeRings makes the queues larger or smaller, with what they hold; sizes
// are Params', 0 for cqEntries being twice entries. The ring must be a
// SetupDeferTaskrun one with SetupNoSQArray and without SetupNoMmap. Entries
// from NextSQE and PeekCQE are invalid after it. Only the ring's owner may call
// it, on its thread. EOVERFLOW means that what they hold is more than the new
// size, EINVAL also that the body of a loop over CQEs calls it. Linux 6.13.
func (r *Ring) ResizeRings(entries, cqEntries uint32) error {
	r.owner.use()
	r.cq.notVisiting("ResizeRings")
	if r.cq.visiting {
		return refuse(opRegister, "ResizeRings in a loop over CQEs")
	}
	p := Params{Entries: entries, CQEntries: cqEntries}
	if why := p.checkSizes(); why != "" {
		return refuse(opRegister, why)
	}
	switch {
	case r.flags&SetupNoMmap != 0:
		return refuse(opRegister, "ResizeRings cannot move a NO_MMAP ring")
	case r.flags&SetupNoSQArray == 0: // the kernel leaves out where the new one is
		return refuse(opRegister, "ResizeRings needs NO_SQARRAY")
	}
	r.sq.publish()
	sp := &setupParams{sqEntries: entries, cqEntries: cqEntries, flags: p.allFlags() & SetupCQSize}
	if err := r.register(registerResizeRings, unsafe.Pointer(sp), 1); err != nil {
		return err
	}
	sp.flags = r.flags
	m, err := r.mapQueues(sp, nil)
	if err != nil {
		r.Close() // the old mappings lead nowhere
		return err
	}
	old := memory{maps: r.maps}
	r.useQueues(sp, m)
	old.unmap()
	r.info.SQEntries, r.info.CQEntries = sp.sqEntries, sp.cqEntries
	return nil
}

// RegisterRegion makes mem, whole pages that are mapped and not Go heap, known
// to the ring as its memory region, which it can have one of; it must stay
// mapped as long as the ring. RegisterWaits is the use for it. Only the ring's
// owner may call it. EBUSY means that there is one. Linux 6.13.
func (r *Ring) RegisterRegion(mem []byte) error { return r.registerRegion(mem, 0) }

// registerRegion keeps desc on the heap, where its address is good.
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

// MapRegion is RegisterRegion in memory that the kernel allocates and this
// maps: n bytes in whole pages, which the caller unmaps. Linux 6.13.
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
// change while a wait uses it. It ends with Close.
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

// SendMsgRing is PrepMsgRing without a ring to send from: the ring with fd
// ringFD gets a completion with UserData data and Res res. Safe for concurrent
// use. EBADFD means that the ring is not enabled, EOVERFLOW that its queue is
// full. Linux 6.13.
func SendMsgRing(ringFD int32, res uint32, data uint64) error {
	s := new(SQE)
	s.PrepMsgRing(ringFD, res, data, 0)
	_, err := sysRegister(noRing, registerSendMsgRing, unsafe.Pointer(s), 1)
	return err
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
