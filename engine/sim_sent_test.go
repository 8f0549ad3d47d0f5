//go:build linux

package engine

import (
	"errors"
	"math/rand/v2"
	"net"

	"golang.org/x/sys/unix"
)

// What becomes of bytes that Write has accepted, and of gears.

// raiseFloor notes that a FIN from here on must come after all that was
// written before, and returns that.
func (u *simConn) raiseFloor() int {
	u.mu.Lock()
	floor := u.written
	u.mu.Unlock()
	u.r.k.mu.Lock()
	defer u.r.k.mu.Unlock()
	u.s.floor = max(u.s.floor, floor)
	return floor
}

// excused reports whether accepted bytes may be lost: the peer is told by a
// reset, or did it. Called with the kernel's mu held.
func (u *simConn) excused() bool {
	return u.s.sendErr || u.s.sendCancelled || u.s.linger0 || u.s.ringLost
}

// simStuck is a send that is, as a Write finds it.
type simStuck struct {
	flight *batch
	wrote  int
	writes uint64 // that wait behind it
}

func (u *simConn) stuck() (s simStuck) {
	u.c.mu.Lock()
	defer u.c.mu.Unlock()
	if u.c.state.waits() {
		s.flight = u.c.flight
	}
	if u.c.out != nil {
		s.writes = u.c.out.writes
	}
	u.r.k.mu.Lock()
	defer u.r.k.mu.Unlock()
	s.wrote = u.s.wrote
	return s
}

// checkStuck makes sure that nothing is accepted behind a send that was stuck
// all the while.
func (u *simConn) checkStuck(before simStuck) {
	now := u.stuck()
	if now.flight != nil && now.flight == before.flight && now.wrote == before.wrote && now.writes > before.writes {
		u.r.fail("Write of %v: accepted behind a send that is stuck", u)
	}
}

// toldReset reports whether a reset came out of Read or Write: what a RawWrite
// is told the conn does not know.
func (u *simConn) toldReset() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.told
}

// pending is how much the conn has accepted and not yet heard of, or -1 if
// that cannot be told, whether some of it is in the ring, and whether some was given up
// by a close, which then resets the conn. The kernel's mu is held when it returns.
func (u *simConn) pending() (n int, submitted, dropped bool) {
	u.c.mu.Lock()
	defer u.c.mu.Unlock()
	switch u.c.state {
	case byHand: // and its bytes are with who sends them
		n = -1
	case abandoned:
	default:
		for _, b := range []*batch{u.c.flight, u.c.out} {
			if b != nil {
				n += len(b.b)
			}
		}
	}
	u.r.k.mu.Lock()
	return n, u.c.state == inRing || u.c.state > left, u.c.closed && u.c.damage == holed
}

// checkAccepted looks where the bytes are that were written. For the writer.
func (u *simConn) checkAccepted(op *simOp) {
	credit := 0
	if u.c.wmu.TryLock() { // else a Forward to it has it
		credit = u.c.credit
		defer u.c.wmu.Unlock()
	}
	n, _, dropped := u.pending()
	defer u.r.k.mu.Unlock()
	missing := u.written - u.s.wrote
	left := max(0, u.s.told-2*(batchBytes+sendOverhead)-(u.written-u.s.toldAt)-(u.s.passed-u.s.toldPassed))
	switch {
	case u.s.told > 0 && credit > left:
		u.r.fail("%s of %v leaves a credit of %d, with room for %d", op.name, u, credit, left)
	case missing < 0 || missing > 0 && !dropped && !u.excused() && n >= 0 && missing > n:
		u.r.fail("%s of %v: %d bytes were written, %d reached the socket, %d are pending",
			op.name, u, u.written, u.s.wrote, n)
	case missing > 0 && op.shared && !u.excused():
		u.r.fail("%s of %v, which others may reach: %d of %d bytes are in the socket", op.name, u, u.s.wrote, u.written)
	case missing > 0 && op.name == "write":
		u.r.hit("Write accepted")
	}
}

// checkSent makes sure that the kernel has all up to floor, or the ring has.
func (u *simConn) checkSent(op *simOp, floor int, stuck string) {
	n, inRing, _ := u.pending()
	defer u.r.k.mu.Unlock()
	switch missing := floor - u.s.wrote; {
	case missing <= 0 || u.excused():
	case n == 0:
		u.r.fail("%s of %v: %d bytes were written, %d reached the socket", op.name, u, floor, u.s.wrote)
	case n > 0 && !inRing:
		u.r.fail("%s of %v returns with %d bytes neither sent nor in the ring", op.name, u, missing)
	case u.r.plan.room == roomHonest && u.r.plan.chaos == 0:
		u.r.fail("%s of %v takes a send for stuck that has room", op.name, u)
	default:
		u.r.hit(stuck)
	}
}

