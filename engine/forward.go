//go:build linux

package engine

import (
	"io"
	"math"
	"os"
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
		n, end, err := move(writeSide{c}, readSide{src}, remain, remain == math.MaxInt64)
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
func (c *Conn) relayFrom(src *Conn) (int64, error) {
	if !src.tcp || !c.tcp || !c.wmu.TryLock() {
		return 0, nil
	}
	defer c.wmu.Unlock()
	r := &relay{src: src, dst: c}
	err := c.tryRelay(r)
	if err == nil && len(r.rest) > 0 {
		err = c.writeRest(r) // for as long as dst takes, when src is free again
	}
	return r.moved, err
}

// tryRelay has the engine do r, with wmu held.
func (c *Conn) tryRelay(r *relay) error {
	if !c.acquire() {
		return nil
	}
	defer c.drop()
	if c.drain() != nil {
		return nil // who writes next meets it again
	}
	c.credit = 0 // what is forwarded takes room, too
	if !r.src.rmu.TryLock() {
		return nil
	}
	defer r.src.rmu.Unlock()
	if !r.src.acquire() {
		return nil
	}
	defer r.src.drop()
	halt := r.halt
	r.src.rmu.lent.Store(&halt)
	c.wmu.lent.Store(&halt)
	defer r.src.rmu.lent.Store(nil)
	defer c.wmu.lent.Store(nil)
	if c.check(&c.w) != nil { // Close of c sees r, or r sees Close
		return nil
	}
	return r.run()
}

// run has the engine do r, unless there is cause not to.
func (r *relay) run() error {
	parked, err := r.begin()
	if !parked {
		return err
	}
	return r.sleep()
}

// begin hands r to the engine, or reports that it cannot.
func (r *relay) begin() (bool, error) {
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

// sleep waits for the relay's end. Why src has nothing more is of no interest
// while there is a rest: who looks at src next meets it again, but for r.err.
func (r *relay) sleep() error {
	c := r.src
	c.r.sleep()
	c.mu.Lock()
	c.relay = nil
	err := c.r.err
	if err == nil && len(r.rest) == 0 {
		err = c.tell("splice")
	}
	c.mu.Unlock()
	if r.moved > 0 && !c.got.Load() {
		c.got.Store(true)
	}
	if _, failed := r.err.(*os.SyscallError); failed {
		c.fails()
	}
	switch {
	case len(r.rest) > 0:
		return nil
	case err == nil:
		err = r.err
	}
	return err
}

// writeRest writes what the engine could not send. Called with wmu held.
func (c *Conn) writeRest(r *relay) error {
	if r.fault != 0 { // which the kernel does not say again
		return c.writeError("splice", r.fault)
	}
	n, err := c.write(r.rest)
	r.moved += int64(n)
	if se, ok := err.(*os.SyscallError); ok {
		err = os.NewSyscallError("splice", se.Err)
	}
	if err == nil {
		err = r.err
	}
	return err
}
