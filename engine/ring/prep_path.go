//go:build linux

package ring

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Paths and names are read at submission.

func (s *SQE) name(p *byte) uint64 { return s.copied(unsafe.Pointer(p)) }

// PrepOpenAt fills s with an openat(2). Res is the fd. Pass unix.O_CLOEXEC, or
// child processes inherit it. Linux 5.6.
func (s *SQE) PrepOpenAt(dirfd int32, path *byte, flags, mode uint32, ud UserData) {
	*s = SQE{Opcode: OpOpenAt, Fd: dirfd, Addr: s.name(path), Len: mode, OpFlags: flags, UserData: ud}
}

// PrepOpenAtDirect is PrepOpenAt for a registered file, at slot or where
// FileIndexAlloc finds room: Res is 0, or then the index. flags must not have
// O_CLOEXEC. ENFILE if there is no room, ENXIO if no files are registered.
// Linux 5.15; with FileIndexAlloc 5.19.
func (s *SQE) PrepOpenAtDirect(dirfd int32, path *byte, flags, mode, slot uint32, ud UserData) {
	s.PrepOpenAt(dirfd, path, flags, mode, ud)
	s.FileIndex = fileSlot(slot)
}

// PrepOpenAt2 fills s with an openat2(2). how is read at submission. Res is
// the fd. Linux 5.6.
func (s *SQE) PrepOpenAt2(dirfd int32, path *byte, how *unix.OpenHow, ud UserData) {
	*s = SQE{
		Opcode: OpOpenAt2, Fd: dirfd, Addr: s.name(path),
		Off: s.copied(unsafe.Pointer(how)), Len: unix.SizeofOpenHow, UserData: ud,
	}
}

// PrepOpenAt2Direct is PrepOpenAt2 for a registered file, as PrepOpenAtDirect.
func (s *SQE) PrepOpenAt2Direct(dirfd int32, path *byte, how *unix.OpenHow, slot uint32, ud UserData) {
	s.PrepOpenAt2(dirfd, path, how, ud)
	s.FileIndex = fileSlot(slot)
}

// PrepClose fills s with a close(2). Requests in flight keep the file open.
// No Go memory reaches the kernel. Linux 5.6.
func (s *SQE) PrepClose(fd int32, ud UserData) {
	*s = SQE{Opcode: OpClose, Fd: fd, UserData: ud}
}

// PrepCloseDirect fills s with the removal of a registered file. EBADF if slot
// is empty. No Go memory reaches the kernel. Linux 5.15.
func (s *SQE) PrepCloseDirect(slot uint32, ud UserData) {
	*s = SQE{Opcode: OpClose, FileIndex: fileSlot(slot), UserData: ud}
}

// PrepStatx fills s with a statx(2) into st, which must stay referenced until
// the CQE; flags are unix.AT_*, mask is unix.STATX_*. Linux 5.6.
func (s *SQE) PrepStatx(dirfd int32, path *byte, flags, mask uint32, st *unix.Statx_t, ud UserData) {
	*s = SQE{
		Opcode: OpStatx, Fd: dirfd, Addr: s.name(path), Off: s.kept(unsafe.Pointer(st)),
		Len: mask, OpFlags: flags, UserData: ud,
	}
}

// PrepRenameAt fills s with a renameat2(2); flags are unix.RENAME_*.
// Linux 5.11.
func (s *SQE) PrepRenameAt(oldDirfd int32, oldPath *byte, newDirfd int32, newPath *byte, flags uint32, ud UserData) {
	*s = SQE{
		Opcode: OpRenameAt, Fd: oldDirfd, Addr: s.name(oldPath), Off: s.name(newPath),
		Len: uint32(newDirfd), OpFlags: flags, UserData: ud,
	}
}

// PrepUnlinkAt fills s with an unlinkat(2); flags is 0, or unix.AT_REMOVEDIR
// for a directory. Linux 5.11.
func (s *SQE) PrepUnlinkAt(dirfd int32, path *byte, flags uint32, ud UserData) {
	*s = SQE{Opcode: OpUnlinkAt, Fd: dirfd, Addr: s.name(path), OpFlags: flags, UserData: ud}
}

// PrepMkdirAt fills s with a mkdirat(2). Linux 5.15.
func (s *SQE) PrepMkdirAt(dirfd int32, path *byte, mode uint32, ud UserData) {
	*s = SQE{Opcode: OpMkdirAt, Fd: dirfd, Addr: s.name(path), Len: mode, UserData: ud}
}

// PrepSymlinkAt fills s with a symlinkat(2): path becomes a link to target.
// Linux 5.15.
func (s *SQE) PrepSymlinkAt(target *byte, dirfd int32, path *byte, ud UserData) {
	*s = SQE{Opcode: OpSymlinkAt, Fd: dirfd, Addr: s.name(target), Off: s.name(path), UserData: ud}
}

// PrepLinkAt fills s with a linkat(2); flags are unix.AT_*. Linux 5.15.
func (s *SQE) PrepLinkAt(oldDirfd int32, oldPath *byte, newDirfd int32, newPath *byte, flags uint32, ud UserData) {
	*s = SQE{
		Opcode: OpLinkAt, Fd: oldDirfd, Addr: s.name(oldPath), Off: s.name(newPath),
		Len: uint32(newDirfd), OpFlags: flags, UserData: ud,
	}
}

// PrepSetxattr fills s with a setxattr(2); flags are unix.XATTR_*. value is
// read at submission. Linux 5.19.
func (s *SQE) PrepSetxattr(path, name *byte, value []byte, flags uint32, ud UserData) {
	s.PrepFsetxattr(0, name, value, flags, ud)
	s.Opcode, s.Addr3 = OpSetxattr, s.name(path)
}

// PrepFsetxattr is PrepSetxattr for the file fd. Linux 5.19.
func (s *SQE) PrepFsetxattr(fd int32, name *byte, value []byte, flags uint32, ud UserData) {
	*s = SQE{
		Opcode: OpFsetxattr, Fd: fd, Addr: s.name(name), Off: s.copiedBytes(value),
		Len: bytesLen(value), OpFlags: flags, UserData: ud,
	}
}

// PrepGetxattr fills s with a getxattr(2) into value, which must stay
// referenced until the CQE. Res is the attribute's length, which is all there
// is with an empty value; ERANGE if value is too short, ENODATA if there is no
// such attribute. Linux 5.19.
func (s *SQE) PrepGetxattr(path, name *byte, value []byte, ud UserData) {
	s.PrepFgetxattr(0, name, value, ud)
	s.Opcode, s.Addr3 = OpGetxattr, s.name(path)
}

// PrepFgetxattr is PrepGetxattr for the file fd. Linux 5.19.
func (s *SQE) PrepFgetxattr(fd int32, name *byte, value []byte, ud UserData) {
	*s = SQE{
		Opcode: OpFgetxattr, Fd: fd, Addr: s.name(name), Off: s.keptBytes(value),
		Len: bytesLen(value), UserData: ud,
	}
}
