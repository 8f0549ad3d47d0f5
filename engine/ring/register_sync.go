//go:build linux

package ring

import (
	"time"
	"unsafe"
)

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
