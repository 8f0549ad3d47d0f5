//go:build linux

package ring

import "unsafe"

// NextSQE returns the next free submission entry, or nil if the queue is
// full: submit, then try again. The entry holds stale data, so the caller
// fills it with a Prep before the next Submit; it then belongs to the kernel.
// In race builds the entry is empty, and Submit panics if it has stayed so. Only
// the ring's owner may call it.
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
// consumed by the kernel, which on a SetupSQPoll ring its thread does. What a
// consumed entry had "read at submission" is the caller's again. Only the ring's
// owner may call it.
func (r *Ring) SQPending() uint32 { return r.sq.pending() }

// SQSpace returns how many entries NextSQE has left. Only the ring's owner may
// call it.
func (r *Ring) SQSpace() uint32 { return r.sq.entries - r.sq.pending() }

// SQDropped returns how many entries the kernel has dropped since setup. This
// package never causes that. Only the ring's owner may call it.
func (r *Ring) SQDropped() uint32 { return r.sq.dropped.loadAcquire() }

// Submit passes every pending entry to the kernel and returns how many it
// consumed, which may be fewer: a request that the kernel rejects while reading
// it ends the batch unless SetupSubmitAll is set. The entries that are left go
// with the next call. With nothing pending there is no system call.
//
// On a SetupSQPoll ring the kernel's thread consumes entries some time after
// the call. The call returns how many that thread had not consumed yet, those of
// earlier calls among them. What is "read at submission" must stay referenced
// and unchanged until SQPending is 0, or does not count the entry any more. All
// of this holds for the whole Submit family.
//
// It does not wait for completions and holds the P while it runs; requests
// that work inline, such as buffered file I/O, hold it for as long as they
// take. Only the ring's owner may call it. EAGAIN and EBUSY mean that the
// kernel is short of memory or completion space: reap, then submit again.
func (r *Ring) Submit() (int, error) {
	r.owner.use()
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
	return r.enterNow(n, flags)
}

// SubmitAndGet is Submit and also runs deferred task work and moves completions
// that overflowed into the queue. It always makes one system call. On a
// SetupIOPoll ring it polls for completions. It does not sleep and holds the P
// while it runs. Only the ring's owner may call it.
func (r *Ring) SubmitAndGet() (int, error) {
	r.owner.use()
	n := r.sq.publish()
	return r.enterNow(n, r.getFlags())
}

// SQNeedWakeup reports whether the thread of a SetupSQPoll ring sleeps. The
// Submit family wakes it. Only the ring's owner may call it.
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
	return err
}
