//go:build linux

package engine

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/engine/sock"
)

// ReusePort makes a socket that is not bound yet one of a SO_REUSEPORT group.
func ReusePort(fd int) error {
	return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
}

// SteerByCPU and SteerAtRandom have a SO_REUSEPORT group choose its socket by
// a classic BPF program; see package sock. fds are all its sockets.
func SteerByCPU(fds []int) error    { return sock.SteerByCPU(fds[0], len(fds)) }
func SteerAtRandom(fds []int) error { return sock.SteerAtRandom(fds[0], len(fds)) }

// SteerByIncomingCPU has a group prefer fds[i] for what cpus[i] takes in, or
// CPU i if that is -1.
func SteerByIncomingCPU(fds, cpus []int) error {
	for i, fd := range fds {
		cpu := cpus[i]
		if cpu < 0 {
			cpu = i
		}
		if err := sock.IncomingCPU(fd, cpu); err != nil {
			return err
		}
	}
	return nil
}
