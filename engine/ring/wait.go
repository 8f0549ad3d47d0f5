//go:build linux

package ring

import (
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// SubmitAndWait is Submit and then sleeps until n completions are in the
// queue or timeout has passed. A negative timeout means none; 0 does not
// sleep. The thread sleeps in the kernel while the P runs other goroutines.
//
// It returns how many entries were consumed, see Submit. ETIME says that the
// timeout passed, EINTR that a signal came, EBADR that a completion was lost.
// The kernel says so only if the call consumed nothing and the queue is empty;
// otherwise a wait cut short looks like a full one, so count completions
// instead of trusting a nil error.
//
// Only the ring's owner may call it. A timeout needs Linux 5.11.
func (r *Ring) SubmitAndWait(n uint32, timeout time.Duration) (int, error) {
	r.owner.use()
	var arg unsafe.Pointer
	var argBytes uintptr
	var extArg uint32
	if timeout >= 0 {
		if r.features&FeatExtArg == 0 {
			return 0, &Error{Op: opEnter, Errno: syscall.ENOSYS, Hint: "a wait with a timeout needs Linux 5.11"}
		}
		r.ts = NewTimespec(timeout)
		r.arg = geteventsArg{ts: uint64(uintptr(unsafe.Pointer(&r.ts)))}
		arg, argBytes, extArg = unsafe.Pointer(&r.arg), sizeofGeteventsArg, enterExtArg
	}
	pending := r.sq.publish()
	return r.enter(pending, n, r.getFlags()|r.waitFlags|extArg, arg, argBytes)
}

// WaitCQEs submits every pending entry and sleeps until n completions are in the
// queue, or timeout has passed. A signal does not end it, as it ends
// SubmitAndWait: Go sends its own threads some. A negative timeout means none; 0
// does not sleep. It makes at least one system call, also if n completions are
// there.
//
// With n completions in the queue it returns nil, and the kernel has taken every
// entry; but if it had no memory for one, SQPending counts what goes with the
// next call. On a SetupSQPoll ring the kernel's thread takes entries in its own time.
// With fewer completions the error says why, and those that are there may be
// reaped:
//
//   - ETIME: the timeout passed.
//   - EAGAIN: the kernel has no memory for an entry. EBUSY, of old kernels: it takes
//     no entry while completions overflow. Reap and call again, after a pause if
//     there was nothing to reap. No entry is lost.
//   - EINVAL: n is more than CQEntries, or the body of a loop over CQEs calls it,
//     which panics in race builds.
//
// EBADR, that a completion was lost for want of memory, and errors of the ring itself,
// such as EBADFD before Enable and EEXIST on another thread than the issuer's, are
// returned with any number of completions.
//
// Only the ring's owner may call it. A timeout needs Linux 5.11.
func (r *Ring) WaitCQEs(n uint32, timeout time.Duration) error {
	r.cq.notVisiting("WaitCQEs")
	if r.cq.visiting || n > r.CQEntries() { // the kernel's count would not end the wait
		return refuse(opEnter, "WaitCQEs in a loop over CQEs, or for more than CQEntries")
	}
	var end time.Time
	if timeout > 0 {
		end = time.Now().Add(timeout)
	}
	for {
		consumed, err := r.SubmitAndWait(n, timeout)
		switch err {
		case nil, errInterrupted, errTimeout, errAgain, errBusy:
		default:
			return err
		}
		// A batch that ends with a request which the kernel rejects leaves the others.
		unsent := consumed > 0 && r.flags&SetupSQPoll == 0 && r.sq.pending() > 0
		switch {
		case r.CQReady() >= n && !unsent:
			return nil
		case err == errAgain, err == errBusy:
			return err
		case timeout == 0 && !unsent:
			return errTimeout
		case timeout > 0:
			timeout = max(time.Until(end), 0) // and a last look
		}
	}
}

// WaitOptions say how SubmitAndWaitFor sleeps.
type WaitOptions struct {
	// N is how many completions end the wait.
	N uint32

	// Timeout ends the wait earlier; 0 means none.
	Timeout time.Duration

	// Deadline, if not nil, ends the wait at a time of the ring's clock, see
	// RegisterClock; before Linux 7.1 that of the initial time namespace. It
	// excludes Timeout. Linux 6.12.
	Deadline *Timespec

	// MinWait is how long the wait lasts at least unless N completions come.
	// After it one completion is enough to end the wait. In whole microseconds,
	// 0 for none. Linux 6.12.
	MinWait time.Duration

	// Sigmask, if not nil, is the thread's signal mask for the time of the
	// wait, as for epoll_pwait(2). Only its first 64 signals count.
	Sigmask *unix.Sigset_t
}

// SubmitAndWaitFor is SubmitAndWait with more choices. o and what it points to
// are read before the call returns. ENOSYS means that the kernel is too old for an
// option. Only the ring's owner may call it. Linux 5.11.
func (r *Ring) SubmitAndWaitFor(o *WaitOptions) (int, error) {
	r.owner.use()
	tooOld := func(why string) (int, error) {
		return 0, &Error{Op: opEnter, Errno: syscall.ENOSYS, Hint: why}
	}
	minWait := o.MinWait.Microseconds()
	switch {
	case r.features&FeatExtArg == 0:
		return tooOld("WaitOptions need Linux 5.11")
	case o.MinWait != 0 && r.features&FeatMinTimeout == 0:
		return tooOld("MinWait needs Linux 6.12")
	case o.Deadline != nil && r.features&FeatMinTimeout == 0:
		return tooOld("Deadline needs Linux 6.12")
	case o.Deadline != nil && o.Timeout != 0:
		return 0, refuse(opEnter, "both Timeout and Deadline")
	case o.Timeout < 0 || minWait < 0 || minWait > 1<<32-1:
		return 0, refuse(opEnter, "Timeout is negative, or MinWait not within 0 and 71 minutes")
	}
	flags := r.waitFlags | enterExtArg
	r.arg = geteventsArg{minWaitUsec: uint32(minWait)}
	switch {
	case o.Deadline != nil:
		r.ts = *o.Deadline
		flags |= enterAbsTimer
	case o.Timeout != 0:
		r.ts = NewTimespec(o.Timeout)
	}
	if o.Deadline != nil || o.Timeout != 0 {
		r.arg.ts = uint64(uintptr(unsafe.Pointer(&r.ts)))
	}
	if o.Sigmask != nil {
		r.sigmask = uint64(o.Sigmask.Val[0])
		if bitsPerWord < 64 {
			r.sigmask |= uint64(o.Sigmask.Val[1]) << 32
		}
		r.arg.sigmask = uint64(uintptr(unsafe.Pointer(&r.sigmask)))
		r.arg.sigmaskSz = sigsetBytes
	}
	pending := r.sq.publish()
	return r.enter(pending, o.N, r.getFlags()|flags, unsafe.Pointer(&r.arg), sizeofGeteventsArg)
}

const bitsPerWord = 8 * unsafe.Sizeof(unix.Sigset_t{}.Val[0])

// SubmitAndWaitReg is SubmitAndWait for n completions with a timeout that lies
// in memory which the kernel has mapped: Waits()[index], see RegisterWaits. Only
// the ring's owner may call it. EFAULT means that there is no such index, or
// none was registered. Linux 6.13.
func (r *Ring) SubmitAndWaitReg(n uint32, index int) (int, error) {
	r.owner.use()
	pending := r.sq.publish()
	flags := r.getFlags() | r.waitFlags | enterExtArg | enterExtArgReg
	// The argument is an offset, which must not look like a pointer to Go.
	consumed, _, errno := syscall.Syscall6(unix.SYS_IO_URING_ENTER,
		r.enterFD, uintptr(pending), uintptr(n), uintptr(flags), uintptr(index)*sizeofRegWait, sizeofRegWait)
	return entered(consumed, errno)
}
