//go:build linux

package main

import (
	"os"
	"syscall"
	"time"
)

const tcpUserTimeout = 18 // TCP_USER_TIMEOUT, linux/tcp.h

// setUserTimeout returns a Control hook that gives the listening socket
// TCP_USER_TIMEOUT, which the conns that it accepts inherit. Who has the conns,
// such as a gRPC server, could set it on each of them as well, but libraries do
// so on a *net.TCPConn only.
func setUserTimeout(d time.Duration) func(network, address string, rc syscall.RawConn) error {
	return func(_, _ string, rc syscall.RawConn) error {
		var serr error
		err := rc.Control(func(fd uintptr) {
			serr = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(d.Milliseconds()))
		})
		if err != nil {
			return err
		}
		return os.NewSyscallError("setsockopt", serr)
	}
}
