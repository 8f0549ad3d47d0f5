package testenv

import "golang.org/x/sys/unix"

// QueueFull reports whether the listener's queue is longer than its limit.
func QueueFull(fd int) bool {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	return err == nil && info.Unacked > info.Sacked
}
