//go:build linux

package ring

import (
	"sync/atomic"
	"unsafe"
)

// completionQueue is the consumer's side of the completion ring. Entry i lives
// at (i&mask)<<shift. In a mixed queue some completions take two entries.
type completionQueue struct {
	head     sharedIndex // what is before it is free again; only this side stores it
	tail     sharedIndex // what is before it is posted; only the kernel stores it
	overflow sharedIndex // counts the completions that are lost for ever
	flags    sharedFlags // its p is nil before Linux 5.8

	next  uint32 // what is before it was handed out: *head, or ahead of it in a loop over CQEs
	mask  uint32
	shift uint8 // 1 for SetupCQE32
	mixed bool  // SetupCQEMixed
	cqes  []CQE

	memory   *memoryCheck  // nil in tests without a kernel
	visiting bool          // a loop over CQEs runs
	unfreed  atomic.Uint32 // takes head's place meanwhile, so that nothing frees what the loop shows
}

// ready counts entries to consume.
func (q *completionQueue) ready() uint32 { return q.tail.loadAcquire() - q.next }

// peek returns the next completion and how many entries it takes. In a mixed
// queue it passes over the entries that only fill the space before the wrap. It
// returns nil if there is no completion before end, or if next is past end, as
// the body of a loop that holds end may have brought about.
func (q *completionQueue) peek(end uint32) (c *CQE, n uint32) {
	for int32(end-q.next) > 0 {
		c := &q.cqes[(q.next&q.mask)<<q.shift]
		if !q.mixed || c.Flags&(CQE32Bytes|CQESkip) != CQESkip {
			q.memory.completed(c, q.next)
			if q.mixed && c.Flags&CQE32Bytes != 0 {
				return c, 2
			}
			return c, 1
		}
		q.next++
	}
	return nil, 0
}

// drain copies completions to dst and frees their places with one store.
func (q *completionQueue) drain(dst []CQE) int {
	if q.shift != 0 || q.mixed {
		return q.drainWide(len(dst), func(i int, c *CQE) { dst[i] = *c })
	}
	n := int(min(uint64(q.ready()), uint64(len(dst))))
	if n == 0 {
		return 0
	}
	first := copy(dst[:n], q.cqes[q.next&q.mask:])
	copy(dst[first:n], q.cqes) // the part that wrapped around
	q.memory.drained(dst[:n], q.next)
	q.next += uint32(n)
	q.head.storeRelease(q.next)
	return n
}

// drainWide gives up to limit completions of any kind of queue to f, one by one,
// and frees their places with one store.
func (q *completionQueue) drainWide(limit int, f func(int, *CQE)) (i int) {
	start, end := q.next, q.tail.loadAcquire()
	for ; i < limit; i++ {
		c, n := q.peek(end)
		if c == nil {
			break
		}
		f(i, c)
		q.next += n
	}
	if q.next != start {
		q.head.storeRelease(q.next)
	}
	return i
}

// extra returns the second half of a completion in the queue, nil if it has
// none.
func (q *completionQueue) extra(c *CQE) *[2]uint64 {
	if q.shift != 0 || q.mixed && c.Flags&CQE32Bytes != 0 {
		return (*[2]uint64)(unsafe.Add(unsafe.Pointer(c), sizeofCQE))
	}
	return nil
}

// notVisiting panics in race builds if a loop over CQEs runs.
func (q *completionQueue) notVisiting(method string) {
	if raceBuild && q.visiting {
		panic("ring: " + method + " in the body of a loop over CQEs")
	}
}

// checkPosted has peek check the memory of all requests whose completions are
// in the queue.
func (q *completionQueue) checkPosted() {
	next := q.next
	defer func() { q.next = next }()
	for end := q.tail.loadAcquire(); ; {
		c, n := q.peek(end)
		if c == nil {
			return
		}
		q.next += n
	}
}

// visit begins a loop that frees no place before unvisit. It returns the head,
// for unvisit to put back, or an empty one for a loop within a loop, which is
// misuse and leaves the freeing to the outer loop.
func (q *completionQueue) visit() (head sharedIndex) {
	if q.visiting {
		return sharedIndex{}
	}
	head = q.head
	q.visiting, q.head = true, sharedIndex{&q.unfreed}
	return head
}

// unvisit ends the loop and frees the places that it showed.
func (q *completionQueue) unvisit(head sharedIndex) {
	if head.p == nil || !q.visiting { // a loop within a loop, or its body closed the ring
		return
	}
	q.visiting, q.head = false, head
	q.head.storeRelease(q.next)
}
