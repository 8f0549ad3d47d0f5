//go:build linux

package ring

import "unsafe"

// PrepPollAdd fills s with a poll(2) for events, one CQE with the events that
// came in Res. No Go memory reaches the kernel. Linux 5.1.
func (s *SQE) PrepPollAdd(fd int32, events uint32, ud UserData) {
	*s = SQE{Opcode: OpPollAdd, Fd: fd, OpFlags: events, UserData: ud}
}

// PrepPollMultishot fills s with a poll(2) that posts a CQE for each wake-up
// of fd until one without F_MORE. It is edge-triggered. No Go memory reaches
// the kernel. Linux 5.13.
func (s *SQE) PrepPollMultishot(fd int32, events uint32, ud UserData) {
	*s = SQE{Opcode: OpPollAdd, Fd: fd, Len: pollAddMulti, OpFlags: events, UserData: ud}
}

// PrepPollRemove fills s with the end of the poll whose user data is target. The
// poll then completes with ECANCELED. No Go memory reaches the kernel. ENOENT if
// there is no such poll, EALREADY if it is just completing. Linux 5.1.
func (s *SQE) PrepPollRemove(target UserData, ud UserData) {
	*s = SQE{Opcode: OpPollRemove, Fd: -1, Addr: uint64(target), UserData: ud}
}

// PollUpdate says what PrepPollUpdate changes of a poll.
type PollUpdate struct {
	Events      uint32   // the new events, if NewEvents
	UserData    UserData // the new user data, if NewUserData
	NewEvents   bool
	NewUserData bool
	Multishot   bool // with NewEvents: go on after the first
}

// PrepPollUpdate fills s with a change of the poll whose user data is target.
// No Go memory reaches the kernel. Errors are PrepPollRemove's. Linux 5.13.
func (s *SQE) PrepPollUpdate(target UserData, u PollUpdate, ud UserData) {
	*s = SQE{Opcode: OpPollRemove, Fd: -1, Addr: uint64(target), UserData: ud}
	if u.NewEvents {
		s.Len |= pollUpdateEvents
		s.OpFlags = u.Events
	}
	if u.NewUserData {
		s.Len |= pollUpdateUserData
		s.Off = uint64(u.UserData)
	}
	if u.Multishot {
		s.Len |= pollAddMulti
	}
}

// PrepTimeout fills s with a timeout after ts, which is read at submission. Res is
// ETIME when the time has passed, also with TimeoutETimeSuccess, which only keeps
// a link going. If count is not 0, the timeout ends earlier, with 0, once count
// completions, of whichever requests, have been posted after its submission.
//
// With TimeoutMultishot it completes each time that ts has passed, with ETIME and
// CQEMore, and count is how many times, 0 for ever. Linux 5.4; flags as they say.
func (s *SQE) PrepTimeout(ts *Timespec, count uint32, flags TimeoutFlags, ud UserData) {
	*s = SQE{
		Opcode: OpTimeout, Fd: -1, Addr: s.copied(unsafe.Pointer(ts)), Len: 1,
		Off: uint64(count), OpFlags: uint32(flags), UserData: ud,
	}
}

// PrepTimeoutRemove fills s with the end of the timeout whose user data is
// target. The timeout then completes with ECANCELED. No Go memory reaches the
// kernel. ENOENT if there is no such timeout, EALREADY if it is just ending.
// Linux 5.5.
func (s *SQE) PrepTimeoutRemove(target UserData, ud UserData) {
	*s = SQE{Opcode: OpTimeoutRemove, Fd: -1, Addr: uint64(target), UserData: ud}
}

// PrepTimeoutUpdate fills s with a new time for the timeout whose user data is
// target; flags may have TimeoutAbs and a clock. ts is read at submission.
// Errors are PrepTimeoutRemove's. Linux 5.11.
func (s *SQE) PrepTimeoutUpdate(target UserData, ts *Timespec, flags TimeoutFlags, ud UserData) {
	*s = SQE{
		Opcode: OpTimeoutRemove, Fd: -1, Addr: uint64(target), Off: s.copied(unsafe.Pointer(ts)),
		OpFlags: timeoutUpdate | uint32(flags), UserData: ud,
	}
}

// PrepLinkTimeoutUpdate is PrepTimeoutUpdate for a PrepLinkTimeout. Linux 5.15.
func (s *SQE) PrepLinkTimeoutUpdate(target UserData, ts *Timespec, flags TimeoutFlags, ud UserData) {
	s.PrepTimeoutUpdate(target, ts, flags, ud)
	s.OpFlags |= linkTimeoutUpdate
}

// PrepLinkTimeout fills s with a limit on how long the request before it, which
// has SQEIOLink, may take. When the time has passed, that request is cancelled;
// it posts a CQE of its own. ts is read at submission. Res is ETIME if the time
// passed, ECANCELED if the request ended earlier, and ENOENT or EALREADY if the
// request could not be cancelled. Linux 5.5.
func (s *SQE) PrepLinkTimeout(ts *Timespec, flags TimeoutFlags, ud UserData) {
	*s = SQE{
		Opcode: OpLinkTimeout, Fd: -1, Addr: s.copied(unsafe.Pointer(ts)), Len: 1,
		OpFlags: uint32(flags), UserData: ud,
	}
}

// PrepCancel fills s with a cancellation of the request whose user data is
// target; CancelAll extends it to all of them, CancelAny to every request of
// the ring. No Go memory reaches the kernel.
//
// Res is 0, or with CancelAll or CancelAny the number found; ENOENT if there
// is none, EALREADY if it is already running. This CQE is not the target's,
// which posts its own: usually ECANCELED, but possibly a result that was
// faster. Linux 5.5; with flags 5.19.
func (s *SQE) PrepCancel(target UserData, flags CancelFlags, ud UserData) {
	*s = SQE{
		Opcode: OpAsyncCancel, Fd: -1,
		Addr: uint64(target), OpFlags: uint32(flags), UserData: ud,
	}
}

// PrepCancelFD is PrepCancel for requests on fd. Linux 5.19.
func (s *SQE) PrepCancelFD(fd int32, flags CancelFlags, ud UserData) {
	*s = SQE{Opcode: OpAsyncCancel, Fd: fd, OpFlags: uint32(flags | CancelFD), UserData: ud}
}

// PrepCancelFDFixed is PrepCancel for requests on the registered file with
// index file. Linux 6.0.
func (s *SQE) PrepCancelFDFixed(file int32, flags CancelFlags, ud UserData) {
	s.PrepCancelFD(file, flags|CancelFDFixed, ud)
}

// PrepCancelOp is PrepCancel for requests of one operation. target counts only if
// flags have CancelUserData. Linux 6.6.
func (s *SQE) PrepCancelOp(op Op, target UserData, flags CancelFlags, ud UserData) {
	s.PrepCancel(target, flags|CancelOp, ud)
	s.Len = uint32(op)
}
