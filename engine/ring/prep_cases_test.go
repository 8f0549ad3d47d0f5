//go:build linux

package ring

import (
	"fmt"
	"math"
	"unsafe"

	"golang.org/x/sys/unix"
)

// prepCase is one use of a Prep: the entry that it must make, written out, and
// the call of liburing that makes the same one, "" if there is none.
type prepCase struct {
	name string
	prep func(*SQE)
	want SQE
	c    string
}

const prepUD = UserData(0x0102030405060708)

// prepArgs is memory that entries point to, and its addresses.
type prepArgs struct {
	b                                            []byte
	iov                                          []unix.Iovec
	msg                                          *unix.Msghdr
	sa                                           *Sockaddr
	path, path2                                  *byte
	how                                          *unix.OpenHow
	st                                           *unix.Statx_t
	pipe                                         *[2]int32
	fds                                          []int32
	ts                                           *Timespec
	ev                                           []unix.EpollEvent
	word                                         *uint32
	ws                                           []FutexWaitV
	info                                         *unix.Siginfo
	pi                                           *AttrPI
	pB, pIov, pMsg, pSa, pLen, pPath, pPath2     uint64
	pHow, pSt, pPipe, pFds, pTs, pEv, pWord, pWs uint64
	pInfo, pPI                                   uint64
}

func newPrepArgs() *prepArgs {
	a := &prepArgs{
		b: make([]byte, 100), iov: make([]unix.Iovec, 3), msg: new(unix.Msghdr), sa: &Sockaddr{n: 28},
		path: new(byte), path2: new(byte), how: new(unix.OpenHow), st: new(unix.Statx_t), pipe: new([2]int32),
		fds: make([]int32, 4), ts: new(Timespec), ev: make([]unix.EpollEvent, 5), word: new(uint32),
		ws: make([]FutexWaitV, 6), info: new(unix.Siginfo), pi: new(AttrPI),
	}
	at := func(p unsafe.Pointer) uint64 { return uint64(uintptr(p)) }
	a.pB, a.pIov, a.pMsg = at(unsafe.Pointer(&a.b[0])), at(unsafe.Pointer(&a.iov[0])), at(unsafe.Pointer(a.msg))
	a.pSa, a.pLen = at(unsafe.Pointer(&a.sa.raw[0])), at(unsafe.Pointer(&a.sa.n))
	a.pPath, a.pPath2 = at(unsafe.Pointer(a.path)), at(unsafe.Pointer(a.path2))
	a.pHow, a.pSt, a.pPipe = at(unsafe.Pointer(a.how)), at(unsafe.Pointer(a.st)), at(unsafe.Pointer(a.pipe))
	a.pFds, a.pTs, a.pEv = at(unsafe.Pointer(&a.fds[0])), at(unsafe.Pointer(a.ts)), at(unsafe.Pointer(&a.ev[0]))
	a.pWord, a.pWs = at(unsafe.Pointer(a.word)), at(unsafe.Pointer(&a.ws[0]))
	a.pInfo, a.pPI = at(unsafe.Pointer(a.info)), at(unsafe.Pointer(a.pi))
	return a
}

func (a *prepArgs) cases() []prepCase {
	var all []prepCase
	for _, family := range []func() []prepCase{
		a.readWrite, a.fileOps, a.spliceOps, a.pathOps, a.openOps, a.xattrOps, a.socketOps, a.acceptOps,
		a.sendOps, a.recvOps, a.pollOps, a.timeoutOps, a.cancelOps, a.ringOps, a.bufferOps, a.processOps, a.cmdOps,
	} {
		all = append(all, family()...)
	}
	for i := range all {
		all[i].want.UserData = prepUD
	}
	return all
}

var sprintf = fmt.Sprintf