// checkRaw is for a RawWrite: nothing may come after its own bytes.
func (u *simConn) checkRaw() {
	n, _, _ := u.pending()
	defer u.r.k.mu.Unlock()
	if n != 0 || u.s.wrote < u.written && !u.excused() {
		u.r.fail("RawWrite of %v: %d bytes were written, %d reached the socket, %d are pending",
			u, u.written, u.s.wrote, n)
	}
}

// checkTold looks whether a reset that a batch met was told, and what was
// given up.
func (u *simConn) checkTold() {
	s := u.s
	if s.ringLost {
		return
	}
	// A Close that leaves a send stuck may be too early to hear.
	if s.sendReset.before(u.closeBegan) && u.closes > 0 && u.resets == 0 && u.c.untold == 0 {
		u.r.fail("%v: nobody was told the reset that a batch met", u)
	}
	if u.resets > s.resets {
		u.r.fail("%v: %d resets were told, the kernel reported %d", u, u.resets, s.resets)
	}
}

// checkClosed looks at what is left of conns a while after Close.
func (r *simRun) checkClosed() {
	for _, u := range r.conns {
		s := u.s
		switch missing := s.floor - s.wrote; {
		case !u.closed.is():
		case !s.closed:
			r.fail("%v was closed, and its descriptor was not", u)
		case missing > 0 && !u.excused():
			r.fail("%v: %d bytes of %d were never sent", u, missing, s.floor)
		case missing > 0 && s.sendCancelled && !s.sendErr && !s.linger0 && !s.ringLost:
			r.fail("%v: %d bytes of %d were given up without a reset", u, missing, s.floor)
		case missing > 0 && s.linger0:
			r.hit("gave up a stuck send")
		}
	}
}

// checkUnsent looks for accepted bytes that could go on when nothing moves.
func (r *simRun) checkUnsent() {
	for _, u := range r.conns {
		n, _, _ := u.pending()
		if n != 0 && u.s.writable() {
			r.fail("%v: %d accepted bytes rest, though the socket has room", u, n)
		}
		if u.finAsked && n == 0 && !u.s.shutWr && !u.s.rst && !u.s.closed && !u.excused() {
			r.fail("%v: CloseWrite had no effect", u)
		}
		if u.s.wrote < u.written && n == 0 && !u.excused() {
			r.fail("%v: %d bytes were written, %d reached the socket", u, u.written, u.s.wrote)
		}
		r.k.mu.Unlock()
	}
	for _, ring := range r.k.rings {
		for _, q := range ring.reqs {
			if q.sock != nil && q.kind != kindSend && ring.coldSince(q.sock) && !q.sock.forwarded && !ring.dead {
				r.fail("%v of socket %d is armed on a cold engine, though it has completed", q.sqe.Opcode, q.sock.id)
			}
		}
	}
}

// coldSince reports whether the engine has been cold since before s's poll
// completed.
func (k *simRing) coldSince(s *simSock) bool {
	g := &k.loop.e.gear
	return !g.Hot() && s.lastDone > g.Since()
}

// rawControl looks at what is in the kernel before anything else is done to
// the socket.
func (u *simConn) rawControl() {
	u.mu.Lock()
	floor := u.written
	u.linger = true
	u.mu.Unlock()
	op := u.r.begin("raw control", u, nil)
	err := u.c.RawControl(func(fd uintptr) {
		u.checkSent(op, floor, "raw control beside a stuck send")
		_, _ = u.r.k.Unread(int(fd))
	})
	u.r.end(op, 0, err)
	u.noteShared(err)
	if err != nil && !(err == net.ErrClosed && u.mayBeClosed()) {
		u.r.fail("RawControl of %v: %v", u, err)
	}
}

// noteShared is for a call that has shown the descriptor to others.
func (u *simConn) noteShared(err error) {
	if err == nil {
		u.mu.Lock()
		u.shared = true
		u.mu.Unlock()
	}
}

func (u *simConn) isShared() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.shared
}

func (u *simConn) dup(rnd *rand.Rand) {
	u.mu.Lock()
	floor := u.written
	u.linger = true
	u.mu.Unlock()
	op := u.r.begin("dup", u, nil)
	fd := -1
	var derr error
	err := u.c.RawControl(func(n uintptr) { fd, derr = u.r.k.Dup(int(n)) })
	if err == nil {
		err = derr
	}
	u.r.end(op, fd, err)
	u.noteShared(err)
	switch {
	case err == nil:
		u.r.hit("duplicated")
		u.checkSent(op, floor, "duplicated beside a stuck send")
		u.r.pause(rnd)
		_ = u.r.k.CloseFD(fd)
	case err == net.ErrClosed && u.mayBeClosed():
	case errors.Is(err, unix.EMFILE):
	default:
		u.r.fail("Dup of %v: %v", u, err)
	}
}
