//go:build linux

package engine

import (
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/engine/ring"
)

// Read reads up to len(p) bytes. At the end it returns io.EOF itself. p is
// not touched after Read has returned.
func (c *Conn) Read(p []byte) (int, error) {
	c.rmu.Lock()
	n, _, err := c.read(p, false)
	c.unlockRead()
	return n, err
}

// unlockRead ends what rmu.Lock began. If Close came meanwhile, it has left
// cur to the reader.
func (c *Conn) unlockRead() {
	closed := c.refs.closed() // a Close that is not seen here finds rmu free
	if closed {
		c.cur.free(c.e.group)
	}
	c.rmu.Unlock()
	if !closed && c.refs.closed() {
		c.dropCur()
	}
}

// dropCur frees cur, unless a reader is at it and will.
func (c *Conn) dropCur() {
	if c.rmu.TryLock() {
		c.cur.free(c.e.group)
		c.rmu.Unlock()
	}
}

// read fills p. With lend, and bytes in a queued segment, it returns that
// segment instead, the caller's to free. Called with rmu held.
func (c *Conn) read(p []byte, lend bool) (n int, seg segment, err error) {
	if len(p) == 0 {
		if c.refs.closed() {
			return 0, segment{}, net.ErrClosed
		}
		return 0, segment{}, nil
	}
	c.mu.Lock()
	for {
		if err := c.state(&c.rlimit); err != nil {
			c.mu.Unlock()
			return 0, segment{}, err
		}
		if len(c.cur.data) > 0 || !c.queue.empty() {
			return c.readQueued(p, lend)
		}
		if err := c.rerr; err != nil {
			c.rerr = nil
			c.mu.Unlock()
			return 0, segment{}, err
		}
		ask := want(wantNothing)
		if !c.armed {
			c.mu.Unlock()
			if n, err := c.readSocket(p); err != unix.EAGAIN {
				return n, segment{}, err
			}
			c.mu.Lock()
			if err := c.state(&c.rlimit); err != nil {
				c.mu.Unlock()
				return 0, segment{}, err
			}
			c.armed = true
			if ask = wantRecv; !c.tcp {
				ask = wantPollIn
			}
		}
		c.r.park(waitRead, p)
		c.park(&c.r, &c.rlimit, ask)
		if c.r.n > 0 || c.r.err != nil {
			return c.r.n, segment{}, c.r.err
		}
		c.mu.Lock()
	}
}

// readQueued serves a read from what was received before. Called with mu
// held, returns with it released.
func (c *Conn) readQueued(p []byte, lend bool) (n int, seg segment, err error) {
	for {
		if len(c.cur.data) == 0 {
			if c.queue.empty() {
				break
			}
			c.cur = c.queue.pop()
		}
		c.mu.Unlock()
		if lend {
			seg, c.cur = c.cur, segment{}
			c.buffered.Add(-int64(len(seg.data)))
			return 0, seg, nil
		}
		k := copy(p[n:], c.cur.data)
		n += k
		c.cur.data = c.cur.data[k:]
		c.buffered.Add(-int64(k))
		if len(c.cur.data) == 0 {
			c.cur.free(c.e.group)
		}
		if n == len(p) {
			return n, segment{}, nil
		}
		c.mu.Lock()
	}
	c.mu.Unlock()
	return n, segment{}, nil
}

// readSocket is read(2), for when the kernel's queue is the only one. It
// returns a bare EAGAIN if there is nothing.
func (c *Conn) readSocket(p []byte) (int, error) {
	if !c.refs.acquire() {
		return 0, net.ErrClosed
	}
	defer c.drop()
	for {
		n, err := c.e.k.Read(c.fd, p)
		if n <= 0 && c.refs.closed() {
			return 0, net.ErrClosed // whatever the socket says by now
		}
		switch err {
		case nil:
			c.e.stats.directReads.Add(1)
			if n == 0 {
				return 0, io.EOF
			}
			return n, nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, err
		default:
			return 0, os.NewSyscallError("read", err)
		}
	}
}

