//go:build linux

package ring

import "iter"

// CQReady returns how many completions PeekCQEs would find; in a SetupCQEMixed
// ring, how many places they take. It leaves out those that overflowed and
// those whose task work has not run. Only the ring's owner may call it.
func (r *Ring) CQReady() uint32 {
	if raceBuild {
		r.cq.checkPosted() // the caller may let go of the requests' memory now
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

// Extra returns the second half of a completion from PeekCQE or CQEs, as long
// valid as that one; nil if it is not wide. Only the ring's owner may call it.
// Linux 5.19.
func (r *Ring) Extra(c *CQE) *[2]uint64 { return r.cq.extra(c) }

// TaskrunPending reports whether the kernel has task work that an enter with
// GETEVENTS would run. It needs SetupTaskrunFlag. Only the ring's owner may call
// it. Linux 5.19.
func (r *Ring) TaskrunPending() bool { return r.sq.flags.has(sqTaskrun) }

// CQOverflowed reports whether completions wait in the kernel because the
// completion queue was full. SubmitAndGet moves them in once there is room. Only
// the ring's owner may call it. Linux 5.8.
func (r *Ring) CQOverflowed() bool { return r.sq.flags.has(sqCQOverflow) }

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

// CQOverflowCount returns how many completions the kernel has lost since
// setup. With FeatNodrop that takes memory exhaustion. Only the ring's owner may
// call it.
func (r *Ring) CQOverflowCount() uint32 { return r.cq.overflow.loadAcquire() }
