//go:build linux

package engine

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/engine/internal/gear"
)

// Read reads up to len(p) bytes. At the end it returns io.EOF itself. p is
// not touched after Read has returned.
func (c *Conn) Read(p []byte) (int, error) {
	c.rmu.Lock()
	n, err := c.read(p)
	c.rmu.Unlock()
	return n, err
}

// read fills p by a recv(2) of the caller's, having waited for the socket in
// the netpoller or on the ring. Called with rmu held.
//
// An idle conn costs the stack of the goroutine that waits here. So the steps
// are calls that return: what they need is not kept below the wait. The way
// into the netpoller is the deepest, and begins here: from further down, the
// 4 KB that net/http's goroutines mostly start with would have to grow.
func (c *Conn) read(p []byte) (int, error) {
	if began := c.pace.take(); began != 0 {
		c.e.late.note(c.pace.judge(c.e.k.Now() - began))
	}
	if len(p) == 0 {
		if c.refs.closed() {
			return 0, net.ErrClosed
		}
		return 0, nil
	}
	woken := false // by the ring
	for {
		poll, err := c.look()
		if err != nil {
			return 0, err
		}
		n, err := c.ask(p, poll)
		switch err {
		default:
			c.meter.Read(n, woken)
			if n > 0 && !c.got.Load() {
				c.got.Store(true)
			}
			return n, err
		case errNoPoller:
			c.enterPoller()
		case unix.EAGAIN:
			parked, err := c.watch()
			if err != nil {
				return 0, err
			}
			if !parked {
				continue
			}
			c.r.sleep()
			if c.r.err != nil {
				return 0, c.r.err
			}
			woken = true
		}
	}
}

// look decides whether a Read that has to wait does so in the netpoller, or why
// there is none. It sends what Write has accepted: the peer may wait for that.
func (c *Conn) look() (poll bool, err error) {
	held, poll, err := c.lookStep()
	if held != nil {
		c.sendByHand(held)
	}
	return poll, err
}

// lookStep is look, but returns what is the Read's to send.
func (c *Conn) lookStep() (held *batch, poll bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.cannot(&c.r); err != nil {
		return nil, false, err
	}
	if err := c.tell("read"); err != nil {
		return nil, false, err
	}
	if c.poll == pollTold {
		c.poll = pollArmed // before the system call, so that what comes during it is not missed
	}
	return c.takeOut(), c.poll == pollRefused || !c.mayWatch(), nil
}

// watch has the ring watch the socket for a Read that found nothing, and parks
// it, unless the ring has just said that there is something or the engine is cold
// by now.
func (c *Conn) watch() (parked bool, err error) {
	c.mu.Lock()
	err = c.cannot(&c.r)
	armed := c.poll == pollArmed
	if err != nil || !armed && (c.poll != pollIdle || !c.mayWatch()) {
		c.mu.Unlock()
		return false, err
	}
	if !armed {
		c.poll, c.known = pollArmed, true
	}
	c.r.park(waitRing)
	c.mu.Unlock()
	if !armed {
		c.e.post(&c.node, wantWatch)
	}
	return true, nil
}

// ask asks the socket. With poll it waits in the netpoller until there is
// something, or returns errNoPoller if it cannot yet; else it returns a bare
// EAGAIN, for the ring to watch.
func (c *Conn) ask(p []byte, poll bool) (int, error) {
	if !c.acquire() {
		return 0, net.ErrClosed
	}
	c.r.p = p
	n, err := c.tryRead(poll)
	c.r.p = nil
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
	if !c.lookFirst() {
		if err := h.polled(nil); err != nil {
			return 0, err
		}
	}
	if c.tcp {
		c.e.gear.Count(&c.reads)
	}
	return h.n, h.err
}

// lookFirst asks the socket for a while where that is asked for, and reports
// whether there was something. One Read of an engine does so at a time: more
// would only be in each other's way.
func (c *Conn) lookFirst() bool {
	e := c.e
	d, auto := e.cfg.BusyPoll, false
	if d == 0 {
		if auto = e.gear.Looks(); !auto {
			return false
		}
		d = gear.LookTime
	}
	found, ended := false, false
	if e.busy.CompareAndSwap(false, true) {
		found, ended = c.lookFor(d)
		e.busy.Store(false)
	}
	if found {
		e.stats.BusyReads.Add(1)
	}
	if auto && !ended {
		e.gear.Looked(found)
	}
	return found
}

// lookFor asks the socket for d, or until the deadline has ended that.
func (c *Conn) lookFor(d time.Duration) (found, ended bool) {
	for until := c.e.k.Now() + int64(d); !c.recv(); {
		if c.r.expired() {
			return false, true
		}
		if c.e.k.Now() >= until {
			return false, false
		}
		runtime.Gosched()
	}
	return true, false
}

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
			if h.n, h.err = n, nil; n == 0 {
				h.err = io.EOF
			}
			return true
		case unix.EINTR:
		case unix.EAGAIN:
			h.n, h.err = 0, err
			return false
		default:
			if err != unix.EFAULT { // which is the caller's alone
				c.fails()
			}
			h.n, h.err = 0, os.NewSyscallError("read", err)
			return true
		}
	}
}

func (c *Conn) try(h *half, _ int) bool {
	if h.write {
		return c.sendAll()
	}
	return c.recv()
}
