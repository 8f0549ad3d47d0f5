//go:build linux

package ring

import (
	"syscall"
	"unsafe"
)

// submissionQueue is the producer's side of the submission ring.
type submissionQueue struct {
	head    sharedIndex // the kernel consumes
	tail    sharedIndex // what the kernel may consume
	dropped sharedIndex // entries with a bad index; a counter
	flags   sharedFlags

	next    uint32 // entries handed out; ahead of *tail until publish
	entries uint32
	sqePlaces
	memory *memoryCheck // nil in tests without a kernel
}

// take hands out the next entry, or nil if the kernel has not yet consumed
// the one before it in the same place. The half that no Prep fills is cleared.
func (q *submissionQueue) take() *SQE {
	if q.next-q.head.loadAcquire() >= q.entries {
		return nil
	}
	s := q.at(q.next)
	q.memory.handOut(s, q.next)
	q.next++
	if raceBuild { // what the place's last request left must not pass for this one's
		*s = SQE{}
	}
	if q.shift != 0 {
		(*SQE128)(unsafe.Pointer(s)).Ext = [64]byte{}
	}
	return s
}

// pending counts entries handed out and not consumed.
func (q *submissionQueue) pending() uint32 { return q.next - q.head.loadAcquire() }

// publish shows the kernel every entry handed out and returns how many it
// has to consume. The count comes from its head, not from what this call
// adds, so entries that an interrupted or short submit left are in it.
func (q *submissionQueue) publish() uint32 {
	if raceBuild {
		q.checkFilled()
	}
	q.memory.submitting(q.next)
	q.tail.storeRelease(q.next)
	return q.pending()
}

// checkFilled panics if one of the entries that are not consumed has had no
// Prep.
func (q *submissionQueue) checkFilled() {
	for i := q.head.loadAcquire(); i != q.next; i++ {
		if *q.at(i) == (SQE{}) {
			panic("ring: an entry of NextSQE had no Prep")
		}
	}
}

// NextSQE returns the next free submission entry, or nil if the queue is
// full: submit, then try again. The entry holds stale data, so the caller
// fills it with a Prep before the next Submit; it then belongs to the kernel.
// In race builds it is cleared, and Submit panics if it still is. Only the
// ring's owner may call it.
func (r *Ring) NextSQE() *SQE {
	r.owner.use()
	return r.sq.take()
}

// NextSQE128 is NextSQE for a SetupSQE128 ring: s.SQE is what NextSQE returns,
// and s.Ext, cleared, the rest of a command's data. On other rings it panics.
// Only the ring's owner may call it. Linux 5.19.
func (r *Ring) NextSQE128() *SQE128 {
	if r.sq.shift == 0 {
		panic("ring: NextSQE128 on a ring without SetupSQE128")
	}
	return (*SQE128)(unsafe.Pointer(r.NextSQE()))
}

// SQPending returns how many entries were handed out by NextSQE and not yet
// consumed by the kernel, of a SetupSQPoll ring by its thread: what consumed
// ones had "read at submission" is the caller's again. Only the ring's owner may call it.
func (r *Ring) SQPending() uint32 { return r.sq.pending() }

// SQSpace returns how many entries NextSQE has left. Only the ring's owner may
// call it.
func (r *Ring) SQSpace() uint32 { return r.sq.entries - r.sq.pending() }

// SQDropped returns how many entries the kernel has dropped since setup. This
// package never causes that.
func (r *Ring) SQDropped() uint32 { return r.sq.dropped.loadAcquire() }

// SQNeedWakeup reports whether the thread of a SetupSQPoll ring sleeps. The
// Submit family wakes it.
func (r *Ring) SQNeedWakeup() bool { return r.sq.flags.has(sqNeedWakeup) }

// SQWait sleeps until the kernel's thread of a SetupSQPoll ring has consumed
// an entry of a full queue. On other rings, and with room in the queue, it
// does nothing. Only the ring's owner may call it. EINTR says that a signal
// came. Linux 5.10.
func (r *Ring) SQWait() error {
	r.owner.use()
	if r.flags&SetupSQPoll == 0 {
		return nil
	}
	r.sq.publish()
	if r.sq.pending() < r.sq.entries {
		return nil
	}
	flags := r.enterFlags | enterSQWait
	if r.sq.flags.has(sqNeedWakeup) {
		flags |= enterSQWakeup
	}
	_, err := r.enter(0, 0, flags, nil, 0)
	if err == error(syscall.EAGAIN) { // nothing to wait for
		return nil
	}
	return err
}

// CQOverflowed reports whether completions wait in the kernel because the
// completion queue was full. SubmitAndGet moves them in once there is room.
// Linux 5.8.
func (r *Ring) CQOverflowed() bool { return r.sq.flags.has(sqCQOverflow) }

// TaskrunPending reports whether the kernel has task work that an enter with
// GETEVENTS would run. It needs SetupTaskrunFlag. Linux 5.19.
func (r *Ring) TaskrunPending() bool { return r.sq.flags.has(sqTaskrun) }
