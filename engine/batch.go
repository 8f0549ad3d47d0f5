//go:build linux

package engine

import (
	"os"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/engine/ring"
)

// batches are what Write has accepted and the kernel has not: sends that the
// engine makes in its next enter, all conns' together. Guarded by Conn.mu.
//
// out fills while flight is on its way, in the ring or by a caller's hand.
// Write accepts only what fits into the socket for certain, so a flight ends
// in the enter that it is submitted in, but for a kernel short of memory or a
// TCP_NOTSENT_LOWAT. Then it is stuck: nothing more is accepted, and what is
// there goes on by itself, even after Close.
type batches struct {
	out     *batch
	flight  *batch
	turn    uint64          // of the engine's, in which the ring got it
	byHand  bool            // a caller sends flight
	inRing  bool            // the ring does
	stuck   bool            // it did not end at once
	finDue  bool            // CloseWrite came while stuck
	unsend  bool            // what is stuck of a closed conn is given up
	broken  bool            // sends fail, or will: Write asks the kernel itself
	gone    bool            // some were lost: nothing may come after them
	lost    error           // why flight failed, while nobody has been told
	flusher []chan struct{} // who waits in flush
	last    timer           // ends what is stuck of a closed conn
}

type batch struct {
	b      []byte // what is left to send
	writes uint64
	small  [1 << 10]byte     // room for most
	large  *[batchBytes]byte // for more, once needed
}

const (
	batchBytes = 16 << 10 // of one conn, at once
	batchWrite = 8 << 10  // Writes above are not worth the copy

	// What the kernel charges a send buffer for beside the bytes, roughly
	// twice over: a header for each send.
	sendOverhead = 2048

	// closeTime is how long a closed conn may go on with a send that is stuck.
	closeTime = time.Minute
)

// Most batches are small, and there can be one a conn: their memory should
// stay in the cache.
var (
	batchPool = sync.Pool{New: func() any { return new(batch) }}
	largePool = sync.Pool{New: func() any { return new([batchBytes]byte) }}
)

func newBatch() *batch {
	b := batchPool.Get().(*batch)
	b.b, b.writes = b.small[:0], 0
	return b
}

// add appends p, which fits into batchBytes, and reports whether it could be
// read: p may lie in a mapped file that has been cut short since. A system call
// would say EFAULT, while here the processor faults, which must not end the
// process.
func (b *batch) add(p []byte) (ok bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if v := recover(); v != nil {
			if _, fault := v.(interface{ Addr() uintptr }); !fault {
				panic(v)
			}
		}
	}()
	if b.large == nil && len(b.b)+len(p) > len(b.small) {
		b.large = largePool.Get().(*[batchBytes]byte)
		b.b = append(b.large[:0], b.b...)
	}
	b.b = append(b.b, p...)
	b.writes++
	return true
}

func (b *batch) free() {
	if b.large != nil {
		largePool.Put(b.large)
		b.large = nil
	}
	batchPool.Put(b)
}

