//go:build linux

package engine

import (
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/engine/ring"
)

// Conn is a connected stream socket. Its methods may be called from any
// goroutine. Errors are plain: io.EOF, net.ErrClosed, os.ErrDeadlineExceeded,
// *os.SyscallError, or what the engine died of.
type Conn struct {
	e    *Engine
	fd   int
	tcp  bool
	refs fdRef
	node node
	// Engine thread only.
	held  bool // the engine holds a reference
	ended bool // closed, as the engine knows

	links[Conn]

	rmu sync.Mutex // held by a reader, parked or not; guards cur
	cur segment    // what the reader is in the middle of

	wmu sync.Mutex // held by a writer, parked or not

	buffered atomic.Int64 // bytes in queue and cur
	rlimit   atomic.Int64 // deadlines in engine time; 0 none. Written under mu
	wlimit   atomic.Int64

	mu        sync.Mutex
	closed    bool
	dead      error // what the engine died of
	queue     segments
	rerr      error // end of what was received; delivered once
	armed     bool  // a receive or poll for reading is requested or in flight
	pollOut   bool  // a poll for writing is requested or in flight
	unsend    bool  // the send in flight is being cancelled
	linger    bool  // SO_LINGER may be set
	known     bool  // the engine has heard of the conn
	destroyed chan struct{}
	r, w      waiter
}

// NewConn takes over fd, a connected nonblocking stream socket. foreign says
// that others may hold the socket, too, or have set SO_LINGER on it. On an
// error fd has been closed.
func (e *Engine) NewConn(fd int, tcp, foreign bool) (*Conn, error) {
	c := &Conn{e: e, fd: fd, tcp: tcp, linger: foreign}
	e.stats.adopted.Add(1)
	return c, e.open(c)
}

// open makes c known to Engine.Close.
func (e *Engine) open(c *Conn) error {
	c.refs.init()
	c.node.h = c
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		e.k.CloseFD(c.fd)
		return ErrClosed
	}
	push(&e.conns, c)
	return nil
}

func (c *Conn) place() *links[Conn] { return &c.links }

// sysError is the error of a completion, or of a system call, named as
// package net would name it.
func sysError(call string, res int32) error {
	if res >= 0 {
		return nil
	}
	return os.NewSyscallError(call, syscall.Errno(-res))
}

// expired reports whether a deadline, of rlimit or wlimit, has passed.
func (c *Conn) expired(limit *atomic.Int64) bool {
	d := limit.Load()
	return d != 0 && (d == 1 || d <= c.e.k.Now())
}

// state is why an operation cannot go on. Called with mu held.
func (c *Conn) state(limit *atomic.Int64) error {
	switch {
	case c.closed:
		return net.ErrClosed
	case c.expired(limit):
		return os.ErrDeadlineExceeded
	}
	return c.dead
}

// SetDeadlines sets the read and write deadline as asked.
func (c *Conn) SetDeadlines(t time.Time, read, write bool) error {
	d := deadline(c.e.k, t)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	if read {
		c.rlimit.Store(d)
		c.moved(&c.r, &c.rlimit, d)
	}
	if write {
		c.wlimit.Store(d)
		c.moved(&c.w, &c.wlimit, d)
	}
	return nil
}

// moved applies a new deadline to a parked caller. Called with mu held.
func (c *Conn) moved(w *waiter, limit *atomic.Int64, d int64) {
	switch {
	case !w.waiting || d == 0:
	case d == 1 || d <= c.e.k.Now():
		c.interrupt(w, os.ErrDeadlineExceeded)
	default:
		c.armTimer(w, limit, d)
	}
}

// armTimer has w's deadline looked at when it is due. Called with mu held.
func (c *Conn) armTimer(w *waiter, limit *atomic.Int64, d int64) {
	if w.timer.fire == nil {
		w.timer.fire = func(now int64) { c.timeout(w, limit, now) }
	}
	c.e.arm(&w.timer, d)
}

// interrupt ends a wait with err, a send's by cancelling it. Called with mu
// held.
func (c *Conn) interrupt(w *waiter, err error) {
	switch {
	case !w.waiting || w.state == waitIdle:
	case w.state == waitSend:
		if !c.unsend {
			c.unsend = true
			// If the engine is dead, or dies, the send fails without it.
			c.e.postHolding(&c.node, wantUnsend)
		}
	default:
		w.wake(0, err)
	}
}

// park waits for w, which the caller has prepared and mu with it, and returns
// with mu released.
func (c *Conn) park(w *waiter, limit *atomic.Int64, ask want) {
	if d := limit.Load(); d != 0 && w.state != waitIdle {
		c.armTimer(w, limit, d)
	}
	c.known = true
	c.mu.Unlock()
	if ask != wantNothing {
		c.e.post(&c.node, ask)
	}
	<-w.ch
}

// timeout is a timer's end. The deadline may have moved since it was set.
func (c *Conn) timeout(w *waiter, limit *atomic.Int64, now int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch d := limit.Load(); {
	case d == 0 || !w.waiting || c.closed:
	case d <= now:
		c.interrupt(w, os.ErrDeadlineExceeded)
	default:
		c.armTimer(w, limit, d)
	}
}

// serve turns a caller's wishes into requests. Engine thread.
func (c *Conn) serve(l *loop, w want) {
	if w&wantEnd != 0 {
		c.end(l)
	}
	if c.ended {
		return // and so is whatever a caller asked for too late
	}
	if w&(wantRecv|wantPollIn) != 0 && !c.node.isFlying(kindRecv) && !c.node.isFlying(kindPollIn) {
		c.armRead(l, w&wantPollIn != 0)
	}
	if w&wantPollOut != 0 && !c.node.isFlying(kindPollOut) && c.hold() {
		s, ud := l.start(&c.node, kindPollOut)
		s.PrepPollAdd(int32(c.fd), unix.POLLOUT, ud)
	}
	if w&wantSend != 0 {
		c.startSend(l)
	}
	if w&wantUnsend != 0 && c.node.isFlying(kindSend) {
		l.cancel(&c.node, kindSend)
	}
	if w&wantIdle != 0 {
		for _, k := range []kind{kindRecv, kindPollIn} {
			if c.node.isFlying(k) {
				l.cancel(&c.node, k)
			}
		}
	}
}

