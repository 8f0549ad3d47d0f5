//go:build linux

package engine

import (
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/engine/ring"
)

// maxWrite bounds one write(2), as package net does.
const maxWrite = 1 << 30

// Write writes p and returns when the kernel has it all. On an error it
// returns how many bytes the peer will get. Concurrent Writes do not
// interleave. p is not used after Write has returned.
func (c *Conn) Write(p []byte) (int, error) {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	return c.write(p)
}

// write is Write with wmu held.
func (c *Conn) write(p []byte) (int, error) {
	if !c.refs.acquire() {
		return 0, net.ErrClosed
	}
	defer c.drop()
	if err := c.writable(); err != nil {
		return 0, err
	}
	for done := 0; ; {
		n, err := c.e.k.Write(c.fd, p[done:min(len(p), done+maxWrite)])
		if n > 0 {
			done += n
		}
		if err == nil && done == len(p) {
			return done, nil
		}
		switch err {
		case unix.EAGAIN:
			n, err = c.send(p[done:min(len(p), done+maxWrite)])
			if done += n; done == len(p) || err != nil {
				return done, err
			}
		case nil:
			if n == 0 {
				return done, io.ErrUnexpectedEOF
			}
		case unix.EINTR:
		default:
			return done, c.writeError("write", err)
		}
	}
}

// writeError is the error of a failed system call that writes. A reset is
// reported once by the kernel, to whoever comes first: where that was the
// ring, and no Read has returned it yet, it is the writer's.
func (c *Conn) writeError(call string, err error) error {
	if c.refs.closed() {
		return net.ErrClosed // whatever the socket says by now
	}
	if err == unix.EPIPE {
		if c.rmu.TryLock() { // else there is a reader to have it
			c.idle() // what the ring has seen is in rerr after that
			c.unlockRead()
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		err = c.takeReset(err)
	}
	return os.NewSyscallError(call, err)
}

// takeReset turns an EPIPE into the reset behind it, if the ring has that.
// Called with mu held.
func (c *Conn) takeReset(err error) error {
	if reset, ok := c.rerr.(*os.SyscallError); ok && err == unix.EPIPE {
		c.rerr, err = nil, reset.Err
	}
	return err
}

// writable is why a write cannot begin.
func (c *Conn) writable() error {
	if !c.expired(&c.wlimit) {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state(&c.wlimit)
}

// send has the ring send p and waits until it is sent, or cut short.
func (c *Conn) send(p []byte) (int, error) {
	c.mu.Lock()
	if err := c.state(&c.wlimit); err != nil {
		c.mu.Unlock()
		return 0, err
	}
	c.e.stats.sendsParked.Add(1)
	c.unsend = false
	c.w.park(waitSend, p)
	c.park(&c.w, &c.wlimit, wantSend)
	n, err := c.w.n, c.w.err
	if n == len(p) || err != nil {
		return n, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return n, c.state(&c.wlimit)
}

// startSend submits the parked Write's slice. Engine thread.
func (c *Conn) startSend(l *loop) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.w.waiting || c.w.state != waitSend || c.node.isFlying(kindSend) {
		return
	}
	if c.closed || c.unsend || !c.hold() {
		l.readied = true
		c.w.wake(0, nil)
		return
	}
	s, ud := l.start(&c.node, kindSend)
	// Not MSG_WAITALL: a send that gets stuck half-way would swallow its error.
	s.PrepSend(int32(c.fd), c.w.buf, unix.MSG_NOSIGNAL, ud) // w.buf keeps it reachable
}

// sent takes the completion of a send. Engine thread, with mu held.
func (c *Conn) sent(l *loop, cqe *ring.CQE) {
	l.readied = true
	switch errno := unix.Errno(-cqe.Res); {
	case cqe.Res >= 0:
		c.w.wake(int(cqe.Res), nil)
	case c.closed: // which the Write reports
		c.w.wake(0, nil)
	case errno == unix.ECANCELED || errno == unix.EINTR || errno == unix.EAGAIN:
		c.w.wake(0, nil)
	default:
		c.w.wake(0, os.NewSyscallError("write", c.takeReset(errno)))
	}
}

// waitWrite waits until the socket is writable. Called with wmu held.
func (c *Conn) waitWrite() error {
	c.mu.Lock()
	if err := c.state(&c.wlimit); err != nil {
		c.mu.Unlock()
		return err
	}
	ask := want(wantNothing)
	if !c.pollOut {
		c.pollOut, ask = true, wantPollOut
	}
	c.w.park(waitPoll, nil)
	c.park(&c.w, &c.wlimit, ask)
	return c.w.err
}