// mayBatch reports whether a Write of n bytes is one to accept: the engine is
// awake, will enter soon, and the socket has room. Called with wmu held.
func (c *Conn) mayBatch(n int) bool {
	if n == 0 || n > batchWrite || c.e.asleep.Load() || !c.mayWatch() {
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
	if !c.armed || c.shared || c.rerr != nil || c.broken || c.stuck || c.out != nil && len(c.out.b)+len(p) > batchBytes {
		return false, false, nil
	}
	b := c.out
	if b == nil {
		b = newBatch()
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
	return true, b.writes == 1 && c.flight == nil, nil
}

// startSend puts what was accepted into the ring, or sees whether what is
// there is stuck. Engine thread.
func (c *Conn) startSend(l *loop) {
	unseen := l.completed()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.byHand || c.flight == nil && c.out == nil || !c.hold():
	case !c.inRing:
		c.submitSend(l)
	case c.turn == l.turns || l.k.SQPending() > 0 || unseen:
		c.e.postHolding(&c.node, wantSend) // its completion may be under way
	default:
		c.stuck = true
	}
	if c.stuck && c.inRing {
		c.release()
	}
}

// submitSend sends flight, or what is next. Engine thread, with mu held.
func (c *Conn) submitSend(l *loop) {
	if c.flight == nil {
		c.flight, c.out = c.out, nil
		l.writesBatched += c.flight.writes
		l.e.gears.saved += c.flight.writes - 1
	}
	c.inRing, c.turn = true, l.turns
	l.batches++
	s, ud := l.start(&c.node, kindSend)
	s.PrepSend(int32(c.fd), c.flight.b, unix.MSG_NOSIGNAL, ud)
	if c.stuck {
		s.SetFlags(ring.SQEAsync)
	}
}

// sent takes the completion of a send. Engine thread, with mu held.
func (c *Conn) sent(l *loop, cqe *ring.CQE) {
	c.inRing = false
	giveUp := c.unsend || l.stopping
	switch errno := unix.Errno(-cqe.Res); {
	case cqe.Res >= 0:
		c.flight.b = c.flight.b[cqe.Res:]
	case (errno == unix.EINTR || errno == unix.EAGAIN) && !giveUp:
	default:
		c.sendFailed(errno)
	}
	switch short := c.flight != nil && len(c.flight.b) > 0; {
	case giveUp && (short || c.out != nil):
		c.sendFailed(unix.ECANCELED)
	case short:
		c.stuck = true
		c.submitSend(l)
		return
	}
	c.landed()
	if c.out != nil {
		c.submitSend(l)
	}
}

// landed ends a flight. Called with mu held.
func (c *Conn) landed() {
	if c.flight != nil {
		c.flight.free()
		c.flight = nil
	}
	c.stuck = false
	if c.out != nil {
		return
	}
	if c.finDue {
		c.finDue = false
		_ = c.e.k.Shutdown(c.fd, unix.SHUT_WR)
	}
	if c.w.state == waitDrain {
		c.w.wake(nil)
	}
	c.release()
}

// release wakes who is in flush. Called with mu held.
func (c *Conn) release() {
	for _, ch := range c.flusher {
		c.e.ready(ch)
	}
	c.flusher = nil
}

// sendFailed drops what was accepted, as the kernel does with what it holds
// itself. A broken pipe every later write meets again; any other error is
// told once, to the next Read, Write or Close. Called with mu held.
func (c *Conn) sendFailed(errno unix.Errno) {
	for _, b := range []*batch{c.flight, c.out} {
		if b != nil {
			b.free()
		}
	}
	c.flight, c.out, c.broken = nil, nil, true
	c.finDue = c.finDue && errno == unix.EPIPE // the peer must not take what it got for all
	if errno == unix.EPIPE {
		return
	}
	c.gone = true
	if c.closed {
		_ = c.e.k.ResetOnClose(c.fd)
	}
	if errno == unix.ECANCELED { // given up
		return
	}
	c.lost = os.NewSyscallError("write", errno)
	c.rerr = os.NewSyscallError("read", errno)
	if c.r.state == waitRing {
		c.r.wake(nil)
	}
}

// sendByHand sends what is next from the caller's thread. Called with mu
// held, which it gives up meanwhile.
func (c *Conn) sendByHand() {
	b := c.out
	c.flight, c.out, c.byHand = b, nil, true
	c.mu.Unlock()
	var err error
	for len(b.b) > 0 && (err == nil || err == unix.EINTR) {
		var n int
		n, err = c.e.k.Write(c.fd, b.b)
		b.b = b.b[max(n, 0):]
	}
	c.mu.Lock()
	c.byHand = false
	switch {
	case len(b.b) == 0:
		c.landed()
	case err == unix.EAGAIN:
		c.stuck = true
	default:
		c.sendFailed(err.(unix.Errno))
		c.landed()
	}
	if c.flight != nil || c.out != nil {
		c.e.postHolding(&c.node, wantSend)
	}
}

// drain waits until the kernel has all that was accepted. Called with wmu
// held.
func (c *Conn) drain() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if err := c.cannot(&c.w); err != nil {
			return err
		}
		switch {
		case c.gone:
			return os.NewSyscallError("write", c.takeReset(unix.EPIPE))
		case c.flight == nil && c.out == nil:
			return nil
		case c.flight == nil:
			c.sendByHand()
		default:
			c.w.park(waitDrain)
			c.mu.Unlock()
			c.w.sleep()
			c.mu.Lock()
			if err := c.w.err; err != nil {
				return err
			}
		}
	}
}

// flush is drain for who must not be kept by a peer that does not read, and
// holds no lock. It reports whether the kernel has all; if not, the rest is
// stuck, and in the ring.
func (c *Conn) flush() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		switch {
		case c.flight == nil && c.out == nil || c.dead != nil:
			return true
		case c.stuck && c.inRing:
			return false
		case c.flight == nil:
			c.sendByHand()
		default:
			ch := newToken()
			c.flusher = append(c.flusher, ch)
			c.mu.Unlock()
			c.e.post(&c.node, wantSend)
			c.e.wait(ch)
			c.mu.Lock()
		}
	}
}

// lastSends is flush before the writing half is shut down. If it reports
// false, the engine shuts it down later.
func (c *Conn) lastSends() bool {
	c.mu.Lock()
	c.broken = true // what is written now must fail at once
	c.mu.Unlock()
	if c.flush() {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.finDue = c.flight != nil
	return !c.finDue
}

// giveUp cancels the send of a closed conn, and has none come after it. Engine
// thread.
func (c *Conn) giveUp(l *loop) {
	c.mu.Lock()
	c.unsend = true
	c.mu.Unlock()
	if c.node.isFlying(kindSend) {
		l.cancel(&c.node, kindSend)
	}
}

// lastFor bounds the time that a closed conn's stuck send may take. Called
// with mu held.
func (c *Conn) lastFor(d time.Duration) {
	c.last.fire = func(int64) { c.e.postHolding(&c.node, wantUnsend) }
	c.e.arm(&c.last, c.e.k.Now()+int64(d))
}