// armRead starts a receive, or where that is asked for, or where the buffers
// are gone, a poll. Engine thread.
func (c *Conn) armRead(l *loop, poll bool) {
	if !c.hold() {
		return
	}
	if !poll && l.group.Free() == 0 {
		l.group.Refill()
		if poll = l.group.Free() == 0; poll {
			l.e.stats.outOfBuffers.Add(1)
		}
	}
	if poll {
		s, ud := l.start(&c.node, kindPollIn)
		s.PrepPollAdd(int32(c.fd), unix.POLLIN|unix.POLLRDHUP, ud)
		return
	}
	maxBytes := uint32(0)
	if l.e.optLen {
		maxBytes = uint32(l.e.cfg.ReadWindow)
	}
	s, ud := l.start(&c.node, kindRecv)
	s.PrepRecvMultishot(int32(c.fd), l.group.ID(), maxBytes, ud)
}

// received takes a completion of the armed receive. Engine thread, with mu
// held.
func (c *Conn) received(l *loop, cqe *ring.CQE) {
	window := int64(l.e.cfg.ReadWindow)
	if bid, ok := cqe.Buffer(); ok {
		l.group.Take(bid)
		if cqe.Res > 0 {
			c.deliver(l, bid, int(cqe.Res))
		} else {
			l.group.Return(bid)
		}
	}
	if cqe.More() {
		if !l.e.optLen && c.buffered.Load() >= window {
			l.cancel(&c.node, kindRecv)
		}
		return
	}
	switch errno := unix.Errno(-cqe.Res); {
	case cqe.Res > 0:
		// It ended at its bound, or for a full completion queue.
		if !c.closed && c.r.state != waitIdle && c.buffered.Load() <= window/2 {
			c.armRead(l, false)
			return
		}
	case cqe.Res == 0:
		c.rerr = io.EOF
	case errno == unix.ENOBUFS:
		l.e.stats.outOfBuffers.Add(1)
	case errno == unix.ECANCELED || errno == unix.EINTR || errno == unix.EAGAIN:
	default:
		c.rerr = os.NewSyscallError("read", errno)
	}
	c.armed = false
	l.readied = c.r.wake(0, nil) || l.readied
}

// deliver hands n received bytes to the parked Read or the queue. Engine
// thread, with mu held.
func (c *Conn) deliver(l *loop, bid uint16, n int) {
	b := l.group.Bytes(bid, n)
	if c.closed {
		if c.tcp {
			_ = c.e.k.ResetOnClose(c.fd) // they are unread
		}
		l.group.Return(bid)
		return
	}
	l.bytesReceived += uint64(n)
	if c.r.waiting && c.r.state == waitRead {
		k := copy(c.r.buf, b)
		b = b[k:]
		l.readied = c.r.wake(k, nil) || l.readied
	}
	switch {
	case len(b) == 0:
		l.group.Return(bid)
		return
	case len(b) < l.group.BufBytes()/2:
		c.queue.copyIn(b)
		l.group.Return(bid)
	case l.group.Free() < l.group.Entries()/4:
		l.e.stats.buffersCopied.Add(1)
		c.queue.copyIn(b)
		l.group.Return(bid)
	default:
		c.queue.push(segment{data: b, bid: bid, lent: true})
	}
	c.buffered.Add(int64(len(b)))
}

// idle cancels the armed request, if there is one, and waits for its end:
// afterwards the ring takes no bytes from the socket until the next Read.
// Called with rmu held.
func (c *Conn) idle() {
	c.mu.Lock()
	for c.armed && c.dead == nil {
		c.r.park(waitIdle, nil)
		c.park(&c.r, &c.rlimit, wantIdle)
		c.mu.Lock()
	}
	c.mu.Unlock()
}

// waitRead waits until the socket is readable. Called with rmu held, while
// the read half is idle.
func (c *Conn) waitRead() error {
	c.mu.Lock()
	if err := c.state(&c.rlimit); err != nil {
		c.mu.Unlock()
		return err
	}
	ask := want(wantNothing)
	if !c.armed {
		c.armed, ask = true, wantPollIn
	}
	c.r.park(waitPoll, nil)
	c.park(&c.r, &c.rlimit, ask)
	return c.r.err
}
