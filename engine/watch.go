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
	news := c.poll == pollArmed // a Read that parks finds it so, and is queued once
	switch {
	case cqe.More():
		c.poll = pollTold
		// A reader that waited in the netpoller last, for a splice or in a cold
		// engine, has no use for the poll, which wakes this thread for each segment.
		if c.relay == nil && (c.r.state == waitPoll || !c.mayWatch()) {
			l.cancel(&c.node, kindPoll)
		}
	case cqe.Res < 0 && unix.Errno(-cqe.Res) != unix.ECANCELED:
		c.poll = pollRefused
	default:
		c.poll = pollIdle
	}
	c.takeRelay(l)
	if news && c.r.waiting && c.r.state == waitRing {
		l.wakes.push(wakeup{read: c})
	}
}

// wakeRead has a parked Read ask the socket. Another one may be parked by now,
// which the poll has told nothing. Engine thread.
func (c *Conn) wakeRead(l *loop) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.r.state == waitRing && c.poll != pollArmed {
		l.woke = c.r.wake(nil) || l.woke
	}
}

// takeRelay takes the relay of c if it is parked. Engine thread, with mu held.
func (c *Conn) takeRelay(l *loop) {
	if c.relay == nil || !c.r.waiting || c.r.state != waitRelay {
		return
	}
	c.r.waiting = false
	if c.poll == pollTold {
		c.poll = pollArmed // before the system call, so that what comes during it is not missed
	}
	l.relays.taken = append(l.relays.taken, c.relay)
}

// rearm has the poll watch on, and reports whether the kernel takes it. Engine
// thread, with mu held.
func (c *Conn) rearm(l *loop) bool {
	if c.poll == pollIdle {
		c.poll = pollArmed
		c.arm(l)
	}
	return c.poll != pollRefused
}
