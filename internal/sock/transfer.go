//go:build linux

package sock

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// rawBytes is how much a call may move that the scheduler is not told of: a
// goroutine in it keeps its P. Some 10 µs' worth, and seldom used up: buffers
// of 32 KiB are common, and small messages in them.
const rawBytes = 64 << 10

// Recv receives up to len(p) bytes. 0 with a nil error is the end, if p is
// not empty.
func Recv(fd int, p []byte) (int, error) {
	n, err := transfer(unix.SYS_RECVFROM, fd, p)
	afterRecv(p, n, err)
	return n, err
}

// Send sends up to len(p) bytes. On a socket that its peer has closed it raises
// SIGPIPE, as write(2) does: the runtime ignores that unless somebody asked for
// it.
func Send(fd int, p []byte) (int, error) {
	beforeSend()
	n, err := transfer(unix.SYS_SENDTO, fd, p)
	afterSend(p, n)
	return n, err
}

func transfer(call uintptr, fd int, p []byte) (int, error) {
	var n uintptr
	var errno syscall.Errno
	if len(p) <= rawBytes {
		n, _, errno = syscall.RawSyscall6(call, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_DONTWAIT, 0, 0)
	} else {
		n, _, errno = syscall.Syscall6(call, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_DONTWAIT, 0, 0)
	}
	if errno != 0 {
		return -1, failure(errno)
	}
	return int(n), nil
}

// failure is errno as an error.
func failure(errno syscall.Errno) error {
	if errno == unix.EAGAIN {
		return errAgain
	}
	return errno
}

var errAgain error = unix.EAGAIN // converting it each time would allocate
