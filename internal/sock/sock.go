//go:build linux

// Package sock makes the system calls that a stream socket's bytes go
// through, as golang.org/x/sys/unix does, but without telling the scheduler
// where that does not pay: a call that cannot block and moves a few kilobytes
// is over sooner than the bookkeeping. None of them blocks, whatever the
// descriptor's mode: somebody with a duplicate may have changed it.
//
// It also has addresses in package net's form, what steers connections to one of
// several listening sockets without eBPF, and memory shared with the kernel, for
// those who do it with.
package sock

import (
	"encoding/binary"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Peer is getpeername(2), but that a TCP socket has its peer's address even
// when it has been reset: SO_PEERNAME does not look at the state.
func Peer(fd int) (syscall.Sockaddr, error) {
	sa, err := syscall.Getpeername(fd)
	if err != unix.ENOTCONN {
		return sa, err
	}
	var raw unix.RawSockaddrAny
	for _, size := range []uint32{unix.SizeofSockaddrInet6, unix.SizeofSockaddrInet4} { // no more than there is
		_, _, errno := syscall.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_PEERNAME,
			uintptr(unsafe.Pointer(&raw)), uintptr(unsafe.Pointer(&size)), 0)
		if errno == 0 {
			break
		}
	}
	switch raw.Addr.Family {
	case unix.AF_INET:
		p := (*unix.RawSockaddrInet4)(unsafe.Pointer(&raw))
		return &syscall.SockaddrInet4{Port: hostPort(&p.Port), Addr: p.Addr}, nil
	case unix.AF_INET6:
		p := (*unix.RawSockaddrInet6)(unsafe.Pointer(&raw))
		return &syscall.SockaddrInet6{Port: hostPort(&p.Port), ZoneId: p.Scope_id, Addr: p.Addr}, nil
	}
	return nil, err
}

// hostPort is a port as it lies in a socket address.
func hostPort(port *uint16) int {
	return int(binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(port))[:]))
}

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
