//go:build linux

package ring

import (
	"math"
	"unsafe"

	"golang.org/x/sys/unix"
)

// PrepRead fills s with a pread(2) into b at byte off, or a read(2) with
// CurrentOffset. b must stay referenced until the CQE. Res is the bytes read,
// which may be fewer, 0 at the end of the file. Linux 5.6.
func (s *SQE) PrepRead(fd int32, b []byte, off uint64, ud UserData) {
	*s = SQE{Opcode: OpRead, Fd: fd, Off: off, Addr: s.keptBytes(b), Len: bytesLen(b), UserData: ud}
}

// PrepWrite fills s with a pwrite(2) of b at byte off, or a write(2) with
// CurrentOffset. b must stay referenced and unchanged until the CQE. Res is
// the bytes written, which may be fewer. Linux 5.6.
func (s *SQE) PrepWrite(fd int32, b []byte, off uint64, ud UserData) {
	*s = SQE{Opcode: OpWrite, Fd: fd, Off: off, Addr: s.keptBytes(b), Len: bytesLen(b), UserData: ud}
}

// PrepReadV fills s with a preadv2(2) into iov's memory, up to 1024 pieces;
// rwFlags are unix.RWF_*. iov is read at submission; its memory must stay
// referenced until the CQE. Res is as PrepRead's. Linux 5.1.
func (s *SQE) PrepReadV(fd int32, iov []unix.Iovec, off uint64, rwFlags uint32, ud UserData) {
	*s = SQE{
		Opcode: OpReadV, Fd: fd, Off: off,
		Addr: s.iov(iov), Len: uint32(len(iov)), OpFlags: rwFlags, UserData: ud,
	}
}

// PrepWriteV fills s with a pwritev2(2) of iov's memory. Memory is as for
// PrepReadV, Res as for PrepWrite. Linux 5.1.
func (s *SQE) PrepWriteV(fd int32, iov []unix.Iovec, off uint64, rwFlags uint32, ud UserData) {
	s.PrepReadV(fd, iov, off, rwFlags, ud)
	s.Opcode = OpWriteV
}

// PrepReadFixed is PrepRead into b, which lies in the registered buffer with
// index buf. EFAULT if it does not. Linux 5.1.
func (s *SQE) PrepReadFixed(fd int32, b []byte, off uint64, buf uint16, ud UserData) {
	s.PrepRead(fd, b, off, ud)
	s.Opcode, s.BufGroup = OpReadFixed, buf
}

// PrepWriteFixed is PrepWrite of b, which lies in the registered buffer with
// index buf. EFAULT if it does not. Linux 5.1.
func (s *SQE) PrepWriteFixed(fd int32, b []byte, off uint64, buf uint16, ud UserData) {
	s.PrepWrite(fd, b, off, ud)
	s.Opcode, s.BufGroup = OpWriteFixed, buf
}

// PrepReadVFixed is PrepReadV into pieces of the registered buffer with index
// buf. Linux 6.15.
func (s *SQE) PrepReadVFixed(fd int32, iov []unix.Iovec, off uint64, rwFlags uint32, buf uint16, ud UserData) {
	s.PrepReadV(fd, iov, off, rwFlags, ud)
	s.Opcode, s.BufGroup = OpReadVFixed, buf
}

// PrepWriteVFixed is PrepWriteV of pieces of the registered buffer with index
// buf. Linux 6.15.
func (s *SQE) PrepWriteVFixed(fd int32, iov []unix.Iovec, off uint64, rwFlags uint32, buf uint16, ud UserData) {
	s.PrepReadV(fd, iov, off, rwFlags, ud)
	s.Opcode, s.BufGroup = OpWriteVFixed, buf
}

// PrepReadMultishot fills s with a read posting one CQE each time there is
// data, naming a buffer taken from group bgid. n limits each read, 0 does not.
// fd must be one that polls, such as a pipe, with off CurrentOffset: EBADFD
// for a regular file. It stays armed until a CQE without F_MORE; an empty
// group ends it with ENOBUFS. No Go memory reaches the kernel. Linux 6.7.
func (s *SQE) PrepReadMultishot(fd int32, n uint32, off uint64, bgid uint16, ud UserData) {
	*s = SQE{
		Opcode: OpReadMultishot, Flags: SQEBufferSelect,
		Fd: fd, Off: off, Len: n, BufGroup: bgid, UserData: ud,
	}
}

// PrepFsync fills s with an fsync(2), or with FsyncDatasync an fdatasync(2). It
// does not wait for writes submitted before it: link or drain them. No Go
// memory reaches the kernel. Linux 5.1.
func (s *SQE) PrepFsync(fd int32, flags FsyncFlags, ud UserData) {
	*s = SQE{Opcode: OpFsync, Fd: fd, OpFlags: uint32(flags), UserData: ud}
}

