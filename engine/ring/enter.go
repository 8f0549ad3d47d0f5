//go:build linux

package ring

import (
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Submit passes every pending entry to the kernel and returns how many it
// consumed, which may be fewer: a request the kernel rejects while reading it
// ends the batch unless SetupSubmitAll is set. What is left goes with the
// next call. With nothing pending there is no system call.
//
// It does not wait for completions and holds the P while it runs; requests
// that work inline, such as buffered file I/O, hold it for as long as they
// take. Only the ring's owner may call it. EAGAIN and EBUSY mean that the
// kernel is short of memory or completion space: reap, then submit again.
func (r *Ring) Submit() (int, error) {
	n := r.sq.publish()
	if n == 0 {
		return 0, nil
	}
	flags := r.enterFlags
	if r.flags&SetupSQPoll != 0 {
		if !r.sq.flags.has(sqNeedWakeup) {
			return int(n), nil // the kernel's thread is looking
		}
		flags |= enterSQWakeup
	}
	consumed, _, errno := syscall.RawSyscall6(unix.SYS_IO_URING_ENTER,
		r.enterFD, uintptr(n), 0, uintptr(flags), 0, 0)
	return entered(consumed, errno)
}

// SubmitAndGet is Submit and also, always with one system call, runs deferred
// task work and moves completions that overflowed into the queue. It does not
// sleep and holds the P while it runs. Only the ring's owner may call it.
func (r *Ring) SubmitAndGet() (int, error) {
	n := r.sq.publish()
	consumed, _, errno := syscall.RawSyscall6(unix.SYS_IO_URING_ENTER,
		r.enterFD, uintptr(n), 0, uintptr(r.getFlags()), 0, 0)
	return entered(consumed, errno)
}

// SubmitAndWait is Submit and then sleeps until n completions are in the
// queue or timeout has passed. A negative timeout means none; 0 does not
// sleep. The thread sleeps in the kernel while the P runs other goroutines.
//
// It returns how many entries were consumed. ETIME says that the timeout
// passed, EINTR that a signal came, EBADR that a completion was lost. The
// kernel says so only if the call consumed nothing and the queue is empty;
// otherwise a wait cut short looks like a full one, so count completions
// instead of trusting a nil error.
//
// Only the ring's owner may call it. A timeout needs Linux 5.11.
func (r *Ring) SubmitAndWait(n uint32, timeout time.Duration) (int, error) {
	var arg unsafe.Pointer
	var argBytes uintptr
	var extArg uint32
	if timeout >= 0 {
		if r.features&FeatExtArg == 0 {
			return 0, &Error{Op: opEnter, Errno: syscall.ENOSYS, Hint: "a wait with a timeout needs Linux 5.11"}
		}
		r.ts.sec, r.ts.nsec = int64(timeout/time.Second), int64(timeout%time.Second)
		arg, argBytes, extArg = unsafe.Pointer(&r.arg), sizeofGeteventsArg, enterExtArg
	}
	pending := r.sq.publish()
	consumed, _, errno := syscall.Syscall6(unix.SYS_IO_URING_ENTER,
		r.enterFD, uintptr(pending), uintptr(n), uintptr(r.getFlags()|r.waitFlags|extArg), uintptr(arg), argBytes)
	return entered(consumed, errno)
}

// getFlags returns the flags of an enter that runs task work. Call it after
// publish: SQPOLL's thread asks to be woken if it saw no tail move.
func (r *Ring) getFlags() uint32 {
	flags := r.enterFlags | enterGetevents
	if r.flags&SetupSQPoll != 0 && r.sq.flags.has(sqNeedWakeup) {
		flags |= enterSQWakeup
	}
	return flags
}

// The errors of a healthy ring, boxed once.
var (
	errTimeout     error = syscall.ETIME
	errInterrupted error = syscall.EINTR
	errBusy        error = syscall.EBUSY
	errAgain       error = syscall.EAGAIN
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
