//go:build linux

package ring

import "syscall"

// completionQueue is the consumer's side of the completion ring.
type completionQueue struct {
	head     sharedIndex // what we consumed
	tail     sharedIndex // the kernel produces
	overflow sharedIndex // completions lost for ever; a counter

	next uint32 // equals *head, which only we store
	mask uint32
	cqes []CQE
}

// ready counts completions to consume.
func (q *completionQueue) ready() uint32 { return q.tail.loadAcquire() - q.next }

// drain copies completions to dst and frees their places with one store.
func (q *completionQueue) drain(dst []CQE) int {
	n := int(min(uint64(q.ready()), uint64(len(dst))))
	if n == 0 {
		return 0
	}
	first := copy(dst[:n], q.cqes[q.next&q.mask:])
	copy(dst[first:n], q.cqes) // the part that wrapped around
	q.next += uint32(n)
	q.head.storeRelease(q.next)
	return n
}

// CQReady returns how many completions PeekCQEs would find. It leaves out
// those that overflowed and those whose task work has not run. Only the
// ring's owner may call it.
func (r *Ring) CQReady() uint32 { return r.cq.ready() }

// PeekCQEs moves up to len(dst) completions from the queue to dst, oldest
// first, and returns how many. It makes no system call: a SetupDeferTaskrun
// ring has new completions only after SubmitAndGet or SubmitAndWait. Only the
// ring's owner may call it.
func (r *Ring) PeekCQEs(dst []CQE) int { return r.cq.drain(dst) }

// CQOverflowCount returns how many completions the kernel has lost since
// setup. With FeatNodrop that takes memory exhaustion.
func (r *Ring) CQOverflowCount() uint32 { return r.cq.overflow.loadAcquire() }

// More reports whether the request goes on and will post again.
func (c *CQE) More() bool { return c.Flags&CQEMore != 0 }

// Buffer returns the provided buffer that the request used, if it used one.
// The buffer is the caller's until it is given back to its group.
func (c *CQE) Buffer() (bid uint16, ok bool) {
	return uint16(c.Flags >> cqeBufferShift), c.Flags&CQEBuffer != 0
}

// SockNonEmpty reports whether the socket held more data, or its end, when
// the completion was posted. Linux 5.19.
func (c *CQE) SockNonEmpty() bool { return c.Flags&CQESockNonEmpty != 0 }

// Notif reports whether this is the second completion of a zero-copy send,
// which says that the memory sent may be reused. Linux 6.0.
func (c *CQE) Notif() bool { return c.Flags&CQENotif != 0 }

// Err returns the request's error as a syscall.Errno, or nil if Res is not
// negative. A notification's Res is no result, so its Err is nil.
func (c *CQE) Err() error {
	if c.Res >= 0 || c.Notif() {
		return nil
	}
	return syscall.Errno(-c.Res)
}
