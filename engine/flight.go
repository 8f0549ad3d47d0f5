//go:build linux

package engine

import (
	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/engine/ring"
)

// outgoing is what Write has accepted and the kernel has not. out fills while
// flight is on its way. Guarded by Conn.mu.
//
//	landed  -- the engine serves the conn ---> inRing
//	landed  -- a caller will not wait for it-> byHand
//	inRing  -- all was sent -----------------> landed
//	inRing  -- some was sent, or nothing ----> left
//	byHand  -- all was sent -----------------> landed
//	byHand  -- EAGAIN -----------------------> left
//	left    -- the engine serves the conn ---> stuck
//	stuck   -- all was sent -----------------> landed
//	stuck   -- some was sent ----------------> left
//	stuck   -- Close has waited long enough -> givenUp
//	any     -- an error, see fate -----------> landed, with nothing to send
//
// Write accepts only what fits into the socket for certain. So a flight ends
// with its first send, which does not wait for room, but for a kernel short of
// memory. Then nothing more is accepted, and the second send waits in the ring
// for as long as it takes; see Conn.Close.
type outgoing struct {
	out      *batch
	flight   *batch
	state    flightState
	flushers waiters // who is in flush
}

type flightState uint8

const (
	landed  flightState = iota // there is no flight
	inRing                     // a send that does not wait is in the ring
	byHand                     // a caller sends it
	left                       // the socket had no room for all of it
	stuck                      // a send that waits for room is in the ring
	givenUp                    // and is cancelled
)

// waits reports whether it depends on the peer when the flight lands.
func (s flightState) waits() bool { return s >= left }

// flushed reports whether the kernel has all.
func (o *outgoing) flushed() bool { return o.flight == nil && o.out == nil }

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
		c.flight, c.out, c.state = c.out, nil, inRing
		flags |= unix.MSG_DONTWAIT
		l.e.stats.WritesBatched.Add(c.flight.writes)
		l.e.gear.Saved(c.flight.writes - 1)
	}
	l.e.stats.Batches.Add(1)
	s, ud := l.start(&c.node, kindSend)
	s.PrepSend(int32(c.fd), c.flight.b, flags, ud)
}

// sent takes the completion of a send. Engine thread, with mu held.
func (c *Conn) sent(l *loop, cqe *ring.CQE) {
	n := max(cqe.Res, 0)
	switch errno := unix.Errno(-min(cqe.Res, 0)); {
	case errno != 0 && errno != unix.EINTR && errno != unix.EAGAIN:
		c.loseFlight(errno)
	case int(n) == len(c.flight.b):
		c.land()
	case c.state == givenUp || l.stopping:
		c.loseFlight(unix.ECANCELED)
	default:
		c.flight.b = c.flight.b[n:]
		c.state = left
	}
	if !c.flushed() {
		c.submitSend(l)
	}
}

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
