//go:build linux

package ring

import (
	"unsafe"
)

// PrepMsgRing fills s with a message to the ring with fd ringFD: that ring
// gets a CQE with UserData data and Res res, and its sleeper wakes. This ring
// gets a CQE too, whose Res is 0 also when the other's queue is full: the
// message then overflows, as any completion does. A SetupDeferTaskrun ring gets
// the message with its next task work. EBADFD says that ringFD is no ring, or one that
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
// FileIndexAlloc finds room. Res is 0, or with FileIndexAlloc the index. The
// other ring gets a CQE with UserData data and the same Res, unless flags have
// MsgRingCQESkip. No Go memory reaches the kernel. EBADF if there is no file,
// ENFILE if there is no room, ENXIO if the other ring has no registered files;
// other errors are PrepMsgRing's, but with EOVERFLOW the file is registered all
// the same. Linux 6.0.
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
// PrepRemoveBuffers, has completed. A buffer ring, see Ring.RegisterBufRing, needs
// no request to give buffers back. EINVAL or E2BIG
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
