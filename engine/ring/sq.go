//go:build linux

package ring

import (
	"unsafe"
)

// submissionQueue is the producer's side of the submission ring.
type submissionQueue struct {
	head    sharedIndex // what is before it is consumed; only the kernel stores it
	tail    sharedIndex // what is before it may be consumed; only this side stores it
	dropped sharedIndex // counts the entries with a bad index
	flags   sharedFlags

	next    uint32 // what is before it was handed out: *tail, or ahead of it until publish
	entries uint32
	sqePlaces
	memory *memoryCheck // nil in tests without a kernel
}

// take hands out the next entry, or nil if the kernel has not yet consumed
// the one before it in the same place. Of an SQE128 the half that no Prep fills
// is cleared.
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
