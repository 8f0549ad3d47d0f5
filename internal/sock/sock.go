//go:build linux

// Package sock makes the system calls that a stream socket's bytes go
// through, as golang.org/x/sys/unix does, but without telling the scheduler
// where that does not pay: a call that cannot block and moves a few kilobytes
// is over sooner than the bookkeeping. None of them blocks, whatever the
// descriptor's mode: somebody with a duplicate may have changed it.
//
// It also has addresses in package net's form, what steers connections to one of
// several listening sockets without eBPF, and memory shared with the kernel, for
// steering with eBPF.
package sock

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Room returns how many bytes the send buffer of a TCP socket can still take,
// by the kernel's account, which counts its own overhead, too. First kernel:
// 4.12, for SO_MEMINFO; 0 before.
func Room(fd int) int {
	var info [9]uint32 // SK_MEMINFO_*, linux/sock_diag.h
	size := uint32(unsafe.Sizeof(info))
	_, _, errno := syscall.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	const sndbuf, wmemQueued = 3, 5
	if errno != 0 || info[wmemQueued] >= info[sndbuf] {
		return 0
	}
	return int(info[sndbuf] - info[wmemQueued])
}
