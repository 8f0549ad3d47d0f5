//go:build linux

package engine

import (
	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/engine/ring"
)

// pollState is what the ring knows of a conn that has data. Guarded by Conn.mu.
//
//	idle   -- a Read finds nothing, on a hot engine ------> armed
//	armed  -- a completion -------------------------------> told
//	told   -- a Read is about to ask the socket ----------> armed
//	armed, told -- a completion without F_MORE -----------> idle
//	armed, told -- the kernel has no memory for the poll -> refused
type pollState uint8

const (
	pollIdle    pollState = iota // no poll is in the ring
	pollArmed                    // one is, or is about to be
	pollTold                     // and has told of something since a Read last asked
	pollRefused                  // the netpoller serves
)

// isArmed reports whether a poll is in the ring, or is about to be.
func (p pollState) isArmed() bool { return p == pollArmed || p == pollTold }

// arm starts the poll that tells when the socket has something. It takes no
// bytes: they stay in the socket until a Read of the caller's. Engine thread.
func (c *Conn) arm(l *loop) {
	if !c.hold() {
		return
	}
	s, ud := l.start(&c.node, kindPoll)
	s.PrepPollMultishot(int32(c.fd), unix.POLLIN|unix.POLLRDHUP, ud)
}

// readable takes a completion of the armed poll. Engine thread, with mu held.
func (c *Conn) readable(l *loop, cqe *ring.CQE) {
	if c.turn != l.turns {
		c.turn = l.turns
		l.e.gear.Received()
	}
	switch {
	case cqe.More():
		c.poll = pollTold
		if !c.mayWatch() {
			l.cancel(&c.node, kindPoll)
		}
	case cqe.Res < 0 && unix.Errno(-cqe.Res) != unix.ECANCELED:
		c.poll = pollRefused
	default:
		c.poll = pollIdle
	}
	if c.r.waiting && c.r.state == waitRing {
		l.wakes.push(wakeup{c: c})
	}
}

// wakeRead has a parked Read ask the socket. Another one may be parked by now,
// which the poll has told nothing. Engine thread.
func (c *Conn) wakeRead(l *loop) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.r.state == waitRing && c.poll != pollArmed {
		l.readied = c.r.wake(nil) || l.readied
	}
}
