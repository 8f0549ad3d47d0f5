//go:build linux

package engine

import (
	"os"
	"sync"
	"sync/atomic"
)

// half is one direction of a socket: the reading or the writing half of a
// Conn, or the accepting one of a Listener. One caller at a time, its owner,
// holds the lock that goes with it (rmu, wmu or amu). What it waits for, mu
// guards, which is the host's.
type half struct {
	e     *Engine
	host  host
	mu    *sync.Mutex
	write bool

	limit atomic.Int64 // deadline in engine time; 0 none. Written under mu

	waiting bool
	state   waitState
	buf     []byte // waitRead: where received bytes go
	n       int    // result: bytes
	err     error  // result; nil with n == 0 means look again
	kicked  bool   // the netpoller was told to end the wait, and not yet to go on
	timer   timer
	ch      chan struct{} // one token a wait, but for waitPoll; made by the first

	// The owner's.
	step   func(fd uintptr) bool // half.attempt, made once
	try    func(fd uintptr) bool
	failed error // why attempt gave up
	parked bool  // attempt left the half waiting

	io func(fd uintptr) bool // the try of Read or Write, made once, with its
	p  []byte                // slice
	k  int                   // and result
	ke error
}

// host is what a half belongs to.
type host interface {
	// cannot is why an operation cannot go on. Called with mu held.
	cannot(h *half) error
	// poller is what the host opened before a half waits in it.
	poller() poller
}

type waitState uint8

const (
	waitRead  waitState = iota // for bytes, a conn or an error
	waitIdle                   // for the armed request's end
	waitDrain                  // for the batched sends' end
	waitPoll                   // for the socket, in Go's netpoller
)

func (h *half) init(e *Engine, owner host, mu *sync.Mutex, write bool) {
	h.e, h.host, h.mu, h.write = e, owner, mu, write
}

// park prepares a wait and has its deadline looked at. Called with mu held.
func (h *half) park(state waitState, buf []byte) {
	if h.ch == nil && state != waitPoll {
		h.ch = newToken()
	}
	h.waiting, h.state, h.buf, h.n, h.err = true, state, buf, 0, nil
	if d := h.limit.Load(); d != 0 && state != waitIdle {
		h.armTimer(d)
	}
}

// sleep waits for what park prepared, after the caller has let go of mu.
func (h *half) sleep() {
	<-h.ch
	h.e.hasRun()
}

// wake ends the wait, if there is one, with its result. Called with mu held.
func (h *half) wake(n int, err error) bool {
	if !h.waiting {
		return false
	}
	h.waiting, h.buf, h.n, h.err = false, nil, n, err
	if h.state == waitPoll {
		h.kicked = true
		h.host.poller().Expire(h.write)
		return true
	}
	h.e.readied.Add(1)
	h.ch <- struct{}{}
	return true
}

// interrupt ends a wait with err, unless only the ring can. Called with mu
// held.
func (h *half) interrupt(err error) {
	if h.state != waitIdle {
		h.wake(0, err)
	}
}

// expired reports whether the deadline has passed.
func (h *half) expired() bool {
	d := h.limit.Load()
	return d != 0 && (d == 1 || d <= h.e.k.Now())
}

// setDeadline applies to a wait under way, too. Called with mu held.
func (h *half) setDeadline(d int64) {
	h.limit.Store(d)
	switch {
	case !h.waiting || d == 0:
	case h.expired():
		h.interrupt(os.ErrDeadlineExceeded)
	default:
		h.armTimer(d)
	}
}

// armTimer has the deadline looked at when it is due. Called with mu held.
func (h *half) armTimer(d int64) {
	if h.timer.fire == nil {
		h.timer.fire = h.timeout
	}
	h.e.arm(&h.timer, d)
}

// timeout is the timer's end. The deadline may have moved since it was set.
func (h *half) timeout(int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.waiting {
		h.setDeadline(h.limit.Load())
	}
}

// polled calls try with the descriptor until it returns true, waiting in Go's
// netpoller for the socket to change in between. The error is why it ended
// before. For the owner.
func (h *half) polled(p poller, try func(fd uintptr) bool) error {
	if h.step == nil {
		h.step = h.attempt
	}
	h.try, h.failed = try, nil
	var err error
	if h.write {
		err = p.Write(h.step)
	} else {
		err = p.Read(h.step)
	}
	h.try = nil
	if h.parked {
		h.unpark()
	}
	if h.failed != nil {
		return h.failed
	}
	return err
}

// attempt is what the netpoller calls: at first, and whenever the socket has
// changed.
func (h *half) attempt(fd uintptr) bool {
	if h.parked && h.unpark() || h.try(fd) {
		return true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.failed = h.host.cannot(h); h.failed != nil {
		return true
	}
	h.park(waitPoll, nil)
	h.parked = true
	return false
}

// unpark ends the wait of the owner, and reports whether somebody else had
// ended it, failed saying why.
func (h *half) unpark() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.parked, h.waiting = false, false
	if !h.kicked {
		return false
	}
	h.kicked, h.failed = false, h.err
	h.host.poller().Resume(h.write)
	return true
}
