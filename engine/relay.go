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
// thread asks src, by recv(2), when its poll tells of something, and sends at once,
// by send(2): between two turns it holds no byte, so that a relay can end at any
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
	rest  []byte // was received, and dst had no room for it
	moved int64

	part   []byte // received in this turn, and not yet sent; in loop.relayed.space
	recent int    // bytes received in the last steps
	steps  int
}

const (
	// relayRead is the most that one recv(2) of a relay asks for.
	relayRead = 16 << 10

	// Who receives more than relayStep bytes at once, or bulkBytes in bulkSteps
	// turns, is better served by splice(2).
	relayStep = 64 << 10
	bulkBytes = bulkSteps * 8 << 10
	bulkSteps = 16

	relaySpace = 4 * relayStep
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
		r.sent(0)
		return
	}
	l.relayed.flying++
	s, ud := l.start(&r.src.node, kindRelay)
	s.PrepSend(int32(r.dst.fd), r.part, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, ud)
}

// sent notes how many bytes of part dst took. The rest is left to the caller, who
// may wait for dst, and learns why. Engine thread, taken.
func (r *relay) sent(n int) {
	r.moved += int64(n)
	if n < len(r.part) {
		r.rest, r.over = bytes.Clone(r.part[n:]), true
	}
	r.part = nil
}

// relayed are the relays that a turn has taken. Engine thread only.
type relayed struct {
	taken  []*Conn // by src
	parked int     // so many of taken are, again
	space  []byte  // what they receive; made by the first
	flying int     // sends in the ring
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
	l.relayed.taken = append(l.relayed.taken, c)
}

// serveRelay begins with a relay that a caller has parked. Engine thread.
func (c *Conn) serveRelay(l *loop) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.takeRelay(l)
}

// relay forwards for the relays that were taken: it receives what they have, and
// sends that in one enter. Sends of their own would each wake a peer, and lose the
// processor to it. Those that are taken meanwhile have the next turn.
func (l *loop) relay() {
	t := &l.relayed
	if len(t.taken) > 0 && t.space == nil {
		t.space = make([]byte, relaySpace)
	}
	for end := len(t.taken); t.parked < end; {
		n, used := t.parked, 0
		for ; n < end && len(t.space)-used >= relayStep; n++ {
			r := t.taken[n].relay
			used += r.receive(l.k, t.space[used:])
			r.submitSend(l)
		}
		for t.flying > 0 {
			l.submit()
			l.reap()
		}
		l.e.stats.BytesForwarded.Add(uint64(used))
		for t.parked < n {
			t.parked++
			t.taken[t.parked-1].parkRelay(l)
		}
	}
	left := copy(t.taken, t.taken[t.parked:])
	clear(t.taken[left:])
	t.taken, t.parked = t.taken[:left], 0
}

// parkRelay parks a relay that was taken, or wakes its caller. Engine thread.
func (c *Conn) parkRelay(l *loop) {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.cannot(&c.r)
	if r := c.relay; err == nil && !r.over && !r.halted && c.untold == 0 && c.rearm(l) {
		c.r.park(waitRelay)
		if c.poll == pollTold {
			c.takeRelay(l) // for the sends' completions came with others
		}
		return
	}
	c.r.err = err
	l.wakes.push(wakeup{ch: c.r.ch})
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

// dropRelays has the callers of relays that are taken waiting again, for who wakes
// them: the engine died. Engine thread.
func (l *loop) dropRelays() {
	t := &l.relayed
	for _, c := range t.taken[t.parked:] {
		c.mu.Lock()
		c.r.waiting = true
		c.mu.Unlock()
	}
	t.taken, t.parked = nil, 0
}