func (a *prepArgs) readWrite() []prepCase {
	const ud = prepUD
	return []prepCase{
		{"nop", func(s *SQE) { s.PrepNop(ud) }, SQE{Opcode: 0, Fd: -1}, "io_uring_prep_nop(sqe)"},
		{"nop flags", func(s *SQE) { s.PrepNopFlags(-5, NopInjectResult, ud) }, SQE{Fd: -1, Len: 0xfffffffb, OpFlags: 1},
			"io_uring_prep_nop(sqe); sqe->len = -5; sqe->rw_flags = 1"},
		{"readv", func(s *SQE) { s.PrepReadV(3, a.iov, 9, 8, ud) }, SQE{Opcode: 1, Fd: 3, Off: 9, Addr: a.pIov, Len: 3, OpFlags: 8},
			sprintf("io_uring_prep_readv2(sqe, 3, (void*)%d, 3, 9, 8)", a.pIov)},
		{"writev", func(s *SQE) { s.PrepWriteV(3, a.iov, 9, 8, ud) }, SQE{Opcode: 2, Fd: 3, Off: 9, Addr: a.pIov, Len: 3, OpFlags: 8},
			sprintf("io_uring_prep_writev2(sqe, 3, (void*)%d, 3, 9, 8)", a.pIov)},
		{"read_fixed", func(s *SQE) { s.PrepReadFixed(3, a.b, 9, 7, ud) }, SQE{Opcode: 4, Fd: 3, Off: 9, Addr: a.pB, Len: 100, BufGroup: 7},
			sprintf("io_uring_prep_read_fixed(sqe, 3, (void*)%d, 100, 9, 7)", a.pB)},
		{"write_fixed", func(s *SQE) { s.PrepWriteFixed(3, a.b, 9, 7, ud) }, SQE{Opcode: 5, Fd: 3, Off: 9, Addr: a.pB, Len: 100, BufGroup: 7},
			sprintf("io_uring_prep_write_fixed(sqe, 3, (void*)%d, 100, 9, 7)", a.pB)},
		{"read", func(s *SQE) { s.PrepRead(3, a.b, CurrentOffset, ud) }, SQE{Opcode: 22, Fd: 3, Off: math.MaxUint64, Addr: a.pB, Len: 100},
			sprintf("io_uring_prep_read(sqe, 3, (void*)%d, 100, -1)", a.pB)},
		{"write", func(s *SQE) { s.PrepWrite(3, a.b, 1<<40, ud) }, SQE{Opcode: 23, Fd: 3, Off: 1 << 40, Addr: a.pB, Len: 100},
			sprintf("io_uring_prep_write(sqe, 3, (void*)%d, 100, 1ULL<<40)", a.pB)},
		{"read into a group", func(s *SQE) { s.PrepRead(3, nil, 0, ud); s.SetBufferGroup(8) }, SQE{Opcode: 22, Flags: 32, Fd: 3, BufGroup: 8},
			"io_uring_prep_read(sqe, 3, 0, 0, 0); sqe->flags |= IOSQE_BUFFER_SELECT; sqe->buf_group = 8"},
		{"read with pi", func(s *SQE) { s.PrepRead(3, nil, 0, ud); s.SetAttrPI(a.pi) }, SQE{Opcode: 22, Fd: 3, Addr3: a.pPI, AttrMask: 1}, ""},
		{"read_multishot", func(s *SQE) { s.PrepReadMultishot(3, 10, CurrentOffset, 8, ud) },
			SQE{Opcode: 49, Flags: 32, Fd: 3, Off: math.MaxUint64, Len: 10, BufGroup: 8}, "io_uring_prep_read_multishot(sqe, 3, 10, -1, 8)"},
		{"readv_fixed", func(s *SQE) { s.PrepReadVFixed(3, a.iov, 9, 8, 7, ud) },
			SQE{Opcode: 60, Fd: 3, Off: 9, Addr: a.pIov, Len: 3, OpFlags: 8, BufGroup: 7},
			sprintf("io_uring_prep_readv_fixed(sqe, 3, (void*)%d, 3, 9, 8, 7)", a.pIov)},
		{"writev_fixed", func(s *SQE) { s.PrepWriteVFixed(3, a.iov, 9, 8, 7, ud) },
			SQE{Opcode: 61, Fd: 3, Off: 9, Addr: a.pIov, Len: 3, OpFlags: 8, BufGroup: 7},
			sprintf("io_uring_prep_writev_fixed(sqe, 3, (void*)%d, 3, 9, 8, 7)", a.pIov)},
		{"personality", func(s *SQE) { s.PrepNop(ud); s.SetPersonality(5) }, SQE{Fd: -1, Personality: 5},
			"io_uring_prep_nop(sqe); sqe->personality = 5"},
		{"flags", func(s *SQE) { s.PrepNop(ud); s.SetFlags(SQEIOLink | SQECQESkipSuccess) }, SQE{Fd: -1, Flags: 4 | 64},
			"io_uring_prep_nop(sqe); io_uring_sqe_set_flags(sqe, IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS)"},
	}
}

