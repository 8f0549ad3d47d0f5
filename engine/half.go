//go:build linux

package engine

import (
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// half is one direction of a socket: the reading or the writing half of a
// Conn, or the accepting one of a Listener. One caller at a time, its owner,
// holds the lock that goes with it (rmu, wmu or amu). What it waits for, mu
// guards, which is the host's.
type half struct {
	host host
	mu   *sync.Mutex

	limit atomic.Int64  // deadline in engine time; 0 none. Written under mu
	timer timer         // has the limit looked at; made by the first wait with one
	due   int64         // when timer fires, in engine time; 0: it does not
	ch    chan struct{} // one token a wait, but for waitPoll; made by the first

	write   bool
	waiting bool
	state   waitState
	kicked  bool // the netpoller was told to end the wait, and not yet to go on

	// The owner's. While the owner waits, wake writes err, and holders of mu read raw.
	raw    bool                  // others' code asks the socket, and has its errors
	failed bool                  // err is why attempt gave up
	parked bool                  // attempt left the half waiting
	woken  int64                 // when wake ended the wait, if that is sampled; else 0
	p      []byte                // of the call under way
	n      int                   // its result: bytes
	err    error                 // its result; of a wait, nil means look again
	step   func(fd uintptr) bool // what attempt made, once
	other  func(fd uintptr) bool // what to do in place of host.try
}

// host is what a half belongs to.
type host interface {
	engine() *Engine
	// cannot is why an operation cannot go on. Called with mu held.
	cannot(h *half) error
	// try is a system call of the owner's, with its result in h. It reports
	// false if the socket was not ready.
	try(h *half, fd int) bool
	// poller is what the host opened before a half waits in it.
	poller() *poller
}

type waitState uint8

const (
	waitRing  waitState = iota // for a completion of the ring
	waitDrain                  // for the batched sends' end
	waitRelay                  // for the end of a relay
	waitPoll                   // for the socket, in Go's netpoller
)

func (h *half) init(owner host, mu *sync.Mutex, write bool) {
	h.host, h.mu, h.write = owner, mu, write
}

// park prepares a wait and has its deadline looked at. Called with mu held.
func (h *half) park(state waitState) {
	h.waiting, h.state = true, state
	if state != waitPoll { // whose results are the owner's
		if h.ch == nil {
			h.ch = newToken()
		}
		h.err = nil
	}
	if d := h.limit.Load(); d != 0 {
		h.armTimer(d)
	}
}

// sleep waits for what park prepared, after the caller has let go of mu.
func (h *half) sleep() {
	<-h.ch
	h.runs()
}

// runs counts that the caller runs again.
func (h *half) runs() {
	e := h.host.engine()
	if h.woken != 0 {
		e.woken.add(h.woken, e.k.Now())
		h.woken = 0
	}
	e.hasRun()
}

// wake ends the wait, if there is one, with err: nil to look again, which
// nobody in the netpoller needs. Called with mu held.
func (h *half) wake(err error) bool {
	if !h.waiting {
		return false
	}
	h.waiting, h.err = false, err
	if h.state == waitPoll {
		h.kicked = true
		h.host.poller().Expire(h.write)
		return true
	}
	if e := h.host.engine(); e.readied.Add(1)%wakesSampled == 0 {
		h.woken = e.k.Now()
	}
	h.ch <- struct{}{}
	return true
}

// expired reports whether the deadline has passed.
func (h *half) expired() bool {
	d := h.limit.Load()
	return d != 0 && (d == 1 || d <= h.host.engine().k.Now())
}

// setDeadline applies to a wait under way, too. Called with mu held.
func (h *half) setDeadline(d int64) {
	h.limit.Store(d)
	switch {
	case !h.waiting || d == 0:
	case h.expired():
		h.wake(os.ErrDeadlineExceeded)
	default:
		h.armTimer(d)
	}
}

// end is the end of the last wait, with err, and of the timer. Called with mu held.
func (h *half) end(err error) {
	h.wake(err)
	if h.timer != nil {
		h.timer.Stop()
	}
}

// armTimer has the deadline looked at when it is due, or earlier. Called with mu
// held.
//
// A timer is left as it is when the wait ends, or the deadline moves on, and looks
// again when it fires: a conn whose deadline moves with every request costs one
// timer per timeout, not per request.
func (h *half) armTimer(d int64) {
	if h.due != 0 && h.due <= d {
		return
	}
	h.due = d
	k := h.host.engine().k
	h.timer = setTimer(k, h.timer, time.Duration(d-k.Now()), h.timeout)
}

// timeout is the timer's end. The deadline may have moved since it was set.
func (h *half) timeout() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.due = 0
	if h.waiting {
		h.setDeadline(h.limit.Load())
	}
}

// polled calls other with the descriptor, or the host's try for a nil one,
// until it returns true, waiting in Go's netpoller for the socket to change in
// between. The error is why it ended before. For the owner.
func (h *half) polled(other func(fd uintptr) bool) error {
	if h.step == nil {
		h.step = h.attempt()
	}
	h.other, h.failed = other, false
	p := h.host.poller()
	var err error
	if h.write {
		err = p.Write(h.step)
	} else {
		err = p.Read(h.step)
	}
	h.other = nil
	if h.parked {
		h.unpark()
	}
	if h.failed {
		return h.err
	}
	return bare(err)
}

// attempt makes what the netpoller calls: at first, and whenever the socket
// has changed.
func (h *half) attempt() func(fd uintptr) bool {
	return func(fd uintptr) bool {
		if h.parked && h.unpark() {
			return true
		}
		if h.other != nil {
			return h.other(fd) || !h.parkPoll()
		}
		return h.host.try(h, int(fd)) || !h.parkPoll()
	}
}

// parkPoll prepares a wait in the netpoller, unless there is cause not to,
// which is in err then.
func (h *half) parkPoll() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.host.cannot(h); err != nil {
		h.failed, h.err = true, err
		return false
	}
	h.park(waitPoll)
	h.parked = true
	return true
}

// unpark ends the wait of the owner, and reports whether somebody else had
// ended it, err saying why.
func (h *half) unpark() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.parked, h.waiting = false, false
	if !h.kicked {
		return false
	}
	h.kicked, h.failed = false, true
	h.host.poller().Resume(h.write)
	return true
}
