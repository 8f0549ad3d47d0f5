//go:build linux

package ring

import (
	"time"
	"unsafe"
)

// Wait moves up to len(dst) completions to dst, oldest first, and returns how
// many. If there are none it sleeps until one comes, and no longer than
// timeout; a negative timeout means without end, 0 does not sleep. It returns
// 0 and no error if Wake called, ETIME if the time passed, ErrClosed if the
// ring was closed, EBADR if the kernel lost a completion.
func (s *Shared) Wait(dst []Completion, timeout time.Duration) (int, error) {
	if len(dst) == 0 {
		return 0, nil
	}
	var deadline time.Time
	if timeout > 0 {
		deadline = time.Now().Add(timeout)
	}
	s.cmu.Lock()
	s.waiters++
	s.cmu.Unlock()
	defer s.leave()
	for {
		n, woken, err := s.reap(dst)
		if n > 0 || woken || err != nil {
			return n, err
		}
		if err := s.resubmit(); err != nil {
			return 0, err
		}
		left := timeout
		if timeout > 0 {
			left = time.Until(deadline)
		}
		if left <= 0 && timeout >= 0 {
			return s.expire(dst)
		}
		if s.unsent.Load() && (left < 0 || left > retryUnsent) {
			left = retryUnsent
		}
		switch err := s.sleep(left); err {
		case nil, errTimeout, errInterrupted, errBusy, errAgain: // reap first, then go on
		default:
			return 0, err
		}
	}
}

// retryUnsent is how long a wait leaves entries alone that the kernel did not
// take.
const retryUnsent = 10 * time.Millisecond

// resubmit passes on entries that an Add left, unless an Add does so just now.
func (s *Shared) resubmit() error {
	if !s.unsent.Load() || !s.smu.TryLock() { // Close holds smu until all waits have ended
		return nil
	}
	defer s.smu.Unlock()
	if s.isClosed() {
		return ErrClosed
	}
	return s.submit()
}

// expire is the end of a wait whose time is over: completions that wait for
// their task work, or that came just now, still count.
func (s *Shared) expire(dst []Completion) (int, error) {
	s.enters.Add(1)
	switch _, err := s.enter(0, 0, enterGetevents, nil, 0); err {
	case nil, errInterrupted, errBusy, errAgain:
	default:
		return 0, err
	}
	n, woken, err := s.reap(dst)
	if n == 0 && !woken && err == nil {
		err = errTimeout
	}
	return n, err
}

// leave says that a wait has ended. Close waits for all of them.
func (s *Shared) leave() {
	s.cmu.Lock()
	defer s.cmu.Unlock()
	if s.waiters--; s.waiters == 0 {
		s.left.Broadcast()
	}
}

// sleep waits for a completion. What another goroutine reaps in the meantime
// does not count: the kernel compares with the queue's head as it is when the
// wait begins.
func (s *Shared) sleep(timeout time.Duration) error {
	flags := uint32(enterGetevents) | s.r.waitFlags
	if s.r.flags&SetupSQPoll != 0 && s.r.sq.flags.has(sqNeedWakeup) {
		flags |= enterSQWakeup
	}
	s.enters.Add(1)
	if timeout < 0 {
		_, err := s.enter(0, 1, flags, nil, 0)
		return err
	}
	a := s.args.Get().(*waitArg)
	defer s.args.Put(a)
	a.ts = NewTimespec(timeout)
	a.arg = geteventsArg{ts: uint64(uintptr(unsafe.Pointer(&a.ts)))}
	_, err := s.enter(0, 1, flags|enterExtArg, unsafe.Pointer(&a.arg), sizeofGeteventsArg)
	return err
}

// reap moves completions to dst, also those that overflowed. woken says that a
// Wake's was among them.
func (s *Shared) reap(dst []Completion) (n int, woken bool, err error) {
	s.cmu.Lock()
	defer s.cmu.Unlock()
	for {
		if s.closed {
			return 0, false, ErrClosed // and the nop of Close stays for the others
		}
		n, woken = s.take(dst)
		if n > 0 || woken || !s.r.CQOverflowed() {
			break
		}
		s.enters.Add(1)
		switch _, err := s.r.enterNow(0, enterGetevents); err {
		case nil, errBusy, errAgain, errInterrupted:
		default:
			return 0, false, err
		}
	}
	s.completions.Add(uint64(n))
	return n, woken, nil
}

// take is reap for what is in the queue, up to the first Wake. Under cmu.
func (s *Shared) take(dst []Completion) (n int, woken bool) {
	q := &s.r.cq
	start, end := q.next, q.tail.loadAcquire()
	for n < len(dst) {
		c, places := q.peek(end)
		if c == nil {
			break
		}
		done := Completion{CQE: *c}
		if extra := q.extra(c); extra != nil {
			done.Extra = *extra
		}
		q.next += places
		if s.finish(&done) {
			dst[n] = done
			n++
		} else {
			woken = true
			break // a Wake ends one Wait only
		}
	}
	if q.next != start {
		q.head.storeRelease(q.next)
	}
	return n, woken
}

// finish gives a completion what its slot kept, and frees the slot after the
// last one. It returns false for completions that nobody is to see. Under cmu.
func (s *Shared) finish(c *Completion) bool {
	id := c.UserData
	sl := s.find(id)
	if sl == nil {
		return true
	}
	seen := sl.kind == slotRequest
	c.UserData, c.ID, c.Keep = sl.ud, id, sl.keep
	if poll := s.find(sl.renames); poll != nil && c.Res >= 0 {
		poll.ud = sl.newUD
	}
	if s.closed {
		sl.makes.discard(&c.CQE, sl.memory)
	}
	if !c.More() {
		*sl = slot{gen: sl.gen}
		s.free = append(s.free, id.Slot())
		s.inflight--
	}
	return seen
}