func (a *prepArgs) fileOps() []prepCase {
	const ud = prepUD
	return []prepCase{
		{"fsync", func(s *SQE) { s.PrepFsync(3, FsyncDatasync, ud) }, SQE{Opcode: 3, Fd: 3, OpFlags: 1},
			"io_uring_prep_fsync(sqe, 3, IORING_FSYNC_DATASYNC)"},
		{"sync_file_range", func(s *SQE) { s.PrepSyncFileRange(3, 9, 100, 7, ud) }, SQE{Opcode: 8, Fd: 3, Off: 9, Len: 100, OpFlags: 7},
			"io_uring_prep_sync_file_range(sqe, 3, 100, 9, 7)"},
		{"fallocate", func(s *SQE) { s.PrepFallocate(3, 2, 9, 1<<33, ud) }, SQE{Opcode: 17, Fd: 3, Off: 9, Addr: 1 << 33, Len: 2},
			"io_uring_prep_fallocate(sqe, 3, 2, 9, 1ULL<<33)"},
		{"ftruncate", func(s *SQE) { s.PrepFtruncate(3, 1<<33, ud) }, SQE{Opcode: 55, Fd: 3, Off: 1 << 33},
			"io_uring_prep_ftruncate(sqe, 3, 1ULL<<33)"},
		{"fadvise", func(s *SQE) { s.PrepFadvise(3, 9, 100, 4, ud) }, SQE{Opcode: 24, Fd: 3, Off: 9, Len: 100, OpFlags: 4},
			"io_uring_prep_fadvise(sqe, 3, 9, 100, 4)"},
		{"fadvise64", func(s *SQE) { s.PrepFadvise(3, 9, 1<<33, 4, ud) }, SQE{Opcode: 24, Fd: 3, Off: 9, Addr: 1 << 33, OpFlags: 4},
			"io_uring_prep_fadvise64(sqe, 3, 9, 1ULL<<33, 4)"},
		{"madvise", func(s *SQE) { s.PrepMadvise(a.b, 4, ud) }, SQE{Opcode: 25, Fd: -1, Addr: a.pB, Len: 100, OpFlags: 4},
			sprintf("io_uring_prep_madvise(sqe, (void*)%d, 100, 4)", a.pB)},
		{"files_update", func(s *SQE) { s.PrepFilesUpdate(a.fds, 2, ud) }, SQE{Opcode: 20, Fd: -1, Off: 2, Addr: a.pFds, Len: 4},
			sprintf("io_uring_prep_files_update(sqe, (void*)%d, 4, 2)", a.pFds)},
		{"fixed_fd_install", func(s *SQE) { s.PrepFixedFDInstall(3, InstallNoCloexec, ud) }, SQE{Opcode: 54, Flags: 1, Fd: 3, OpFlags: 1},
			"io_uring_prep_fixed_fd_install(sqe, 3, 1)"},
	}
}

