//go:build linux

package engine

import (
	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/engine/ring"
)

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
	if c.relay == nil && c.turn != l.turns {
		c.turn = l.turns
		l.e.gear.Received()
	}
	switch {
	case cqe.More():
		c.poll = pollTold
		if c.relay == nil && !c.mayWatch() {
			l.cancel(&c.node, kindPoll)
		}
	case cqe.Res < 0 && unix.Errno(-cqe.Res) != unix.ECANCELED:
		c.poll = pollRefused
	default:
		c.poll = pollIdle
	}
	c.takeRelay(l)
	if c.r.waiting && c.r.state == waitRing {
		l.wakes.push(wakeup{read: c})
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
