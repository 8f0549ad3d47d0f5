//go:build linux

package engine

import (
	"io"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// Forward moves up to remain bytes from src to c, until the end of src, as package
// net's splice does: it returns how many c has taken, and the error of either, in
// package net's form. handled is false if the rest is the caller's to copy.
//
// Small messages the engine of src forwards, see relay. Of a larger transfer each
// part is spliced, which costs a wake-up of the caller, but no copy. What has come
// lately says which it is. A transfer of a given length is spliced, for it must
// not take more.
func (c *Conn) Forward(src *Conn, remain int64) (moved int64, handled bool, err error) {
	for {
		if remain == math.MaxInt64 {
			n, err := c.relayFrom(src)
			moved += n
			if err == io.EOF {
				return moved, true, nil
			} else if err != nil {
				return moved, true, err
			}
		}
		n, end, err := move(c.e.k, writeSide{c}, readSide{src}, remain, remain == math.MaxInt64)
		moved += n
		switch end {
		case moveUnable:
			return moved, false, nil
		case moveDone:
			return moved, true, err
		}
	}
}

// relayFrom parks the caller and has the engine of src forward. A nil error says
// that the caller has to go on by itself.
//
// As in Read, the steps are calls that return, for an idle conn costs the stack of
// the goroutine that waits here.
func (c *Conn) relayFrom(src *Conn) (int64, error) {
	r := c.newRelay(src)
	if r == nil {
		return 0, nil
	}
	parked, err := r.begin()
	if parked {
		src.r.sleep()
		err = r.woken()
	}
	return r.end(err)
}

// newRelay returns a relay that has taken what it holds, or nil. It waits for no
// lock.
func (c *Conn) newRelay(src *Conn) *relay {
	if !src.tcp || !c.tcp || !c.wmu.TryLock() {
		return nil
	}
	if c.mayRelay() && c.acquire() {
		if src.rmu.TryLock() {
			if src.acquire() {
				r := &relay{src: src, dst: c}
				halt := r.halt
				src.rmu.halt.Store(&halt)
				c.wmu.halt.Store(&halt)
				return r
			}
			src.rmu.Unlock()
		}
		c.drop()
	}
	c.wmu.Unlock()
	return nil
}

// mayRelay reports whether c can be sent to: what Write has accepted is in the
// kernel, and all of it. The next Write meets what is in the way. Called with wmu
// held.
func (c *Conn) mayRelay() bool {
	if c.wmu.wanted.Load() > 0 || !c.flush(false) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.flushed() && c.damage != holed
}

// begin hands r to the engine, or reports that it cannot.
func (r *relay) begin() (bool, error) {
	if r.dst.check(&r.dst.w) != nil { // Close of dst sees r, or r sees Close
		return false, nil
	}
	r.dst.credit = 0 // what is forwarded takes room, too
	c := r.src
	c.mu.Lock()
	err := c.cannot(&c.r)
	if err == nil {
		err = c.tell("splice")
	}
	if err != nil || r.halted || c.poll == pollRefused || c.rmu.wanted.Load() > 0 || r.dst.wmu.wanted.Load() > 0 {
		c.mu.Unlock()
		return false, err
	}
	if c.poll == pollIdle {
		c.poll = pollArmed
	}
	c.relay, c.known = r, true
	c.r.park(waitRelay)
	c.mu.Unlock()
	c.e.post(&c.node, wantRelay)
	return true, nil
}

// woken returns why src has nothing more, or why the caller was woken, if there is a
// reason.
func (r *relay) woken() error {
	c := r.src
	if r.moved > 0 && !c.got.Load() {
		c.got.Store(true)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.relay = nil
	if _, failed := r.err.(*os.SyscallError); failed {
		c.refuse()
	}
	switch {
	case r.err != nil && r.err != io.EOF && !c.closed: // which nobody else is told
		return r.err
	case c.r.err != nil:
		return c.r.err
	}
	if err := c.tell("splice"); err != nil {
		return err
	}
	return r.err
}

// end lets go of src, writes what the engine could not send, which may wait for dst,
// and lets go of that. It returns the bytes that dst took, and which error it is: err,
// or one of dst.
func (r *relay) end(err error) (int64, error) {
	src, dst := r.src, r.dst
	src.rmu.halt.Store(nil)
	dst.wmu.halt.Store(nil)
	src.rmu.Unlock()
	src.drop()
	if werr := dst.writeRest(r); werr != nil {
		src.owe(err)
		err = werr
	}
	dst.wmu.Unlock()
	dst.drop()
	return r.moved, err
}

// writeRest writes what the engine could not send. Called with wmu held.
func (c *Conn) writeRest(r *relay) error {
	switch {
	case r.fault != nil:
		return c.writeError("splice", r.fault)
	case len(r.rest) == 0:
		return nil
	}
	n, err := c.write(r.rest)
	r.moved += int64(n)
	if se, ok := err.(*os.SyscallError); ok {
		err = os.NewSyscallError("splice", se.Err)
	}
	return err
}

// owe has the next Read told of an error that the kernel said, or that c.tell did,
// and that was not returned.
func (c *Conn) owe(err error) {
	se, _ := err.(*os.SyscallError)
	if se == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keep(se.Err.(unix.Errno))
	c.tellRead() // a Read that has waited since end let go of rmu
}
