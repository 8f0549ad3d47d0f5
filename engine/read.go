//go:build linux

package engine

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/engine/ring"
)

// Read reads up to len(p) bytes. At the end it returns io.EOF itself. p is
// not touched after Read has returned.
func (c *Conn) Read(p []byte) (int, error) {
	c.rmu.Lock()
	n, err := c.read(p, nil)
	c.unlockRead()
	c.moved.add(n)
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

// read fills p. With lend, and bytes in a queued segment, it puts that segment
// there instead, the caller's to free. Called with rmu held.
//
// An idle conn costs the stack of the goroutine that waits here. So the steps
// are calls that return: what they need is not kept below the wait. The way
// into the netpoller is the deepest, and begins here: from further down, the
// 4 KB that net/http's goroutines mostly start with would have to grow.
func (c *Conn) read(p []byte, lend *segment) (int, error) {
	for {
		n, next, err := c.look(p, lend)
		switch next {
		case readDone:
			return n, err
		case readAsk, readPoll:
			n, err = c.readIdle(p, next == readPoll)
			if err == errNoPoller {
				c.enterPoller()
				continue
			}
			if err != unix.EAGAIN {
				return n, err
			}
			if err = c.await(p); err != nil {
				return 0, err
			}
		}
		c.r.sleep()
		if c.r.n > 0 || c.r.err != nil {
			return c.r.n, c.r.err
		}
	}
}

// readStep is what a Read does next.
type readStep uint8

const (
	readDone  readStep = iota
	readAsk            // ask the socket, and arm a receive if there is nothing
	readPoll           // ask the socket, and wait in the netpoller
	readSleep          // until the half is woken
)

// look serves a read from what was received before, or says what to do.
func (c *Conn) look(p []byte, lend *segment) (int, readStep, error) {
	if len(p) == 0 {
		if c.refs.closed() {
			return 0, readDone, net.ErrClosed
		}
		return 0, readDone, nil
	}
	c.mu.Lock()
	err := c.cannot(&c.r)
	switch {
	case err != nil:
	case len(c.cur.data) > 0 || !c.queue.empty():
		return c.readQueued(p, lend), readDone, nil
	case c.rerr != nil:
		err = c.rerr
		c.rerr, c.lost = nil, nil
	case c.armed:
		c.r.park(waitRead, p)
		c.mu.Unlock()
		return 0, readSleep, nil
	default:
		next := readAsk
		if c.starved || c.bulk {
			next = readPoll
		}
		c.mu.Unlock()
		return 0, next, nil
	}
	c.mu.Unlock()
	return 0, readDone, err
}

// await parks a Read and has a receive armed for it.
func (c *Conn) await(p []byte) error {
	c.mu.Lock()
	if err := c.cannot(&c.r); err != nil {
		c.mu.Unlock()
		return err
	}
	c.leavePoller()
	c.armed, c.known = true, true
	c.r.park(waitRead, p)
	c.mu.Unlock()
	c.e.post(&c.node, wantRecv)
	return nil
}

// readQueued serves a read from what was received before. Called with mu
// held, returns with it released.
func (c *Conn) readQueued(p []byte, lend *segment) (n int) {
	for {
		if len(c.cur.data) == 0 {
			if c.queue.empty() {
				break
			}
			c.cur = c.queue.pop()
		}
		c.mu.Unlock()
		if lend != nil {
			*lend, c.cur = c.cur, segment{}
			c.buffered.Add(-int64(len(lend.data)))
			return 0
		}
		k := copy(p[n:], c.cur.data)
		n += k
		c.cur.data = c.cur.data[k:]
		c.buffered.Add(-int64(k))
		if len(c.cur.data) == 0 {
			c.cur.free(c.e.group)
		}
		if n == len(p) {
			return n
		}
		c.mu.Lock()
	}
	c.mu.Unlock()
	return n
}

// readIdle receives from the socket itself, for when the kernel's queue is the
// only one. In GearPoll, or with poll, it waits in the netpoller until there
// is something, errNoPoller if it cannot yet; else it returns a bare EAGAIN, for
// a receive to be armed.
func (c *Conn) readIdle(p []byte, poll bool) (int, error) {
	if !c.acquire() {
		return 0, net.ErrClosed
	}
	c.r.p = p
	n, err := c.tryRead(poll || !c.mayArm())
	c.r.p = nil
	if poll && err != errNoPoller {
		c.mu.Lock()
		c.starved = false
		c.bulk = c.bulk && n >= c.e.cfg.BufferBytes
		c.mu.Unlock()
	}
	c.drop()
	return n, err
}

// errNoPoller says that the conn has to be put into the netpoller first.
var errNoPoller = errors.New("quoit: not in the netpoller")

func (c *Conn) tryRead(poll bool) (int, error) {
	h := &c.r
	if !poll || c.poller() == nil {
		if !c.recv() && poll {
			return 0, errNoPoller
		}
		return h.n, h.err
	}
	if !c.busyRead() {
		if err := h.polled(c.poller(), nil); err != nil {
			return 0, err
		}
	}
	if c.tcp {
		c.e.gears.count(c.e.k, &c.reads)
	}
	return h.n, h.err
}

// busyRead asks the socket for as long as Config.BusyPoll allows, and reports
// whether there was something. One Read of an engine does so at a time: more
// would only be in each other's way.
func (c *Conn) busyRead() bool {
	e := c.e
	if e.cfg.BusyPoll == 0 || !e.busy.CompareAndSwap(false, true) {
		return false
	}
	defer e.busy.Store(false)
	for until := e.k.Now() + int64(e.cfg.BusyPoll); !c.recv(); {
		if e.k.Now() >= until || c.r.expired() {
			return false
		}
		runtime.Gosched()
	}
	return true
}

// mayArm reports whether a Read that has to wait arms a receive.
func (c *Conn) mayArm() bool { return c.tcp && c.e.gears.hot.Load() }

// recv is recv(2) with its result in c.r. It reports whether there was
// something.
func (c *Conn) recv() bool {
	h := &c.r
	for {
		n, err := c.e.k.Read(c.fd, h.p)
		if n <= 0 && c.refs.closed() {
			h.n, h.err = 0, net.ErrClosed // whatever the socket says by now
			return true
		}
		switch err {
		case nil:
			c.e.stats.directReads.Add(1)
			if h.n, h.err = n, nil; n == 0 {
				h.err = io.EOF
			}
			return true
		case unix.EINTR:
		case unix.EAGAIN:
			h.n, h.err = 0, err
			return false
		default:
			c.fails()
			h.n, h.err = 0, os.NewSyscallError("read", err)
			return true
		}
	}
}

// arm is armRead for who does not hold mu.
func (c *Conn) arm(l *loop) {
	c.mu.Lock()
	defer c.mu.Unlock() // fail takes it, if this panics
	c.armRead(l)
}

// armRead starts a receive, or finds that the buffers are gone. Engine
// thread, with mu held.
func (c *Conn) armRead(l *loop) {
	if !c.hold() {
		return
	}
	if l.group.Free() == 0 {
		l.group.Refill()
	}
	if l.group.Free() == 0 {
		c.starve(l)
		l.readied = c.r.wake(0, nil) || l.readied
		return
	}
	maxBytes := uint32(0)
	if l.e.optLen {
		maxBytes = uint32(l.e.cfg.ReadWindow)
	}
	s, ud := l.start(&c.node, kindRecv)
	s.PrepRecvMultishot(int32(c.fd), l.group.ID(), maxBytes, ud)
}

// starve has the next Read receive into its own slice: nobody can be kept
// from receiving by those who hold the buffers. Called with mu held.
func (c *Conn) starve(l *loop) {
	l.e.stats.outOfBuffers.Add(1)
	c.armed, c.starved = false, true
}

// received takes a completion of the armed receive. Engine thread, with mu
// held.
func (c *Conn) received(l *loop, cqe *ring.CQE) {
	window := int64(l.e.cfg.ReadWindow)
	if c.served != l.turns {
		c.served = l.turns
		l.e.gears.receives++
	}
	if bid, ok := cqe.Buffer(); ok {
		l.group.Take(bid)
		if cqe.Res > 0 {
			c.deliver(l, bid, int(cqe.Res))
		} else {
			l.group.Return(bid)
		}
	}
	if cqe.More() {
		if !l.e.optLen && c.buffered.Load() >= window || !c.mayArm() || c.bulk {
			l.cancel(&c.node, kindRecv)
		}
		return
	}
	switch errno := unix.Errno(-cqe.Res); {
	case cqe.Res > 0:
		// It ended at its bound, or for a full completion queue.
		if !c.closed && c.mayArm() && !c.bulk && c.r.state != waitIdle && c.buffered.Load() <= window/2 {
			c.armRead(l)
			return
		}
	case cqe.Res == 0:
		if c.rerr == nil { // the reset may have gone to a send
			c.rerr = io.EOF
		}
	case errno == unix.ENOBUFS:
		c.starve(l)
	case errno == unix.ECANCELED || errno == unix.EINTR || errno == unix.EAGAIN:
	default:
		c.rerr, c.broken = os.NewSyscallError("read", errno), true
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
	c.bulk = n == l.group.BufBytes() // a Read's own slice takes more at once, without a copy
	if c.r.waiting && c.r.state == waitRead {
		k := copy(c.r.p, b)
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

// idle cancels the armed receive, if there is one, and waits for its end:
// afterwards the ring takes no bytes from the socket until the next Read.
// Called with rmu held.
func (c *Conn) idle() {
	c.mu.Lock()
	for c.armed && c.dead == nil {
		c.r.park(waitIdle, nil)
		c.mu.Unlock()
		c.e.post(&c.node, wantIdle)
		c.r.sleep()
		c.mu.Lock()
	}
	c.mu.Unlock()
}
