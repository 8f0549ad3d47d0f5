//go:build linux

package engine

import "github.com/quoit-go/quoit/engine/ring"

// serve turns a caller's wishes into requests. Engine thread.
func (c *Conn) serve(l *loop, w want) {
	if w&wantEnd != 0 && c.node.isFlying(kindPoll) {
		l.cancel(&c.node, kindPoll)
	}
	if w&wantCancelSend != 0 {
		c.cancelSend(l)
	}
	if w&(wantWatch|wantRelay) != 0 && !c.node.isFlying(kindPoll) && c.isWatched() {
		c.arm(l)
	}
	if w&wantRelay != 0 {
		c.serveRelay(l)
	}
	if w&wantSend != 0 {
		c.startSend(l)
	}
	c.settle(l)
}

// isWatched reports whether a poll is to be in the ring. One that was asked for
// may have told of something, ended, and be of no use to anybody by now.
func (c *Conn) isWatched() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.poll.isArmed()
}

// serveRelay begins with a relay that a caller has parked. Engine thread.
func (c *Conn) serveRelay(l *loop) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.takeRelay(l)
}

// settle lets go of the descriptor, and of the slot once closed, when nothing
// is in flight. Engine thread.
func (c *Conn) settle(l *loop) {
	if c.node.flying != 0 {
		return
	}
	if c.isClosed() {
		l.slots.vacate(&c.node)
	}
	if c.held {
		c.held = false
		if idle := c.dropLast(); idle != nil {
			l.wakes.push(wakeup{ch: idle})
		}
	}
}

// complete takes a completion. Engine thread.
func (c *Conn) complete(l *loop, k kind, cqe *ring.CQE) {
	c.completed(l, k, cqe)
	c.settle(l)
}

func (c *Conn) completed(l *loop, k kind, cqe *ring.CQE) {
	if k == kindRelay {
		l.relays.flying--
		c.relay.sent(cqe.Res)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock() // leaveRing takes it, if this panics
	switch k {
	case kindPoll:
		c.readable(l, cqe)
	case kindSend:
		c.sent(l, cqe)
	}
}

// leaveRing has the conn go on without a ring. What Write has accepted is sent.
func (c *Conn) leaveRing() {
	if b := c.leaveStep(); b != nil {
		c.sendByHand(b)
	}
}

// leaveStep is leaveRing, but returns what its caller has to send.
func (c *Conn) leaveStep() *batch {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.poll = pollRefused
	if c.r.waiting && (c.r.state == waitRing || c.r.state == waitRelay) {
		c.r.wake(nil)
	}
	c.abandonFlight()
	return c.takeOut()
}
