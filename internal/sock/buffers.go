//go:build linux

package sock

import (
	"runtime"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	maxVectors = 1024    // UIO_MAXIOV, linux/uio.h: of one call
	maxVector  = 1 << 30 // bytes of one, as package net has it
)

// vectors are for calls with more buffers than fit on the stack.
var vectors = sync.Pool{New: func() any { return new([maxVectors]unix.Iovec) }}

// SendBuffers is Send of the buffers in v one after the other, as far as one call
// takes them. With nothing to send it returns 0.
func SendBuffers(fd int, v [][]byte) (int, error) {
	if len(v) > 8 {
		many := vectors.Get().(*[maxVectors]unix.Iovec)
		defer vectors.Put(many)
		n, used, err := sendVectors(fd, v, many[:])
		clear(many[:used]) // which would keep the caller's memory
		return n, err
	}
	var few [8]unix.Iovec
	n, _, err := sendVectors(fd, v, few[:])
	return n, err
}

// sendVectors is SendBuffers by way of iov, of which it uses so many.
func sendVectors(fd int, v [][]byte, iov []unix.Iovec) (n, used int, err error) {
	total := 0
	for _, b := range v {
		if used == len(iov) {
			break
		}
		if len(b) == 0 {
			continue
		}
		size := min(len(b), maxVector)
		iov[used].Base = unsafe.SliceData(b)
		iov[used].SetLen(size)
		used++
		total += size
		if size < len(b) || total >= maxVector {
			break
		}
	}
	if used == 0 {
		return 0, 0, nil
	}
	hdr := unix.Msghdr{Iov: &iov[0]}
	hdr.SetIovlen(used)
	beforeSend()
	var r uintptr
	var errno syscall.Errno
	if total <= rawBytes {
		r, _, errno = syscall.RawSyscall(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&hdr)), unix.MSG_DONTWAIT)
	} else {
		r, _, errno = syscall.Syscall(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&hdr)), unix.MSG_DONTWAIT)
	}
	runtime.KeepAlive(v)
	if errno != 0 {
		return -1, used, failure(errno)
	}
	for left, i := int(r), 0; left > 0; i++ {
		size := min(left, len(v[i]))
		afterSend(v[i], size)
		left -= size
	}
	return int(r), used, nil
}