// PrepSyncFileRange fills s with a sync_file_range(2) of n bytes, 0 for the
// rest of the file, from byte off on; flags are unix.SYNC_FILE_RANGE_*. No Go
// memory reaches the kernel. Linux 5.2.
func (s *SQE) PrepSyncFileRange(fd int32, off uint64, n, flags uint32, ud UserData) {
	*s = SQE{Opcode: OpSyncFileRange, Fd: fd, Off: off, Len: n, OpFlags: flags, UserData: ud}
}

// PrepFallocate fills s with a fallocate(2) of n bytes from byte off on; mode
// is unix.FALLOC_FL_*. No Go memory reaches the kernel. Linux 5.6.
func (s *SQE) PrepFallocate(fd int32, mode uint32, off, n uint64, ud UserData) {
	*s = SQE{Opcode: OpFallocate, Fd: fd, Off: off, Addr: n, Len: mode, UserData: ud}
}

// PrepFtruncate fills s with an ftruncate(2) to size bytes. No Go memory
// reaches the kernel. Linux 6.9.
func (s *SQE) PrepFtruncate(fd int32, size uint64, ud UserData) {
	*s = SQE{Opcode: OpFtruncate, Fd: fd, Off: size, UserData: ud}
}

// PrepFadvise fills s with a posix_fadvise(2) about n bytes, 0 for the rest of
// the file, from byte off on; advice is unix.FADV_*. No Go memory reaches the
// kernel. Linux 5.6; with n over 4 GiB 6.11.
func (s *SQE) PrepFadvise(fd int32, off, n uint64, advice uint32, ud UserData) {
	*s = SQE{Opcode: OpFadvise, Fd: fd, Off: off, OpFlags: advice, UserData: ud}
	if n <= math.MaxUint32 {
		s.Len = uint32(n)
	} else {
		s.Addr = n
	}
}

// PrepMadvise fills s with a madvise(2) about b's pages; advice is
// unix.MADV_*. b, which must not be Go heap for advice that changes contents,
// must stay mapped until the CQE. Linux 5.6; with b over 4 GiB 6.11.
func (s *SQE) PrepMadvise(b []byte, advice uint32, ud UserData) {
	*s = SQE{Opcode: OpMadvise, Fd: -1, Addr: s.keptBytes(b), OpFlags: advice, UserData: ud}
	if uint64(len(b)) <= math.MaxUint32 {
		s.Len = uint32(len(b))
	} else {
		s.Off = uint64(len(b))
	}
}

// SpliceFDInFixed, among the flags of PrepSplice and PrepTee, makes fdIn an
// index into the registered files: SPLICE_F_FD_IN_FIXED.
const SpliceFDInFixed = spliceFDInFixed

// PrepSplice fills s with a splice(2) of up to n bytes from fdIn to fdOut, of
// which one is a pipe; flags are unix.SPLICE_F_*. An offset is -1 for a pipe,
// and for the current one. No Go memory reaches the kernel. Res is the bytes
// moved, 0 at the end of the input. Linux 5.7.
func (s *SQE) PrepSplice(fdIn int32, offIn int64, fdOut int32, offOut int64, n, flags uint32, ud UserData) {
	*s = SQE{
		Opcode: OpSplice, Fd: fdOut, Off: uint64(offOut), Addr: uint64(offIn),
		Len: n, OpFlags: flags, FileIndex: uint32(fdIn), UserData: ud,
	}
}

// PrepTee fills s with a tee(2): up to n bytes in pipe fdIn appear in pipe
// fdOut too. No Go memory reaches the kernel. Res is how many. Linux 5.8.
func (s *SQE) PrepTee(fdIn, fdOut int32, n, flags uint32, ud UserData) {
	*s = SQE{Opcode: OpTee, Fd: fdOut, Len: n, OpFlags: flags, FileIndex: uint32(fdIn), UserData: ud}
}

// PrepPipe fills s with a pipe2(2), which writes the ends to fds, that to read
// from first. fds must stay referenced until the CQE. Linux 6.16.
func (s *SQE) PrepPipe(fds *[2]int32, flags uint32, ud UserData) {
	*s = SQE{Opcode: OpPipe, Addr: s.kept(unsafe.Pointer(fds)), OpFlags: flags, UserData: ud}
}

// PrepPipeDirect is PrepPipe for registered files, at slot and the one after
// it, or where FileIndexAlloc finds room: fds are then the indices. flags must
// not have O_CLOEXEC. ENFILE if there is no room. Linux 6.16.
func (s *SQE) PrepPipeDirect(fds *[2]int32, flags, slot uint32, ud UserData) {
	s.PrepPipe(fds, flags, ud)
	s.FileIndex = fileSlot(slot)
}
