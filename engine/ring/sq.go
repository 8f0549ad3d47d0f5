//go:build linux

package ring

// submissionQueue is the producer's side of the submission ring. Indices run
// freely through 32 bits; entry i lives at i&mask.
type submissionQueue struct {
	head  sharedIndex // the kernel consumes
	tail  sharedIndex // what the kernel may consume
	flags sharedFlags

	next    uint32 // entries handed out; ahead of *tail until publish
	mask    uint32
	entries uint32
	sqes    []SQE
}

// take hands out the next entry, or nil if the kernel has not yet consumed
// the one before it in the same place.
func (q *submissionQueue) take() *SQE {
	if q.next-q.head.loadAcquire() >= q.entries {
		return nil
	}
	s := &q.sqes[q.next&q.mask]
	q.next++
	return s
}

// pending counts entries handed out and not consumed.
func (q *submissionQueue) pending() uint32 { return q.next - q.head.loadAcquire() }

// publish shows the kernel every entry handed out and returns how many it
// has to consume. The count comes from its head, not from what this call
// adds, so entries that an interrupted or short submit left are in it.
func (q *submissionQueue) publish() uint32 {
	q.tail.storeRelease(q.next)
	return q.pending()
}

// NextSQE returns the next free submission entry, or nil if the queue is
// full: submit, then try again. The entry holds stale data, so the caller
// fills it with a Prep before the next Submit; it then belongs to the kernel.
// Only the ring's owner may call it.
func (r *Ring) NextSQE() *SQE { return r.sq.take() }

// SQPending returns how many entries were handed out by NextSQE and not yet
// consumed by the kernel. Only the ring's owner may call it.
func (r *Ring) SQPending() uint32 { return r.sq.pending() }

// CQOverflowed reports whether completions wait in the kernel because the
// completion queue was full. SubmitAndGet moves them in once there is room.
// Linux 5.8.
func (r *Ring) CQOverflowed() bool { return r.sq.flags.has(sqCQOverflow) }

// TaskrunPending reports whether the kernel has task work that an enter with
// GETEVENTS would run. It needs SetupTaskrunFlag. Linux 5.19.
func (r *Ring) TaskrunPending() bool { return r.sq.flags.has(sqTaskrun) }
