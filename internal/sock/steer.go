//go:build linux

package sock

import (
	"os"

	"golang.org/x/sys/unix"
)

// Classic BPF reads the kernel's own data at these negative offsets,
// linux/filter.h.
const (
	adOff    = -0x1000 // SKF_AD_OFF
	adCPU    = 36      // SKF_AD_CPU
	adRandom = 56      // SKF_AD_RANDOM
)

// ReusePort makes a socket that is not bound yet one of a SO_REUSEPORT group.
func ReusePort(fd int) error {
	return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
}

// SteerByCPU has the SO_REUSEPORT group of fd give a connection to the socket
// whose index is the CPU that took the packet in, modulo n. Sockets are
// numbered in the order of their listen(2), also those of other processes; if
// one closes, the last takes its number. It needs no privilege, and replaces
// any program of the group. First kernel: 4.6, for TCP.
func SteerByCPU(fd, n int) error { return steer(fd, n, adCPU) }

// SteerAtRandom is SteerByCPU with a random index.
func SteerAtRandom(fd, n int) error { return steer(fd, n, adRandom) }

func steer(fd, n int, datum int32) error {
	if n < 1 {
		return os.NewSyscallError("setsockopt", unix.EINVAL) // the kernel's verdict on a modulus of 0
	}
	code := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: uint32(adOff + datum)},
		{Code: unix.BPF_ALU | unix.BPF_MOD | unix.BPF_K, K: uint32(n)},
		{Code: unix.BPF_RET | unix.BPF_A},
	}
	prog := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF, &prog)
	return os.NewSyscallError("setsockopt", err)
}

// IncomingCPU has the kernel prefer fd, within its SO_REUSEPORT group, for
// connections whose packets this CPU takes in. A program of the group comes
// first. It needs no privilege. First kernel: 4.4; from 6.2 on also for
// sockets that listen already.
func IncomingCPU(fd, cpu int) error {
	return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_INCOMING_CPU, cpu))
}
