//go:build linux

package engine

import (
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// The writing half of a Conn on the callers' side.

const (
	batchWrite = 8 << 10 // Writes above are not worth the copy

	// What the kernel charges a send buffer for beside the bytes, roughly
	// twice over: a header for each send.
	sendOverhead = 2048

	maxWrite = 1 << 30 // bounds one send(2), as package net does
)

// Write writes p and returns when the kernel has it all, or, on a hot engine,
// when the conn has copied it, see mayBatch. On an error it returns how many bytes
// the kernel took. Concurrent Writes do not interleave. p is not used after Write has
// returned.
func (c *Conn) Write(p []byte) (int, error) {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	if c.follows() && c.mayBatch(len(p)) {
		if ok, err := c.accept(p); err != nil {
			return 0, err
		} else if ok {
			c.meter.Write(len(p))
			return len(p), nil
		}
	} else if c.tcp && len(p) <= batchWrite {
		c.e.gear.Count(&c.writes)
	}
	n, err := c.write(p)
	c.meter.Write(n)
	return n, err
}

// follows reports whether a Write is one of a pipeline: not the first since a Read
// brought something, and of a conn that reads on soon. Called with wmu held.
//
// The first is what a peer waits for: it is in the kernel when Write returns, and
// depends on nobody else. Those after it are worth one send together; those of several
// conns are not, for one thread would make it.
func (c *Conn) follows() bool {
	if c.got.Load() && c.got.Swap(false) {
		c.run = 1
		return false
	}
	if c.run < 2 {
		if c.run++; c.run == 2 {
			c.pace.begin(c.e.k.Now())
		}
	}
	return c.pace.isSoon() && c.e.late.isRare()
}

// mayBatch reports whether a Write of n bytes that follows another one may be
// accepted: the engine is awake, so that it sends what no Read does, and the
// socket has room. Called with wmu held.
func (c *Conn) mayBatch(n int) bool {
	if n == 0 || n > batchWrite || c.e.cfg.Direct || c.e.asleep.Load() || !c.mayWatch() {
		return false
	}
	if c.credit < n+sendOverhead {
		if !c.acquire() {
			return false
		}
		// Half, for what the kernel charges beside the bytes; and what is on
		// its way is not in it yet.
		c.credit = c.e.k.SendRoom(c.fd)/2 - 2*(batchBytes+sendOverhead)
		c.drop()
	}
	return c.credit >= n+sendOverhead
}

// accept copies p to what the engine sends next, or reports that Write has to
// ask the kernel. Called with wmu held.
func (c *Conn) accept(p []byte) (bool, error) {
	if !bringIn(p) { // for the ring's thread waits for mu
		return false, nil
	}
	ok, first, err := c.take(p)
	if first {
		c.e.post(&c.node, wantSend)
	}
	return ok, err
}

// take is accept, and reports whether the engine must be told of it.
func (c *Conn) take(p []byte) (ok, first bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.cannot(&c.w); err != nil {
		return false, false, err
	}
	// Without an armed poll nobody would hear of a reset meanwhile. What others
	// write to the socket must not overtake p.
	if !c.poll.isArmed() || c.shared || c.damage != intact || c.state.waits() || c.out != nil && len(c.out.unsent())+len(p) > batchBytes {
		return false, false, nil
	}
	b := c.out
	if b == nil {
		b = newBatch(c.e.k.Now())
	}
	if !b.add(p) { // the kernel has the words for it
		if c.out == nil {
			b.free()
		}
		return false, false, nil
	}
	c.out = b
	c.credit -= len(p) + sendOverhead
	c.known = true
	return true, b.writes == 1 && c.state == landed, nil
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
	c.credit = max(0, c.credit-len(p)-sendOverhead) // p takes room, too
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
	c.openPoller()
	if err := h.polled(nil); err != nil {
		return h.n, err
	}
	return h.n, h.err
}

// sendAll is send(2) until all is sent, which is what it reports, or an error
// is in c.w.
func (c *Conn) sendAll() bool {
	if c.buffers != nil {
		return c.sendBuffers()
	}
	h := &c.w
	for {
		rest := h.p[h.n:]
		n, err := c.e.k.Write(c.fd, rest[:min(len(rest), maxWrite)])
		if n > 0 {
			h.n += n
		}
		switch {
		case err == nil && h.n == len(h.p):
			h.err = nil
			return true
		case err == unix.EINTR || err == nil && n > 0:
		case err == unix.EAGAIN:
			c.blocked()
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

// sendBuffers is sendAll of c.buffers.
func (c *Conn) sendBuffers() bool {
	h, v := &c.w, c.buffers
	for {
		n, err := c.e.k.WriteBuffers(c.fd, *v)
		if n > 0 {
			consume(v, n)
		}
		switch {
		case err == unix.EINTR || err == nil && n > 0:
		case err == unix.EAGAIN:
			c.blocked()
			return false
		case err != nil:
			h.err = c.writeError("writev", err)
			return true
		case size(*v) > 0:
			h.err = io.ErrUnexpectedEOF
			return true
		default:
			h.err = nil
			return true
		}
	}
}

// blocked notes that the socket is full. Called with wmu held.
func (c *Conn) blocked() {
	c.e.stats.SendsParked.Add(1)
	c.credit = 0
}

// writeError is the error of a failed system call that writes. A reset is
// reported once by the kernel, to whoever comes first: where that was a
// batched send, and no Read has returned it yet, it is the writer's.
func (c *Conn) writeError(call string, err error) error {
	errno, ok := err.(unix.Errno)
	switch {
	case c.refs.closed():
		return net.ErrClosed // whatever the socket says by now
	case !ok || errno == unix.EFAULT: // the caller's alone
		return os.NewSyscallError(call, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refuse()
	return os.NewSyscallError(call, c.reset(errno))
}

// fails has later Writes ask the kernel themselves, after an error that does
// not pass.
func (c *Conn) fails() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refuse()
}

// drain waits until the kernel has all that was accepted. Called with wmu
// held.
func (c *Conn) drain() error {
	for {
		b, parked, err := c.drainStep()
		switch {
		case b != nil:
			c.sendByHand(b)
		case parked:
			c.w.sleep()
			if c.w.err != nil {
				return c.w.err
			}
		default:
			return err
		}
	}
}

// drainStep returns a batch for the caller to send, or has parked the half until
// a flight has landed, or neither: all is done, or err is why nothing more can be
// written.
func (c *Conn) drainStep() (b *batch, parked bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch err := c.cannot(&c.w); {
	case err != nil:
		return nil, false, err
	case c.damage == holed:
		return nil, false, os.NewSyscallError("write", c.reset(unix.EPIPE))
	case c.flushed():
		return nil, false, nil
	}
	if b = c.takeOut(); b == nil {
		c.w.park(waitDrain)
		parked = true
	}
	return b, parked, nil
}

// sendByHand sends a flight that takeOut returned, from the caller's thread.
func (c *Conn) sendByHand(b *batch) {
	var err error
	for len(b.unsent()) > 0 && (err == nil || err == unix.EINTR) {
		var n int
		n, err = c.e.k.Write(c.fd, b.unsent())
		b.advance(max(n, 0))
	}
	if c.landByHand(err) {
		c.e.post(&c.node, wantSend)
	}
}

// landByHand ends a flight by hand, whose last send returned err, and reports
// whether there is something for the engine to send.
func (c *Conn) landByHand(err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	errno, _ := err.(unix.Errno)
	switch {
	case len(c.flight.unsent()) == 0:
		c.land()
	case errno == unix.EAGAIN:
		c.state = left
	default:
		c.loseFlight(errno)
	}
	return !c.flushed()
}

// flush waits like drain, but holds no lock of the writers'. It reports whether
// the kernel has all: an impatient one returns false when the send is stuck,
// for which the peer, who may not read, decides how long it takes.
func (c *Conn) flush(patient bool) bool {
	for {
		b, ch, done := c.flushStep(patient)
		switch {
		case b != nil:
			c.sendByHand(b)
		case ch != nil:
			c.e.wait(ch)
		default:
			return done
		}
	}
}

// flushStep returns a batch for the caller to send, or what to wait for, or
// that there is nothing to do, and whether all is done.
func (c *Conn) flushStep(patient bool) (b *batch, ch chan struct{}, done bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.flushed():
		return nil, nil, true
	case c.state > left && !patient: // the engine has it
		return nil, nil, false
	}
	if b = c.takeOut(); b == nil {
		ch = c.flushers.add()
	}
	return b, ch, false
}
