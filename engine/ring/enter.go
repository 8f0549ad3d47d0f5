//go:build linux

package ring

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// getFlags returns the flags of an enter that runs task work. Call it after
// publish: the kernel's thread of a SetupSQPoll ring, if it fell asleep before it
// saw the new tail, then gets its wake-up.
func (r *Ring) getFlags() uint32 {
	flags := r.enterFlags | enterGetevents
	if r.flags&SetupSQPoll != 0 && r.sq.flags.has(sqNeedWakeup) {
		flags |= enterSQWakeup
	}
	return flags
}

// enter is an io_uring_enter that may sleep. What arg points to lies on the heap
// and stays referenced by r or the caller.
func (r *Ring) enter(submit, wait, flags uint32, arg unsafe.Pointer, argBytes uintptr) (int, error) {
	consumed, _, errno := syscall.Syscall6(unix.SYS_IO_URING_ENTER,
		r.enterFD, uintptr(submit), uintptr(wait), uintptr(flags), uintptr(arg), argBytes)
	return entered(consumed, errno)
}

// enterNow is an io_uring_enter that does not sleep.
func (r *Ring) enterNow(submit, flags uint32) (int, error) {
	consumed, _, errno := syscall.RawSyscall6(unix.SYS_IO_URING_ENTER,
		r.enterFD, uintptr(submit), 0, uintptr(flags), 0, 0)
	return entered(consumed, errno)
}

// The errors of a healthy ring, made once so that they cost no allocation.
var (
	errTimeout     error = newError(opEnter, syscall.ETIME)
	errInterrupted error = newError(opEnter, syscall.EINTR)
	errBusy        error = newError(opEnter, syscall.EBUSY)
	errAgain       error = newError(opEnter, syscall.EAGAIN)
)

// entered makes io_uring_enter's result the Submit family's.
func entered(consumed uintptr, errno syscall.Errno) (int, error) {
	switch errno {
	case 0:
		return int(consumed), nil
	case syscall.ETIME:
		return 0, errTimeout
	case syscall.EINTR:
		return 0, errInterrupted
	case syscall.EBUSY:
		return 0, errBusy
	case syscall.EAGAIN:
		return 0, errAgain
	}
	return 0, newError(opEnter, errno)
}
