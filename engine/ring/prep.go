//go:build linux

package ring

import (
	"math"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Each Prep is one whole-struct write, so no field of the entry's last use
// survives. Only the ring's owner may call them.
//
// Slices and pointers given to a Prep must stay referenced, and unchanged if
// the kernel reads them, until the request's last CQE, unless the comment says
// "read at submission". That means until the Submit call that consumed the entry
// has returned, or on a SetupSQPoll ring until the kernel's thread has consumed
// it, see Submit. It takes FeatSubmitStable, Linux 5.5: before, all memory must
// stay until the last CQE.
//
// Paths and names are NUL-terminated, as of unix.BytePtrFromString; a relative
// path starts at dirfd, or at the working directory for unix.AT_FDCWD.
//
// Res is 0 unless the comment says otherwise. A negative Res is an errno, see
// CQE.Err: those of the system call that the request stands for, EINVAL if the
// kernel is too old for it or one of its flags, EBADF for an fd that is not
// open, ECANCELED for a request that was cancelled or linked behind one that
// failed. fd is an index into the registered files with SQEFixedFile.

// A Set method adds to what the Prep before it wrote. The same bits mean something
// else in entries of other operations, so in race builds it panics on an entry of
// an operation that it is not for, or that has had no Prep.

// opSet is a set of operations: bit o stands for Op o. Those from 64 on are in
// anyOp only.
type opSet uint64

const (
	anyOp     opSet = 1<<64 - 1
	sendOps   opSet = 1<<OpSend | 1<<OpSendMsg | 1<<OpSendZC | 1<<OpSendMsgZC
	recvOps   opSet = 1<<OpRecv | 1<<OpRecvMsg | 1<<OpRecvZC
	bufferOps opSet = 1<<OpRead | 1<<OpReadV | 1<<OpReadMultishot | 1<<OpRecv | 1<<OpRecvMsg | 1<<OpSend
	rwOps     opSet = 1<<OpRead | 1<<OpReadV | 1<<OpReadFixed | 1<<OpReadVFixed |
		1<<OpWrite | 1<<OpWriteV | 1<<OpWriteFixed | 1<<OpWriteVFixed
)

// modify panics in race builds if the operation of s, to which the modifier is
// about to add, is not one of ops, or if s has had no Prep since NextSQE.
func (s *SQE) modify(modifier string, ops opSet) {
	switch {
	case !raceBuild:
	case *s == SQE{}:
		panic("ring: " + modifier + " before a Prep")
	case s.Opcode >= 64 && ops != anyOp, s.Opcode < 64 && ops>>s.Opcode&1 == 0:
		panic("ring: " + modifier + " on " + s.Opcode.String())
	}
}

// CurrentOffset, as a file offset, means the file's current one, which the
// request then moves. It takes FeatRWCurPos, Linux 5.6.
const CurrentOffset = 1<<64 - 1

// SetFlags adds to the entry's flags. Call it after the Prep.
func (s *SQE) SetFlags(f SQEFlags) {
	s.modify("SetFlags", anyOp)
	s.Flags |= f
}

// SetPollFirst makes a send or receive wait for the socket to be ready before
// it tries, which saves an attempt known to fail. A multishot receive on an
// empty buffer group then arms instead of ending with ENOBUFS. Call it after
// the Prep. Linux 5.19.
//
// On Linux 6.18 a multishot receive armed this way, on a socket that already
// holds data and behind it a reset or the end of a unix stream, posts the data
// and never the end. Armed without SetPollFirst it posts both.
func (s *SQE) SetPollFirst() {
	s.modify("SetPollFirst", sendOps|recvOps)
	s.Ioprio |= recvsendPollFirst
}

// SetBufferGroup has a request of read or receive with an empty slice take its
// memory from buffer group bgid instead, when there is data; CQE.Buffer then
// names it. Res is ENOBUFS if the group is empty. Call it after the Prep.
// Linux 5.7; with a buffer ring 5.19.
func (s *SQE) SetBufferGroup(bgid uint16) {
	s.modify("SetBufferGroup", bufferOps)
	s.Flags |= SQEBufferSelect
	s.BufGroup = bgid
}

// SetBundle lets a request with a buffer group use several buffers at once: a
// send as many as there are, a receive as many as there is data for, or fewer.
// Res is the bytes in all of them; the completion names the first, and the others
// follow it in the group's order. Call it after the Prep. FeatRecvsendBundle,
// Linux 6.10.
func (s *SQE) SetBundle() {
	s.modify("SetBundle", 1<<OpSend|1<<OpRecv)
	s.Ioprio |= recvsendBundle
}

// SetReportUsage has a zero-copy send tell in its notification whether the
// data was copied after all: CQE.Copied. Call it after the Prep. Linux 6.2.
func (s *SQE) SetReportUsage() {
	s.modify("SetReportUsage", 1<<OpSendZC|1<<OpSendMsgZC)
	s.Ioprio |= sendZCReportUsage
}

// SetFixedBuffer has a zero-copy send or a command use the registered buffer
// with index buf, in which its memory lies. Call it after the Prep. Linux 6.0
// for PrepSendZC, 6.15 for PrepSendMsgZC; PrepURingCmd has its own.
func (s *SQE) SetFixedBuffer(buf uint16) {
	s.modify("SetFixedBuffer", 1<<OpSendZC|1<<OpSendMsgZC|1<<OpUringCmd)
	s.BufGroup = buf
	if s.Opcode == OpUringCmd {
		s.OpFlags |= uringCmdFixed
		return
	}
	s.Ioprio |= recvsendFixedBuf
}

// SetPersonality has the request act with the credentials that
// RegisterPersonality kept as id. Call it after the Prep. EINVAL if there is no
// such id. Linux 5.6.
func (s *SQE) SetPersonality(id uint16) {
	s.modify("SetPersonality", anyOp)
	s.Personality = id
}

// SetAttrPI gives a read or write protection information. pi is read at
// submission. Call it after the Prep. Res is EOPNOTSUPP or EINVAL if the file
// takes none. FeatRWAttr, Linux 6.14.
func (s *SQE) SetAttrPI(pi *AttrPI) {
	s.modify("SetAttrPI", rwOps)
	s.Addr3, s.AttrMask = s.copied(unsafe.Pointer(pi)), attrFlagPI
}

// PrepNop fills s with a request that completes at once with 0. No Go memory
// reaches the kernel. Linux 5.1.
func (s *SQE) PrepNop(ud UserData) {
	*s = SQE{Opcode: OpNop, Fd: -1, UserData: ud}
}

// PrepNopFlags is PrepNop that completes with res, if flags have
// NopInjectResult, or with a wide completion. Linux 6.10.
func (s *SQE) PrepNopFlags(res int32, flags NopFlags, ud UserData) {
	*s = SQE{Opcode: OpNop, Fd: -1, Len: uint32(res), OpFlags: uint32(flags), UserData: ud}
}

// fileSlot returns slot, where a direct file goes, in the form for an entry,
// where 0 stands for no direct file.
func fileSlot(slot uint32) uint32 {
	if slot == FileIndexAlloc {
		return FileIndexAlloc
	}
	return slot + 1
}

// kept returns the address p for s. The kernel uses the memory until the
// request's last completion; race builds check then that it is still there.
func (s *SQE) kept(p unsafe.Pointer) uint64 {
	s.note(p, p, false)
	return address(p)
}

// copied is kept for memory that the kernel uses until the submission.
func (s *SQE) copied(p unsafe.Pointer) uint64 {
	s.note(p, p, true)
	return address(p)
}

// keptBytes is kept for b's memory.
func (s *SQE) keptBytes(b []byte) uint64 { return s.kept(unsafe.Pointer(unsafe.SliceData(b))) }

// copiedBytes is copied for b's memory.
func (s *SQE) copiedBytes(b []byte) uint64 { return s.copied(unsafe.Pointer(unsafe.SliceData(b))) }

// bytesLen returns how much of b a request is for, which is up to 2 GiB.
func bytesLen(b []byte) uint32 { return uint32(min(len(b), math.MaxInt32)) }

// iov returns the address of iov for s: the slice is copied, and the memory that
// it names is kept.
func (s *SQE) iov(iov []unix.Iovec) uint64 {
	at := unsafe.Pointer(unsafe.SliceData(iov))
	s.noteIovecs(iov, at)
	return s.copied(at)
}

// address returns p as the kernel takes it. It forces p's memory to the heap,
// since a stack may move while the kernel uses it; keeping the memory referenced
// is up to the caller.
func address(p unsafe.Pointer) uint64 {
	if escape.never {
		escape.to = p
	}
	return uint64(uintptr(p))
}

// escape makes the compiler believe that address keeps its argument.
var escape struct {
	never bool
	to    unsafe.Pointer
}
