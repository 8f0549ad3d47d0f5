//go:build linux

package engine

import (
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// simListener is a listener and its users.
type simListener struct {
	r  *simRun
	l  *Listener
	s  *simSock
	dl simDeadlines

	mu                 sync.Mutex
	closeBegan, closed simMoment
	closes             int
	last               int // socket accepted last
}

// knock has peers connect.
func (u *simListener) knock(rnd *rand.Rand) {
	for range u.r.plan.incoming {
		u.r.pause(rnd)
		k := u.r.k
		k.mu.Lock()
		if !u.s.closed {
			s := k.socket(u.r.plan.tcp)
			u.s.backlog = append(u.s.backlog, s)
			k.add("socket %d knocks", s.id)
			k.edge(u.s, true, false)
		}
		k.mu.Unlock()
		k.ring()
	}
}

func (u *simListener) accept(rnd *rand.Rand) {
	for left := 3 + rnd.IntN(10); left > 0; left-- {
		u.r.pause(rnd)
		if rnd.IntN(4) == 0 {
			u.setDeadline(rnd)
		}
		op := u.r.begin("accept", nil, u.why)
		c, addr, err := u.l.Accept()
		u.r.end(op, 0, err)
		u.judge(op, err)
		if err != nil {
			continue
		}
		k := u.r.k
		k.mu.Lock()
		s := k.files[c.fd]
		k.mu.Unlock()
		if s == nil {
			if !u.r.engineClosing() { // whose Close may have ended the conn since
				u.r.fail("Accept returned fd %d after socket %d, which is not open", c.fd, u.last)
			}
			continue
		}
		k.mu.Lock()
		switch {
		case s.returned:
			u.r.fail("Accept returned fd %d after socket %d", c.fd, u.last)
		case addr.(*net.TCPAddr).Port != s.id && !s.rst:
			u.r.fail("Accept returned socket %d with address %v", s.id, addr)
		}
		s.returned = true
		u.last = s.id
		k.mu.Unlock()
		u.r.use(rnd, c, s)
	}
}

// judge checks the error of an Accept.
func (u *simListener) judge(op *simOp, err error) {
	may, must := u.dl.during(op)
	u.mu.Lock()
	defer u.mu.Unlock()
	closing := u.closeBegan.is() || u.r.engineClosing()
	switch {
	case err == net.ErrClosed || err == ErrClosed:
		if !closing {
			u.r.fail("Accept: %v", err)
		}
		if op.from.before(u.closeBegan) {
			u.r.hit("parked Accept met Close")
		}
	case u.closed.before(op.from):
		u.r.fail("Accept after Close: %v", err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		if u.r.hit("accept deadline"); !may {
			u.r.fail("Accept: no deadline had passed")
		}
	case must:
		u.r.fail("Accept after its deadline: %v", err)
	case err == nil, errors.Is(err, unix.EMFILE):
	default:
		u.r.fail("Accept: %v", err)
	}
}

func (u *simListener) setDeadline(rnd *rand.Rand) {
	t := u.r.newDeadline(rnd, false)
	from := u.r.moment()
	i := u.dl.begin(from, t)
	err := u.l.SetDeadline(t)
	u.dl.end(i, u.r.moment(), err)
	if err != nil && err != net.ErrClosed {
		u.r.fail("listener's SetDeadline: %v", err)
	}
}

// why is why an accepter should not be asleep while everything rests.
func (u *simListener) why() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.closeBegan.is():
		return "the listener is closed"
	case u.dl.passed(u.r):
		return "its deadline has passed"
	case len(u.s.backlog) > 0:
		return "somebody knocks"
	}
	return ""
}

func (u *simListener) meddle(rnd *rand.Rand) {
	for range rnd.IntN(6) {
		u.r.pause(rnd)
		u.r.pause(rnd)
		if rnd.IntN(6) == 0 {
			u.close()
		} else {
			u.setDeadline(rnd)
		}
	}
}

func (u *simListener) close() {
	u.mu.Lock()
	now := u.r.moment()
	if !u.closeBegan.is() {
		u.closeBegan = now
	}
	u.mu.Unlock()
	op := u.r.begin("listener close", nil, nil)
	err := u.l.Close()
	u.r.end(op, 0, err)
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.closed.is() {
		u.closed = op.to
	}
	if err == nil {
		u.closes++
	}
	if u.closes > 1 || err != nil && err != net.ErrClosed {
		u.r.fail("Close of the listener: %v, for the %d. time", err, u.closes)
	}
}
