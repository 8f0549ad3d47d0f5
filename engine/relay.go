//go:build linux

package engine

import (
	"bytes"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// A relay is a caller's wish that the engine's thread forwards from src to dst
// what comes, while the caller is parked: no goroutine is woken for a message. The
// thread asks src, by recv(2), when its poll tells of something, and has the next
// enter send it: between two turns it holds no byte, so that a relay can end at any
// time. It is for small messages between sockets that have room. Everything else
// ends it, and the caller goes on: see Conn.Forward.
//
//	parked -- the poll of src tells of something ------> taken
//	taken  -- all that came was sent ------------------> parked
//	taken  -- an end, see over ------------------------> woken, the caller looks at it
//	parked -- a deadline, Close, or halt --------------> woken
//
// The caller holds src.rmu, dst.wmu and a reference to either descriptor. While the
// relay is taken it belongs to the engine's thread, and src.r is not waiting, so
// that nobody else wakes the caller. Else it is the caller's, but for halted.
type relay struct {
	src, dst *Conn
	halted   bool // somebody wants src.rmu, dst.wmu or dst closed; guarded by src.mu

	over  bool   // the caller has to go on
	err   error  // why src has nothing more: io.EOF or a *os.SyscallError
	rest  []byte // was received, and dst did not take it
	fault error  // why not, unless it has no room: an Errno, which the kernel says once
	moved int64

	part   []byte // received in this turn, and not yet sent; in relays.space
	recent int    // bytes received in the last steps
	steps  int
}

const (
	// relayRead is the most that one recv(2) of a relay asks for.
	relayRead = 16 << 10

	// A relay that receives relayStep bytes at once, or more than bulkBytes in
	// bulkSteps turns, is better served by splice(2).
	bulkBytes = bulkSteps * 8 << 10
	bulkSteps = 16
)

// halt ends the relay soon. Called without src.mu.
func (r *relay) halt() {
	c := r.src
	c.mu.Lock()
	defer c.mu.Unlock()
	r.halted = true
	if c.relay == r && c.r.state == waitRelay {
		c.r.wake(nil)
	}
}

// receive takes what src has into space, of at least relayStep bytes, and returns
// how much of it is used. Engine thread, taken.
func (r *relay) receive(k kernel, space []byte) int {
	n := 0
	for n < relayStep && r.err == nil {
		m, err := k.Read(r.src.fd, space[n:min(n+relayRead, relayStep)])
		switch {
		case m > 0:
			n += m
		case err == nil:
			r.err = io.EOF
		case err == unix.EAGAIN:
			r.part = space[:n]
			r.count(n)
			return n
		case err != unix.EINTR:
			r.err = os.NewSyscallError("splice", err) // as package net calls it
		}
	}
	r.part, r.over = space[:n], true
	return n
}

// count looks whether the messages are small. Engine thread, taken.
func (r *relay) count(n int) {
	r.recent += n
	if r.steps++; r.steps == bulkSteps {
		r.over = r.over || r.recent > bulkBytes
		r.recent, r.steps = 0, 0
	}
}

// submitSend puts a send of what was received into the ring. It does not wait, so
// that the next enter completes it. Engine thread, taken.
func (r *relay) submitSend(l *loop) {
	if len(r.part) == 0 {
		return
	}
	if r.dst.w.expired() {
		r.sent(-int32(unix.EAGAIN))
		return
	}
	l.relays.flying++
	s, ud := l.start(&r.src.node, kindRelay)
	s.PrepSend(int32(r.dst.fd), r.part, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, ud)
}

// sent takes the result of a send of part. What dst did not take is left to the
// caller, who may wait for dst. Engine thread, taken.
func (r *relay) sent(res int32) {
	n := taken(res, r.part)
	r.moved += int64(n)
	if errno := unix.Errno(-min(res, 0)); errno != 0 && errno != unix.EAGAIN && errno != unix.EINTR {
		r.fault = errno
	}
	if n < len(r.part) {
		r.rest, r.over = bytes.Clone(r.part[n:]), true
	}
	r.part = nil
}

// forward receives what src has into space, puts a send of it into the ring, and
// returns how much of space that takes until the next enter. Engine thread, taken.
func (r *relay) forward(l *loop, space []byte) int {
	n := r.receive(l.k, space)
	r.submitSend(l)
	return n
}

// park parks a relay that was taken, or wakes its caller. Engine thread.
func (r *relay) park(l *loop) {
	c := r.src
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.cannot(&c.r)
	if err == nil && !r.over && !r.halted && c.untold == 0 && c.rearm(l) {
		c.r.park(waitRelay)
		if c.poll == pollTold {
			c.takeRelay(l) // for the sends' completions came with others
		}
		return
	}
	c.r.err = err
	l.wakes.push(wakeup{ch: c.r.ch})
}

// giveBack has the caller of a relay that is taken waiting again, until the Conn is told
// that there is no ring any more. What was received may have been sent, in part: nothing
// may follow it. Engine thread.
func (r *relay) giveBack() {
	if len(r.part) > 0 {
		r.fault = unix.EIO
		r.dst.breakOff()
	}
	c := r.src
	c.mu.Lock()
	defer c.mu.Unlock()
	c.r.waiting = true
}

// breakOff has nothing come after what was sent, for something is missing.
func (c *Conn) breakOff() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lose(unix.ECANCELED)
}
