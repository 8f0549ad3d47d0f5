//go:build linux

package ring

import (
	"structs"
	"unsafe"

	"golang.org/x/sys/unix"
)

// PrepMsgRing fills s with a message to the ring with fd ringFD: that ring
// gets a CQE with UserData data and Res res, and its sleeper wakes. This ring
// gets a CQE too, whose Res is 0 also when the other's queue is full: the
// message then overflows, as any completion does. A SetupDeferTaskrun ring has
// it with its next task work. EBADFD says that ringFD is no ring, or one that
// is not enabled, EOVERFLOW that there was no memory for the message. No Go
// memory reaches the kernel. Linux 5.18.
func (s *SQE) PrepMsgRing(ringFD int32, res uint32, data uint64, ud UserData) {
	*s = SQE{
		Opcode: OpMsgRing, Fd: ringFD, Off: data,
		Addr: msgData, Len: res, UserData: ud,
	}
}

// PrepMsgRingFlags is PrepMsgRing whose completion has flags. Linux 6.3.
func (s *SQE) PrepMsgRingFlags(ringFD int32, res uint32, data uint64, flags CQEFlags, ud UserData) {
	s.PrepMsgRing(ringFD, res, data, ud)
	s.OpFlags, s.FileIndex = uint32(MsgRingFlagsPass), uint32(flags)
}

// PrepMsgRingFD fills s with the gift of this ring's registered file with
// index file to the ring with fd ringFD, which registers it at slot, or where
// FileIndexAlloc finds room, and gets a CQE with UserData data and Res 0, or
// then the index, unless flags have MsgRingCQESkip. This ring gets a CQE with
// the same Res. No Go memory reaches the kernel. EBADF if there is no file,
// ENFILE if there is no room, ENXIO if the other ring has no registered files;
// else as PrepMsgRing, where with EOVERFLOW the file is there all the same.
// Linux 6.0.
func (s *SQE) PrepMsgRingFD(ringFD int32, file, slot uint32, data uint64, flags MsgRingFlags, ud UserData) {
	*s = SQE{
		Opcode: OpMsgRing, Fd: ringFD, Off: data, Addr: msgSendFD, Addr3: uint64(file),
		OpFlags: uint32(flags), FileIndex: fileSlot(slot), UserData: ud,
	}
}

// PrepFilesUpdate fills s with UpdateFiles: fds replace the registered files
// from index first on; -1 empties a place. With FileIndexAlloc as first the
// kernel chooses places, one by one, and writes them to fds. fds must stay
// referenced until the CQE. Res is how many it did. Linux 5.6; with
// FileIndexAlloc 5.19.
func (s *SQE) PrepFilesUpdate(fds []int32, first uint32, ud UserData) {
	*s = SQE{
		Opcode: OpFilesUpdate, Fd: -1, Off: uint64(first),
		Addr: s.kept(unsafe.Pointer(unsafe.SliceData(fds))), Len: uint32(len(fds)), UserData: ud,
	}
}

// PrepFixedFDInstall fills s with the making of an fd, close-on-exec unless
// flags say otherwise, of the registered file with index file. Res is the fd.
// No Go memory reaches the kernel. Linux 6.8.
func (s *SQE) PrepFixedFDInstall(file int32, flags InstallFlags, ud UserData) {
	*s = SQE{Opcode: OpFixedFDInstall, Flags: SQEFixedFile, Fd: file, OpFlags: uint32(flags), UserData: ud}
}

// PrepProvideBuffers fills s with the gift of n buffers of bufBytes each, which
// lie in mem one after the other, to the classic group bgid, with numbers from
// bid on. mem must stay referenced until the last request that uses it, or
// PrepRemoveBuffers, has completed. Buffer rings do it better. EINVAL or E2BIG
// for wrong sizes, EEXIST if bgid is a buffer ring. Linux 5.7.
func (s *SQE) PrepProvideBuffers(mem []byte, bufBytes, n uint32, bgid, bid uint16, ud UserData) {
	*s = SQE{
		Opcode: OpProvideBuffers, Fd: int32(n), Off: uint64(bid),
		Addr: s.keptBytes(mem), Len: bufBytes, BufGroup: bgid, UserData: ud,
	}
}

// PrepRemoveBuffers fills s with the taking of n buffers from the classic group
// bgid. No Go memory reaches the kernel. Res is how many there were; ENOENT if
// there is no such group. Linux 5.7.
func (s *SQE) PrepRemoveBuffers(n uint32, bgid uint16, ud UserData) {
	*s = SQE{Opcode: OpRemoveBuffers, Fd: int32(n), BufGroup: bgid, UserData: ud}
}

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

// SetWord makes w wait for word, which whoever has w must keep referenced.
func (w *FutexWaitV) SetWord(word *uint32) { w.addr = address(unsafe.Pointer(word)) }

// PrepFutexWaitV fills s with a futex wait for any of up to 128 words. ws must
// stay referenced until the CQE, the words too. Res is the index of a word
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

// PrepURingCmd fills s with command cmd of the driver, file system or socket
// behind fd. Its arguments go to Addr, Len, Addr3 and AttrMask, and on a
// SetupSQE128 ring to SQE128.Ext: set them after the Prep. What must stay
// referenced, and Res, depend on the command. EOPNOTSUPP if fd has none.
// Linux 5.19.
func (s *SQE) PrepURingCmd(fd int32, cmd uint32, ud UserData) {
	*s = SQE{Opcode: OpUringCmd, Fd: fd, Off: uint64(cmd), UserData: ud}
}

// PrepBlockDiscard fills s with the command to discard n bytes of block device
// fd from byte off on. No Go memory reaches the kernel. Linux 6.12.
func (s *SQE) PrepBlockDiscard(fd int32, off, n uint64, ud UserData) {
	s.PrepURingCmd(fd, blockURingCmdDiscard, ud)
	s.Addr, s.Addr3 = off, n
}

const blockURingCmdDiscard = 0x1200 // BLOCK_URING_CMD_DISCARD, _IO(0x12, 0)
