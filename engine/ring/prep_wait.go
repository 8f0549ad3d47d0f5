//go:build linux

package ring

import (
	"structs"
	"unsafe"

	"golang.org/x/sys/unix"
)

// PrepEpollCtl fills s with an epoll_ctl(2); op is unix.EPOLL_CTL_*. ev, nil to
// delete, is read at submission. Linux 5.6.
func (s *SQE) PrepEpollCtl(epfd, fd, op int32, ev *unix.EpollEvent, ud UserData) {
	*s = SQE{
		Opcode: OpEpollCtl, Fd: epfd, Off: uint64(uint32(fd)),
		Addr: s.copied(unsafe.Pointer(ev)), Len: uint32(op), UserData: ud,
	}
}

// PrepEpollWait fills s with an epoll_wait(2) into evs, which must stay
// referenced until the CQE. Res is how many events came. Linux 6.15.
func (s *SQE) PrepEpollWait(epfd int32, evs []unix.EpollEvent, ud UserData) {
	*s = SQE{
		Opcode: OpEpollWait, Fd: epfd,
		Addr: s.kept(unsafe.Pointer(unsafe.SliceData(evs))), Len: uint32(len(evs)), UserData: ud,
	}
}

// FutexFlags are flags of the futex2 system calls.
type FutexFlags uint32

// FUTEX2_*.
const (
	Futex32      FutexFlags = 2   // FUTEX2_SIZE_U32: the only size there is
	FutexPrivate FutexFlags = 128 // FUTEX2_PRIVATE: within this process
)

// FutexAny is a mask for PrepFutexWait and PrepFutexWake that matches any.
const FutexAny = 1<<32 - 1

// PrepFutexWait fills s with a futex wait: while *word is val, it completes on
// a wake whose mask has a bit of mask. flags are Futex32 and more. word, which
// must not be on a stack, must stay referenced until the CQE. EAGAIN if *word
// is not val. Linux 6.7.
func (s *SQE) PrepFutexWait(word *uint32, val, mask uint64, flags FutexFlags, ud UserData) {
	*s = SQE{
		Opcode: OpFutexWait, Fd: int32(flags), Off: val, Addr: s.kept(unsafe.Pointer(word)),
		Addr3: mask, UserData: ud,
	}
}

// PrepFutexWake fills s with a futex wake of up to n waiters with a bit of
// mask. Else as PrepFutexWait. Res is how many it woke. Linux 6.7.
func (s *SQE) PrepFutexWake(word *uint32, n, mask uint64, flags FutexFlags, ud UserData) {
	s.PrepFutexWait(word, n, mask, flags, ud)
	s.Opcode = OpFutexWake
}

// FutexWaitV is struct futex_waitv, one of several words to wait for.
type FutexWaitV struct {
	_ structs.HostLayout

	Val   uint64
	addr  uint64
	Flags FutexFlags
	resv  uint32
}

// SetWord makes w wait for word. w does not keep word referenced: the caller must,
// until the request's CQE.
func (w *FutexWaitV) SetWord(word *uint32) { w.addr = address(unsafe.Pointer(word)) }

// PrepFutexWaitV fills s with a futex wait for any of up to 128 words. ws must
// stay referenced until the CQE, and so must the words. Res is the index of a word
// that was woken; EAGAIN if one is not its Val. Linux 6.7.
func (s *SQE) PrepFutexWaitV(ws []FutexWaitV, ud UserData) {
	*s = SQE{
		Opcode: OpFutexWaitV, Addr: s.kept(unsafe.Pointer(unsafe.SliceData(ws))),
		Len: uint32(len(ws)), UserData: ud,
	}
}

// PrepWaitID fills s with a waitid(2); idType is unix.P_*, options are
// unix.WEXITED and its like. info, if not nil, must stay referenced until the
// CQE, after which it is valid. ECHILD if there is no such child of this
// process; package os waits for its own. Linux 6.7.
func (s *SQE) PrepWaitID(idType, id int32, info *unix.Siginfo, options uint32, ud UserData) {
	*s = SQE{
		Opcode: OpWaitID, Fd: id, Off: s.kept(unsafe.Pointer(info)), Len: uint32(idType),
		FileIndex: options, UserData: ud,
	}
}