// end cancels what is in flight of a closed conn, and wakes who waits for a
// completion that will not come. Engine thread.
func (c *Conn) end(l *loop) {
	c.ended = true
	l.cancelAll(&c.node)
	c.mu.Lock()
	if !c.node.isFlying(kindRecv) && !c.node.isFlying(kindPollIn) {
		c.armed = false
		l.readied = c.r.wake(0, nil) || l.readied
	}
	if !c.node.isFlying(kindSend) {
		l.readied = c.w.wake(0, nil) || l.readied
	}
	c.mu.Unlock()
	c.settle(l)
}

// hold keeps the descriptor open while requests are in flight. It fails on a
// closed conn. Engine thread.
func (c *Conn) hold() bool {
	if !c.held {
		c.held = c.refs.acquire()
	}
	return c.held
}

// settle lets go of the descriptor, and of the slot once closed, when nothing
// is in flight. Engine thread.
func (c *Conn) settle(l *loop) {
	if c.node.flying != 0 {
		return
	}
	c.mu.Lock()
	closed := c.closed
	c.mu.Unlock()
	if closed {
		l.slots.vacate(&c.node)
	}
	if c.held {
		c.held = false
		c.drop()
	}
}

// complete takes a completion. Engine thread.
func (c *Conn) complete(l *loop, k kind, cqe *ring.CQE) {
	c.completed(l, k, cqe)
	c.settle(l)
}

func (c *Conn) completed(l *loop, k kind, cqe *ring.CQE) {
	c.mu.Lock()
	defer c.mu.Unlock() // fail takes it, if this panics
	switch k {
	case kindRecv:
		c.received(l, cqe)
	case kindPollIn:
		c.armed = false
		l.readied = c.r.wake(0, nil) || l.readied
	case kindPollOut:
		c.pollOut = false
		if c.w.state == waitPoll {
			l.readied = c.w.wake(0, nil) || l.readied
		}
	case kindSend:
		c.sent(l, cqe)
	}
}

// fail ends all waits because the engine died.
func (c *Conn) fail(err error) {
	c.mu.Lock()
	c.armed, c.pollOut, c.dead = false, false, err
	c.r.wake(0, err)
	c.w.wake(0, err)
	c.mu.Unlock()
	_ = c.Shutdown(unix.SHUT_RDWR) // what was in flight ends with the ring
}

// Shutdown shuts one direction down: unix.SHUT_RD or unix.SHUT_WR.
func (c *Conn) Shutdown(how int) error {
	if !c.refs.acquire() {
		return net.ErrClosed
	}
	defer c.drop()
	return os.NewSyscallError("shutdown", c.e.k.Shutdown(c.fd, how))
}

// SetLinger is setsockopt(SO_LINGER) as net.TCPConn.SetLinger means it.
func (c *Conn) SetLinger(sec int) error {
	var l unix.Linger
	if sec >= 0 {
		l = unix.Linger{Onoff: 1, Linger: int32(sec)}
		c.mayLinger()
	}
	var serr error
	err := c.Control(func(fd uintptr) {
		serr = unix.SetsockoptLinger(int(fd), unix.SOL_SOCKET, unix.SO_LINGER, &l)
	})
	if err != nil {
		return err
	}
	return os.NewSyscallError("setsockopt", serr)
}

// drop releases a reference to the descriptor and closes it after the last.
func (c *Conn) drop() {
	if !c.refs.release() {
		return
	}
	c.e.mu.Lock()
	remove(&c.e.conns, c)
	c.e.mu.Unlock()
	c.mu.Lock()
	done := c.destroyed
	c.mu.Unlock()
	if done != nil {
		done <- struct{}{} // Close waits to do it: with SO_LINGER it may block
		return
	}
	c.e.k.CloseFD(c.fd)
}

// Close ends the conn: parked calls return net.ErrClosed, and the socket is
// closed as close(2) would do it, with a FIN, or a RST if something was left
// unread. A second Close returns net.ErrClosed.
func (c *Conn) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return net.ErrClosed
	}
	c.closed = true
	busy := c.armed || c.pollOut || c.w.waiting
	known := c.known
	c.interrupt(&c.r, net.ErrClosed)
	c.interrupt(&c.w, net.ErrClosed)
	unread := c.buffered.Load() > 0
	c.queue.drop(c.e.group)
	if busy && unread || c.linger && c.known { // the engine must not block in close(2)
		c.destroyed = newToken()
	}
	done := c.destroyed
	c.mu.Unlock()
	c.e.timers.drop(&c.r.timer)
	c.e.timers.drop(&c.w.timer)

	c.refs.close()
	c.dropCur() // after refs.close: of Close and a reader one sees the other
	if unread && c.tcp {
		_ = c.e.k.ResetOnClose(c.fd) // as the kernel does for what it holds itself
	}
	switch {
	case !known:
	case !busy:
		c.e.postQuietly(&c.node, wantEnd) // only to free the slot
	default:
		// Not shutdown(2): the ring may hold bytes that nobody has seen yet,
		// and then the socket must be reset, without a FIN before.
		c.e.post(&c.node, wantEnd)
	}
	c.drop()
	if done != nil {
		<-done
		return os.NewSyscallError("close", c.e.k.CloseFD(c.fd))
	}
	return nil
}
