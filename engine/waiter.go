//go:build linux

package engine

// waiter is a parked caller. All fields are guarded by the mu of what it
// waits for, but that ch is received from without it.
type waiter struct {
	ch      chan struct{} // one token per wait; made by the first
	waiting bool
	state   waitState
	buf     []byte // waitRead: where received bytes go
	n       int    // result: bytes
	err     error  // result; nil with n == 0 means look again
	timer   timer
}

type waitState uint8

const (
	waitRead waitState = iota // for bytes or an error
	waitIdle                  // for the armed request's end
	waitPoll                  // for readiness
	waitSend                  // for the send of buf; only its completion wakes
)

// park prepares a wait. The caller then unlocks and receives from ch.
func (w *waiter) park(state waitState, buf []byte) {
	if w.ch == nil {
		w.ch = newToken()
	}
	w.waiting, w.state, w.buf, w.n, w.err = true, state, buf, 0, nil
}

// wake ends the wait, if there is one, with its result.
func (w *waiter) wake(n int, err error) bool {
	if !w.waiting {
		return false
	}
	w.waiting, w.buf, w.n, w.err = false, nil, n, err
	w.ch <- struct{}{}
	return true
}
