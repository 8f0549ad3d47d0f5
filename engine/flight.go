//go:build linux

package engine

import (
	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/engine/ring"
)

// startSend sends what was accepted, unless somebody is at it. Engine thread.
func (c *Conn) startSend(l *loop) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if (c.state == landed && c.out != nil || c.state == left) && c.hold() {
		c.submitSend(l)
	}
}

// submitSend puts a send of what is left, or of what is next, into the ring.
// Engine thread, with mu held.
func (c *Conn) submitSend(l *loop) {
	flags := uint32(unix.MSG_NOSIGNAL)
	if c.state == left {
		c.state = stuck
		c.flushers.release(c.e)
	} else {
		c.depart(inRing)
		flags |= unix.MSG_DONTWAIT
		l.e.gear.Saved(c.flight.writes - 1)
	}
	l.e.stats.Batches.Add(1)
	s, ud := l.start(&c.node, kindSend)
	s.PrepSend(int32(c.fd), c.flight.unsent(), flags, ud)
}

// sent takes the completion of a send. Engine thread, with mu held.
func (c *Conn) sent(l *loop, cqe *ring.CQE) {
	n := taken(cqe.Res, c.flight.unsent())
	switch errno := unix.Errno(-min(cqe.Res, 0)); {
	case errno != 0 && errno != unix.EINTR && errno != unix.EAGAIN:
		c.loseFlight(errno)
	case n == len(c.flight.unsent()):
		c.land()
	case c.state == givenUp || l.stopping:
		c.loseFlight(unix.ECANCELED)
	default:
		c.flight.advance(n)
		c.state = left
	}
	if !c.flushed() && !l.failed {
		c.submitSend(l)
	}
}

// taken is how much of b a send with this result took.
func taken(res int32, b []byte) int { return min(int(max(res, 0)), len(b)) }

// cancelSend gives up what a closed conn has not sent. Engine thread.
func (c *Conn) cancelSend(l *loop) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.state == left:
		c.loseFlight(unix.ECANCELED)
	case c.node.isFlying(kindSend):
		c.state = givenUp
		l.cancel(&c.node, kindSend)
	}
}

// takeOut makes what is next the flight of the caller, who has to call
// sendByHand with it. It returns nil if nothing is, or another flight is on its
// way. Called with mu held.
func (c *Conn) takeOut() *batch {
	if c.state != landed || c.out == nil {
		return nil
	}
	c.depart(byHand)
	return c.flight
}

// depart makes what is next the flight, which is about to be sent. Called with mu
// held.
func (c *Conn) depart(state flightState) {
	c.flight, c.out, c.state = c.out, nil, state
	e := c.e
	e.stats.WritesBatched.Add(c.flight.writes)
	e.delays.add(c.flight.since, e.k.Now())
}

// land ends a flight. Called with mu held.
func (c *Conn) land() {
	c.flight.free()
	c.flight = nil
	c.endFlight(landed)
}

// endFlight ends the flight in state, landed or abandoned, and wakes the drain and the
// flushes that wait for that. Called with mu held.
func (c *Conn) endFlight(state flightState) {
	c.state = state
	if c.out != nil {
		return // whoever is here sends it next, or has the engine do so
	}
	if c.w.state == waitDrain {
		c.w.wake(nil)
	}
	c.flushers.release(c.e)
}

// abandonFlight gives up what the ring had of the conn, and what was to follow it:
// nobody can say how much was sent. The memory stays as it is, for a request that the
// ring has left behind may read it. Called with mu held.
func (c *Conn) abandonFlight() {
	if c.state.ended() || c.state == byHand {
		return
	}
	c.dropOut()
	c.endFlight(abandoned)
	c.lose(unix.EIO)
	c.tellRead()
}

// loseFlight drops what was accepted. Called with mu held.
func (c *Conn) loseFlight(errno unix.Errno) {
	c.dropOut()
	c.land()
	c.lose(errno)
	c.tellRead()
}

// tellRead wakes a Read that waits for bytes if there is an error that the socket does
// not report, or no longer does. Called with mu held.
func (c *Conn) tellRead() {
	switch {
	case c.untold == 0 || !c.r.waiting || c.r.raw:
	case c.r.state == waitPoll: // which looks no more
		c.r.wake(c.tell("read"))
	default:
		c.r.wake(nil)
	}
}

// dropOut drops what was to follow the flight. Called with mu held.
func (c *Conn) dropOut() {
	if c.out != nil {
		c.out.free()
		c.out = nil
	}
}
