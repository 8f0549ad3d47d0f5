//go:build linux

package ring

import (
	"errors"
	"sync"
	"sync/atomic"
	"unsafe"
)

// ErrClosed is what the methods of a closed Shared return.
var ErrClosed = errors.New("ring: closed")

// Shared is a ring for many goroutines: any may add requests, any may wait for
// completions, and each completion goes to one of them. It costs two locks and
// a system call for each Add; a Ring per thread is faster.
//
// A request stays with the OS thread that submitted it: where that thread ends
// before it, which only happens to goroutines that end while locked to one, it
// is cancelled, see the package comment.
//
// A message to the ring, as of PrepMsgRing, must not have data of Kind 0xfe,
// which is that of IDs.
type Shared struct {
	r     *Ring // the locks below guard its queues, so its owner check is not called
	enter func(submit, wait, flags uint32, arg unsafe.Pointer, argBytes uintptr) (int, error)
	args  sync.Pool // of *waitArg

	unsent                   atomic.Bool // the kernel has not taken all entries
	enters, ops, completions atomic.Uint64

	smu sync.Mutex // the submission queue. Lock order: smu, then cmu.

	cmu      sync.Mutex // the completion queue and all that follows
	slots    []slot
	free     []uint32 // of slots
	inflight int      // slots in use
	waiters  int
	left     sync.Cond // waiters became 0
	closed   bool
}

// slot is a request in flight.
type slot struct {
	ud   UserData // as the caller's Prep had it
	keep any
	gen  uint32
	kind slotKind

	makes   product
	memory  unsafe.Pointer // for makesPipe and makesRights: what the entry points to
	renames UserData       // the ID of the poll that gets newUD if this request, an update of it, succeeds
	newUD   UserData
}

type slotKind uint8

const (
	slotFree slotKind = iota
	slotRequest
	slotWake // of a Wake or a cancellation, whose completion nobody sees
)

// sharedKind marks user data that stands for a slot.
const sharedKind Kind = 0xfe

// waitArg is read by the kernel during a wait.
type waitArg struct {
	arg geteventsArg
	ts  Timespec
}

// Request is what AddAll takes.
type Request struct {
	// Prep fills an entry. It must not call methods of the Shared. The entry
	// must not have SQECQESkipSuccess: no completion would say that it ended.
	Prep func(*SQE)

	// Keep is referenced until the request's last completion, which returns
	// it: the memory that the entry names, such as a slice.
	Keep any

	// ID is set by AddAll, for cancellations and the like: it takes the place
	// of the entry's user data in the kernel.
	ID UserData
}

// Completion is a completion of a Shared.
type Completion struct {
	CQE // its UserData is what Prep gave the entry

	Extra [2]uint64 // of a wide completion
	ID    UserData  // the request's; 0 for completions of no request, such as messages
	Keep  any       // the request's
}

// SharedStats counts what a Shared has done.
type SharedStats struct {
	Enters      uint64 // system calls
	Ops         uint64 // requests added
	Completions uint64 // completions returned by Wait
	InFlight    int    // requests whose last completion nobody has had
}

// notShared are flags that tie a ring to a thread, or that need what a Shared does
// not do, such as to poll for completions.
const notShared = SetupSingleIssuer | SetupDeferTaskrun | SetupCoopTaskrun |
	SetupIOPoll | SetupRDisabled | SetupRegisteredFDOnly

// NewShared sets up a ring for many goroutines. SetupSubmitAll is implied;
// flags that tie a ring to a thread are refused, and SetupCoopTaskrun, with
// which completions wait for a busy thread. Errors are New's. Linux 5.18.
func NewShared(p *Params) (*Shared, error) {
	if bad := p.Flags & notShared; bad != 0 {
		return nil, refuse(opSetup, "a Shared cannot have "+bad.String())
	}
	q := *p
	q.Flags |= SetupSubmitAll
	r, err := New(&q)
	if err != nil {
		return nil, err
	}
	s := &Shared{r: r, enter: r.enter}
	s.left.L = &s.cmu
	s.args.New = func() any { return new(waitArg) }
	return s, nil
}

// Ring returns the ring beneath, for its FD, which polls as readable while
// there are completions, its Info and its Register methods, of which only one
// may run at a time. Its other methods must not be used.
func (s *Shared) Ring() *Ring { return s.r }

// Stats returns counters. Safe for concurrent use, as all methods are.
func (s *Shared) Stats() SharedStats {
	s.cmu.Lock()
	defer s.cmu.Unlock()
	return SharedStats{s.enters.Load(), s.ops.Load(), s.completions.Load(), s.inflight}
}

// Add submits one request and returns its ID; see Request. Its completion may
// be seen before Add returns.
//
// EBUSY and EAGAIN mean that the submission queue is full and the kernel takes
// nothing more now: Wait, then add the request again. If there is room in the
// queue, but the kernel does not take the request yet, Add succeeds, and the next
// Add or Wait passes it on. ErrClosed means that the ring is closed.
func (s *Shared) Add(prep func(*SQE), keep any) (UserData, error) {
	reqs := [1]Request{{Prep: prep, Keep: keep}}
	err := s.add(reqs[:], slotRequest)
	return reqs[0].ID, err
}