func (a *prepArgs) spliceOps() []prepCase {
	const ud = prepUD
	return []prepCase{
		{"splice", func(s *SQE) { s.PrepSplice(3, -1, 4, 9, 100, 1|SpliceFDInFixed, ud) },
			SQE{Opcode: 30, Fd: 4, Off: 9, Addr: math.MaxUint64, Len: 100, OpFlags: 1 | 1<<31, FileIndex: 3},
			"io_uring_prep_splice(sqe, 3, -1, 4, 9, 100, 1 | SPLICE_F_FD_IN_FIXED)"},
		{"tee", func(s *SQE) { s.PrepTee(3, 4, 100, 1, ud) }, SQE{Opcode: 33, Fd: 4, Len: 100, OpFlags: 1, FileIndex: 3},
			"io_uring_prep_tee(sqe, 3, 4, 100, 1)"},
		{"pipe", func(s *SQE) { s.PrepPipe(a.pipe, 0x80000, ud) }, SQE{Opcode: 62, Addr: a.pPipe, OpFlags: 0x80000},
			sprintf("io_uring_prep_pipe(sqe, (void*)%d, 0x80000)", a.pPipe)},
		{"pipe direct", func(s *SQE) { s.PrepPipeDirect(a.pipe, 0, 5, ud) }, SQE{Opcode: 62, Addr: a.pPipe, FileIndex: 6},
			sprintf("io_uring_prep_pipe_direct(sqe, (void*)%d, 0, 5)", a.pPipe)},
		{"pipe direct alloc", func(s *SQE) { s.PrepPipeDirect(a.pipe, 0, FileIndexAlloc, ud) },
			SQE{Opcode: 62, Addr: a.pPipe, FileIndex: 1<<32 - 1},
			sprintf("io_uring_prep_pipe_direct(sqe, (void*)%d, 0, IORING_FILE_INDEX_ALLOC)", a.pPipe)},
	}
}

func (a *prepArgs) pathOps() []prepCase {
	const ud = prepUD
	at := int32(unix.AT_FDCWD)
	return []prepCase{
		{"statx", func(s *SQE) { s.PrepStatx(3, a.path, 0x1000, 0xfff, a.st, ud) },
			SQE{Opcode: 21, Fd: 3, Off: a.pSt, Addr: a.pPath, Len: 0xfff, OpFlags: 0x1000},
			sprintf("io_uring_prep_statx(sqe, 3, (void*)%d, 0x1000, 0xfff, (void*)%d)", a.pPath, a.pSt)},
		{"renameat", func(s *SQE) { s.PrepRenameAt(3, a.path, at, a.path2, 1, ud) },
			SQE{Opcode: 35, Fd: 3, Off: a.pPath2, Addr: a.pPath, Len: 0xffffff9c, OpFlags: 1},
			sprintf("io_uring_prep_renameat(sqe, 3, (void*)%d, AT_FDCWD, (void*)%d, 1)", a.pPath, a.pPath2)},
		{"unlinkat", func(s *SQE) { s.PrepUnlinkAt(at, a.path, 0x200, ud) }, SQE{Opcode: 36, Fd: -100, Addr: a.pPath, OpFlags: 0x200},
			sprintf("io_uring_prep_unlinkat(sqe, AT_FDCWD, (void*)%d, 0x200)", a.pPath)},
		{"mkdirat", func(s *SQE) { s.PrepMkdirAt(3, a.path, 0o700, ud) }, SQE{Opcode: 37, Fd: 3, Addr: a.pPath, Len: 0o700},
			sprintf("io_uring_prep_mkdirat(sqe, 3, (void*)%d, 0700)", a.pPath)},
		{"symlinkat", func(s *SQE) { s.PrepSymlinkAt(a.path, 3, a.path2, ud) }, SQE{Opcode: 38, Fd: 3, Off: a.pPath2, Addr: a.pPath},
			sprintf("io_uring_prep_symlinkat(sqe, (void*)%d, 3, (void*)%d)", a.pPath, a.pPath2)},
		{"linkat", func(s *SQE) { s.PrepLinkAt(3, a.path, 4, a.path2, 0x400, ud) },
			SQE{Opcode: 39, Fd: 3, Off: a.pPath2, Addr: a.pPath, Len: 4, OpFlags: 0x400},
			sprintf("io_uring_prep_linkat(sqe, 3, (void*)%d, 4, (void*)%d, 0x400)", a.pPath, a.pPath2)},
	}
}

