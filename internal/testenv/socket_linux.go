//go:build linux

package testenv

import (
	"fmt"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// TCPSockets is TCPPair with descriptors that nobody else has. flags are
// accept4(2)'s, for both ends.
func TCPSockets(t testing.TB, flags int) (client, server int) {
	t.Helper()
	must := func(fd int, err error) int {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
		return fd
	}
	ln := must(unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0))
	defer unix.Close(ln)
	must(0, unix.Bind(ln, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	must(0, unix.Listen(ln, 1))
	sa, err := unix.Getsockname(ln)
	must(0, err)
	client = must(unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0))
	t.Cleanup(func() { unix.Close(client) })
	must(0, unix.Connect(client, sa))
	server, _, err = unix.Accept4(ln, unix.SOCK_CLOEXEC|flags)
	must(server, err)
	t.Cleanup(func() { unix.Close(server) })
	must(0, unix.SetNonblock(client, flags&unix.SOCK_NONBLOCK != 0))
	return client, server
}

// QueueFull reports whether the listener's queue is longer than its limit.
func QueueFull(fd int) bool {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	return err == nil && info.Unacked > info.Sacked
}

// NeedKernel skips a test on kernels older than release, such as "6.1", and only
// there.
func NeedKernel(t testing.TB, release string) {
	t.Helper()
	if !HaveKernel(t, release) {
		t.Skip("needs Linux", release)
	}
}

// HaveKernel reports whether the kernel is of release, such as "6.1" or "6.18.44", or
// newer.
func HaveKernel(t testing.TB, release string) bool {
	t.Helper()
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	have, want := kernelVersion(t, unix.ByteSliceToString(u.Release[:])), kernelVersion(t, release)
	return slices.Compare(have[:], want[:]) >= 0
}

func kernelVersion(t testing.TB, release string) (v [3]int) {
	t.Helper()
	if n, err := fmt.Sscanf(release, "%d.%d.%d", &v[0], &v[1], &v[2]); n < 2 {
		t.Fatal(err)
	}
	return v
}