// AddAll submits reqs, in this order and with nothing between them, so that
// they can be linked, and sets their IDs. All are added or none is. EINVAL
// means that there are more than the queue holds. Other errors are Add's.
func (s *Shared) AddAll(reqs []Request) error { return s.add(reqs, slotRequest) }

// Wake makes one Wait return, now or the next one, if need be without
// completions: it submits a nop that nobody sees. Errors are Add's.
func (s *Shared) Wake() error {
	return s.add([]Request{{Prep: func(e *SQE) { e.PrepNop(0) }}}, slotWake)
}

func (s *Shared) add(reqs []Request, kind slotKind) error {
	s.smu.Lock()
	defer s.smu.Unlock()
	if s.isClosed() {
		return ErrClosed
	}
	if uint64(len(reqs)) > uint64(s.r.sq.entries) {
		return refuse(opEnter, "more requests than entries")
	}
	if err := s.makeRoom(uint32(len(reqs))); err != nil {
		return err
	}
	if err := s.fill(reqs, kind); err != nil {
		return err
	}
	if kind == slotRequest {
		s.ops.Add(uint64(len(reqs)))
	}
	return s.submit()
}

func (s *Shared) isClosed() bool {
	s.cmu.Lock()
	defer s.cmu.Unlock()
	return s.closed
}

// makeRoom empties the submission queue until it has n free entries. Under
// smu.
func (s *Shared) makeRoom(n uint32) error {
	q := &s.r.sq
	for q.entries-q.pending() < n {
		before := q.pending()
		var err error
		if s.r.flags&SetupSQPoll == 0 {
			err = s.submitNow()
		} else {
			flags := uint32(enterSQWait)
			if q.publish(); q.flags.has(sqNeedWakeup) {
				flags |= enterSQWakeup
			}
			s.enters.Add(1)
			_, err = s.enter(0, 0, flags, nil, 0)
		}
		if err == errInterrupted || err == errAgain && q.pending() < before {
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// fill preps entries for reqs and gives each a slot, or nothing at all. Under
// smu.
func (s *Shared) fill(reqs []Request, kind slotKind) (err error) {
	q := &s.r.sq
	start, filled := q.next, false
	defer func() {
		if !filled { // an error, or a Prep panicked
			q.next = start
		}
	}()
	for i := range reqs {
		e := q.take()
		if reqs[i].Prep(e); e.Flags&SQECQESkipSuccess != 0 {
			return refuse(opEnter, "a Shared needs the completion that CQE_SKIP_SUCCESS leaves out")
		}
	}
	s.cmu.Lock()
	defer s.cmu.Unlock()
	for i := range reqs {
		e := q.at(start + uint32(i))
		sl, id := s.newSlot(e.UserData, reqs[i].Keep, kind)
		sl.rename(e)
		sl.makes, sl.memory = productOf(e)
		reqs[i].ID, e.UserData = id, id
	}
	filled = true
	return nil
}

// newSlot fills a slot and returns it, which is valid until the next one, and
// the user data that stands for it. Under cmu.
func (s *Shared) newSlot(ud UserData, keep any, kind slotKind) (*slot, UserData) {
	s.inflight++
	var i uint32
	if n := len(s.free); n > 0 {
		i = s.free[n-1]
		s.free = s.free[:n-1]
	} else {
		i = uint32(len(s.slots))
		s.slots = append(s.slots, slot{})
	}
	sl := &s.slots[i]
	sl.gen++
	sl.ud, sl.keep, sl.kind = ud, keep, kind
	return sl, NewUserData(sharedKind, sl.gen, i)
}

// find returns the slot in use that id stands for, nil if there is none. Under
// cmu.
func (s *Shared) find(id UserData) *slot {
	i := id.Slot()
	if id.Kind() != sharedKind || uint64(i) >= uint64(len(s.slots)) {
		return nil
	}
	sl := &s.slots[i]
	if sl.kind == slotFree || NewUserData(sharedKind, sl.gen, i) != id {
		return nil // it only looks like one
	}
	return sl
}

// submit passes entries on; what the kernel does not take now, the next call
// passes on. Under smu.
func (s *Shared) submit() error {
	switch err := s.submitNow(); err {
	case errAgain, errBusy, errInterrupted:
		return nil
	default:
		return err
	}
}

// submitNow is submit with the kernel's answer. Under smu.
func (s *Shared) submitNow() error {
	q := &s.r.sq
	n := q.publish()
	if n == 0 {
		return nil
	}
	polled := s.r.flags&SetupSQPoll != 0
	flags := uint32(0)
	if polled {
		if !q.flags.has(sqNeedWakeup) {
			return nil
		}
		flags = enterSQWakeup
	}
	s.enters.Add(1)
	_, err := s.enter(n, 0, flags, nil, 0)
	s.unsent.Store(!polled && q.pending() > 0)
	return err
}

// rename takes over what an entry would change of a poll's user data. In the
// kernel that is the poll's ID, which leads to its slot, so there it stays. When
// the update has succeeded, finish changes the user data in the poll's slot, which
// the poll's completions show.
func (sl *slot) rename(e *SQE) {
	if e.Opcode != OpPollRemove || e.Len&pollUpdateUserData == 0 {
		return
	}
	sl.renames, sl.newUD = UserData(e.Addr), UserData(e.Off)
	e.Off = e.Addr // the same ID; without the flag the entry could be a removal
}
