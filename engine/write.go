//go:build linux

package engine

import (
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// maxWrite bounds one send(2), as package net does.
const maxWrite = 1 << 30

// Write writes p and returns when the kernel has it all, or, on a hot engine,
// when the conn has copied it. On an error it returns how many bytes the peer
// will get. Concurrent Writes do not interleave. p is not used after Write has
// returned.
func (c *Conn) Write(p []byte) (int, error) {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	if c.mayBatch(len(p)) {
		if ok, err := c.accept(p); err != nil {
			return 0, err
		} else if ok {
			c.moved.add(len(p))
			return len(p), nil
		}
	} else if c.tcp && len(p) <= batchWrite {
		c.e.gears.count(c.e.k, &c.writes)
	}
	n, err := c.write(p)
	c.moved.add(n)
	return n, err
}

// write has the kernel take p. Called with wmu held.
func (c *Conn) write(p []byte) (int, error) {
	if !c.acquire() {
		return 0, net.ErrClosed
	}
	defer c.drop()
	if err := c.drain(); err != nil {
		return 0, err
	}
	c.credit -= len(p) + sendOverhead // p takes room, too
	h := &c.w
	h.p, h.n = p, 0
	n, err := c.tryWrite()
	h.p = nil
	return n, err
}

func (c *Conn) tryWrite() (int, error) {
	h := &c.w
	if c.sendAll() { // most sockets have room: the netpoller need not know
		return h.n, h.err
	}
	if err := h.polled(c.openPoller(), nil); err != nil {
		return h.n, err
	}
	return h.n, h.err
}

// sendAll is send(2) until all is sent, which is what it reports, or an error
// is in c.w.
func (c *Conn) sendAll() bool {
	h := &c.w
	for {
		n, err := c.e.k.Write(c.fd, h.p[h.n:min(len(h.p), h.n+maxWrite)])
		if n > 0 {
			h.n += n
		}
		switch {
		case err == nil && h.n == len(h.p):
			h.err = nil
			return true
		case err == unix.EINTR || err == nil && n > 0:
		case err == unix.EAGAIN:
			c.e.stats.sendsParked.Add(1)
			c.credit = 0
			return false
		case err == nil:
			h.err = io.ErrUnexpectedEOF
			return true
		default:
			h.err = c.writeError("write", err)
			return true
		}
	}
}

// writeError is the error of a failed system call that writes. A reset is
// reported once by the kernel, to whoever comes first: where that was a
// batched send, and no Read has returned it yet, it is the writer's.
func (c *Conn) writeError(call string, err error) error {
	if c.refs.closed() {
		return net.ErrClosed // whatever the socket says by now
	}
	if err == unix.EFAULT { // the caller's alone
		return os.NewSyscallError(call, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broken = true
	return os.NewSyscallError(call, c.takeReset(err))
}

// fails has later Writes ask the kernel themselves, after an error that does
// not pass.
func (c *Conn) fails() {
	c.mu.Lock()
	c.broken = true
	c.mu.Unlock()
}

// takeReset turns an EPIPE into the reset behind it, if a batched send met
// that. Called with mu held.
func (c *Conn) takeReset(err error) error {
	if reset, ok := c.rerr.(*os.SyscallError); ok && err == unix.EPIPE {
		c.rerr, c.lost, err = nil, nil, reset.Err
	}
	return err
}