func (a *prepArgs) openOps() []prepCase {
	const ud = prepUD
	return []prepCase{
		{"openat", func(s *SQE) { s.PrepOpenAt(3, a.path, 0x80042, 0o600, ud) },
			SQE{Opcode: 18, Fd: 3, Addr: a.pPath, Len: 0o600, OpFlags: 0x80042},
			sprintf("io_uring_prep_openat(sqe, 3, (void*)%d, 0x80042, 0600)", a.pPath)},
		{"openat direct", func(s *SQE) { s.PrepOpenAtDirect(3, a.path, 0x42, 0o600, 9, ud) },
			SQE{Opcode: 18, Fd: 3, Addr: a.pPath, Len: 0o600, OpFlags: 0x42, FileIndex: 10},
			sprintf("io_uring_prep_openat_direct(sqe, 3, (void*)%d, 0x42, 0600, 9)", a.pPath)},
		{"openat direct alloc", func(s *SQE) { s.PrepOpenAtDirect(3, a.path, 0x42, 0o600, FileIndexAlloc, ud) },
			SQE{Opcode: 18, Fd: 3, Addr: a.pPath, Len: 0o600, OpFlags: 0x42, FileIndex: 1<<32 - 1},
			sprintf("io_uring_prep_openat_direct(sqe, 3, (void*)%d, 0x42, 0600, IORING_FILE_INDEX_ALLOC)", a.pPath)},
		{"openat2", func(s *SQE) { s.PrepOpenAt2(3, a.path, a.how, ud) }, SQE{Opcode: 28, Fd: 3, Off: a.pHow, Addr: a.pPath, Len: 24},
			sprintf("io_uring_prep_openat2(sqe, 3, (void*)%d, (void*)%d)", a.pPath, a.pHow)},
		{"openat2 direct", func(s *SQE) { s.PrepOpenAt2Direct(3, a.path, a.how, 9, ud) },
			SQE{Opcode: 28, Fd: 3, Off: a.pHow, Addr: a.pPath, Len: 24, FileIndex: 10},
			sprintf("io_uring_prep_openat2_direct(sqe, 3, (void*)%d, (void*)%d, 9)", a.pPath, a.pHow)},
		{"close", func(s *SQE) { s.PrepClose(3, ud) }, SQE{Opcode: 19, Fd: 3}, "io_uring_prep_close(sqe, 3)"},
		{"close direct", func(s *SQE) { s.PrepCloseDirect(3, ud) }, SQE{Opcode: 19, FileIndex: 4}, "io_uring_prep_close_direct(sqe, 3)"},
	}
}

func (a *prepArgs) xattrOps() []prepCase {
	const ud = prepUD
	return []prepCase{
		{"setxattr", func(s *SQE) { s.PrepSetxattr(a.path, a.path2, a.b, 1, ud) },
			SQE{Opcode: 42, Off: a.pB, Addr: a.pPath2, Len: 100, OpFlags: 1, Addr3: a.pPath},
			sprintf("io_uring_prep_setxattr(sqe, (void*)%d, (void*)%d, (void*)%d, 1, 100)", a.pPath2, a.pB, a.pPath)},
		{"fsetxattr", func(s *SQE) { s.PrepFsetxattr(3, a.path2, a.b, 1, ud) },
			SQE{Opcode: 41, Fd: 3, Off: a.pB, Addr: a.pPath2, Len: 100, OpFlags: 1},
			sprintf("io_uring_prep_fsetxattr(sqe, 3, (void*)%d, (void*)%d, 1, 100)", a.pPath2, a.pB)},
		{"getxattr", func(s *SQE) { s.PrepGetxattr(a.path, a.path2, a.b, ud) },
			SQE{Opcode: 44, Off: a.pB, Addr: a.pPath2, Len: 100, Addr3: a.pPath},
			sprintf("io_uring_prep_getxattr(sqe, (void*)%d, (void*)%d, (void*)%d, 100)", a.pPath2, a.pB, a.pPath)},
		{"fgetxattr", func(s *SQE) { s.PrepFgetxattr(3, a.path2, a.b, ud) }, SQE{Opcode: 43, Fd: 3, Off: a.pB, Addr: a.pPath2, Len: 100},
			sprintf("io_uring_prep_fgetxattr(sqe, 3, (void*)%d, (void*)%d, 100)", a.pPath2, a.pB)},
	}
}
