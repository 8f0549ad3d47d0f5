//go:build linux

package ring

import (
	"iter"
	"sync/atomic"
	"unsafe"
)

// completionQueue is the consumer's side of the completion ring. Entry i lives
// at (i&mask)<<shift. In a mixed queue some completions take two entries.
type completionQueue struct {
	head     sharedIndex // what we consumed
	tail     sharedIndex // the kernel produces
	overflow sharedIndex // completions lost for ever; a counter
	flags    sharedFlags // nil before Linux 5.8

	next  uint32 // what we handed out: *head, which only we store, or ahead of it in CQEs
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

// peek returns the next completion and how many entries it takes, passing over
// the filling of a mixed queue. It returns nil if end comes first, or came
// already: the body of a loop that holds end may have gone past it.
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

// drainWide gives up to limit completions to f, one by one.
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

// CQReady returns how many completions PeekCQEs would find; in a SetupCQEMixed
// ring, how many places they take. It leaves out those that overflowed and
// those whose task work has not run. Only the ring's owner may call it.
func (r *Ring) CQReady() uint32 {
	if raceBuild {
		r.cq.checkPosted() // the caller may let go of its memory now
	}
	return r.cq.ready()
}

// PeekCQEs moves up to len(dst) completions from the queue to dst, oldest
// first, and returns how many. It makes no system call: a SetupDeferTaskrun
// ring has new completions only after SubmitAndGet or SubmitAndWait. The extra
// halves of wide completions are lost. Only the ring's owner may call it.
func (r *Ring) PeekCQEs(dst []CQE) int {
	r.owner.use()
	r.cq.notVisiting("PeekCQEs")
	return r.cq.drain(dst)
}

// PeekCQE32s is PeekCQEs with the extra halves, zero where there is none. Only
// the ring's owner may call it.
func (r *Ring) PeekCQE32s(dst []CQE32) int {
	r.owner.use()
	r.cq.notVisiting("PeekCQE32s")
	return r.cq.drainWide(len(dst), func(i int, c *CQE) {
		dst[i] = CQE32{CQE: *c}
		if extra := r.cq.extra(c); extra != nil {
			dst[i].Extra = *extra
		}
	})
}

// PeekCQE returns the oldest completion and leaves it in the queue, or nil if
// there is none. It is valid until SeenCQEs. It makes no system call. Only the
// ring's owner may call it.
func (r *Ring) PeekCQE() *CQE {
	r.owner.use()
	c, _ := r.cq.peek(r.cq.tail.loadAcquire())
	return c
}

// SeenCQEs removes the n oldest completions from the queue, or as many as
// there are. Only the ring's owner may call it.
func (r *Ring) SeenCQEs(n int) {
	r.owner.use()
	r.cq.notVisiting("SeenCQEs")
	r.cq.drainWide(n, func(int, *CQE) {})
}

// CQEs iterates over the completions that are in the queue when the loop
// starts, oldest first, without copying them. Each is removed by being
// visited, but all stay valid until the loop ends, when their places are
// freed.
//
// The body may add entries and submit. It must not call CQEs, PeekCQEs,
// PeekCQE32s or SeenCQEs, which take completions away from the loop, nor Close,
// after which the loop ends and no completion is valid; in race builds they
// panic. Only the ring's owner may call it.
func (r *Ring) CQEs() iter.Seq[*CQE] {
	return func(yield func(*CQE) bool) {
		r.owner.use()
		r.cq.notVisiting("CQEs")
		q := &r.cq
		end := q.tail.loadAcquire()
		defer q.unvisit(q.visit())
		for !r.closed {
			c, n := q.peek(end)
			if c == nil {
				return
			}
			q.next += n
			if !yield(c) {
				return
			}
		}
	}
}

// visit begins a loop that frees no place before unvisit. It returns the head
// to give to that: none for a loop within a loop, which is misuse and leaves
// the freeing to the outer one.
func (q *completionQueue) visit() (head sharedIndex) {
	if q.visiting {
		return sharedIndex{}
	}
	head = q.head
	q.visiting, q.head = true, sharedIndex{&q.unfreed}
	return head
}

func (q *completionQueue) unvisit(head sharedIndex) {
	if head.p == nil || !q.visiting { // the body closed the ring
		return
	}
	q.visiting, q.head = false, head
	q.head.storeRelease(q.next)
}

// Extra returns the second half of a completion from PeekCQE or CQEs, as long
// valid as that one; nil if it is not wide. Linux 5.19.
func (r *Ring) Extra(c *CQE) *[2]uint64 { return r.cq.extra(c) }

// CQOverflowCount returns how many completions the kernel has lost since
// setup. With FeatNodrop that takes memory exhaustion.
func (r *Ring) CQOverflowCount() uint32 { return r.cq.overflow.loadAcquire() }

// FlushOverflow moves completions that overflowed into the queue, as far as
// it has room, with one system call if there are any. Where some had no room
// CQOverflowed still says so: reap, then call it again. Only the ring's owner
// may call it. EBUSY, of old kernels, means the same; EBADR that a completion
// was lost for want of memory. Linux 5.5.
func (r *Ring) FlushOverflow() error {
	r.owner.use()
	if !r.CQOverflowed() {
		return nil
	}
	_, err := r.enterNow(0, r.enterFlags|enterGetevents)
	return err
}

// SetEventFDEnabled turns the signals of a registered eventfd off and on
// again. It returns false before Linux 5.8, which cannot. Only the ring's
// owner may call it.
func (r *Ring) SetEventFDEnabled(on bool) bool {
	r.owner.use()
	if r.cq.flags.p == nil {
		return false
	}
	if on {
		r.cq.flags.p.And(^uint32(cqEventFDDisabled))
	} else {
		r.cq.flags.p.Or(cqEventFDDisabled)
	}
	return true
}
