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
	fd   int // changes while refs is seized
	refs fdRef
	tcp  bool
	// Engine thread only.
	held   bool   // the engine holds a reference
	ended  bool   // closed, as the engine knows
	served uint64 // the turn of the last receive
	node   node

	links[Conn]

	polls atomic.Pointer[poller] // what owns fd while it is in Go's netpoller
	moved *moved                 // where its bytes are counted

	rmu    sync.Mutex // held by a reader, parked or not; guards cur, reads and left
	wmu    sync.Mutex // held by a writer, parked or not; guards credit and writes
	cur    segment    // what the reader is in the middle of
	credit int        // bytes that surely fit into the send buffer
	reads  uint8      // see gears.count
	writes uint8
	left   uint32 // see gears.leaves

	buffered atomic.Int64 // bytes in queue and cur

	mu        sync.Mutex
	dead      error // what the engine died of
	queue     segments
	rerr      error // end of what was received; delivered once
	closed    bool
	armed     bool // a receive is requested or in flight
	starved   bool // the last one found no buffer
	bulk      bool // it filled one: Reads receive by themselves for a while
	linger    bool // SO_LINGER may be set, and the descriptor's number be known
	known     bool // the engine has heard of the conn
	lags      bool // destroyed is closed when a send that is stuck has ended
	destroyed chan struct{}
	batches
	r, w half
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
	if e.compare != nil {
		c.moved = e.tally.next()
	}
	c.r.init(c, &c.mu, false)
	c.w.init(c, &c.mu, true)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		e.k.CloseFD(c.fd)
		return ErrClosed
	}
	push(&e.conns, c)
	e.loaded()
	return nil
}

func (c *Conn) engine() *Engine     { return c.e }
func (c *Conn) place() *links[Conn] { return &c.links }

// sysError is the error of a completion, or of a system call, named as
// package net would name it.
func sysError(call string, res int32) error {
	if res >= 0 {
		return nil
	}
	return os.NewSyscallError(call, syscall.Errno(-res))
}

func (c *Conn) cannot(h *half) error {
	switch {
	case c.closed:
		return net.ErrClosed
	case h.expired():
		return os.ErrDeadlineExceeded
	case c.dead != nil:
		return c.dead
	}
	return c.e.cause()
}

func (c *Conn) try(h *half, _ int) bool {
	if h.write {
		return c.sendAll()
	}
	return c.recv()
}

// check is cannot for who does not hold mu.
func (c *Conn) check(h *half) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cannot(h)
}

// poller is nil until openPoller.
func (c *Conn) poller() *poller { return c.polls.Load() }

// openPoller puts the socket into Go's netpoller. The caller has a reference.
func (c *Conn) openPoller() *poller {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.poller()
	if p == nil {
		p = c.e.k.Poller(c.fd)
		c.polls.Store(p)
	}
	return p
}

// enterPoller is openPoller for who has no reference.
func (c *Conn) enterPoller() {
	if c.acquire() {
		c.openPoller()
		c.drop()
	}
}

// leavePoller takes the socket out of Go's netpoller, which the kernel would
// tell of every message that goes to the ring: epoll does not ask who waits.
// The only way out is to close the descriptor, so that the socket gets another
// one. Not if others know its number. Called with rmu and mu held.
func (c *Conn) leavePoller() {
	p := c.poller()
	if p == nil || c.linger || !c.e.gears.leaves(c.left) || c.flight != nil || c.out != nil || !c.refs.seize() {
		return
	}
	if fd, err := c.e.k.Dup(c.fd); err == nil {
		_ = p.Close()
		c.polls.Store(nil)
		c.fd, c.left = fd, c.e.gears.epoch()
	}
	c.refs.restore()
}

// acquire keeps the descriptor open, and its number, until drop. It fails on a
// closed conn. Not with mu held.
func (c *Conn) acquire() bool {
	if c.refs.acquire() {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refs.acquire() // who seized them has let go of mu
}

func (c *Conn) closeFD() error {
	if p := c.poller(); p != nil {
		return p.Close()
	}
	return c.e.k.CloseFD(c.fd)
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
		c.r.setDeadline(d)
	}
	if write {
		c.w.setDeadline(d)
	}
	return nil
}

// serve turns a caller's wishes into requests. Engine thread.
func (c *Conn) serve(l *loop, w want) {
	if w&wantEnd != 0 {
		c.end(l)
	}
	if w&wantUnsend != 0 {
		c.giveUp(l)
	}
	if c.ended {
		return // and so is whatever a caller asked for too late
	}
	if w&wantRecv != 0 && !c.node.isFlying(kindRecv) {
		c.arm(l)
	}
	if w&wantSend != 0 {
		c.startSend(l)
	}
	if w&wantIdle != 0 && c.node.isFlying(kindRecv) {
		l.cancel(&c.node, kindRecv)
	}
	c.settle(l)
}

// end cancels the receive of a closed conn, and wakes who waits for a
// completion that will not come. Sends that are stuck get a while to end.
// Engine thread.
func (c *Conn) end(l *loop) {
	c.ended = true
	if c.node.isFlying(kindRecv) {
		l.cancel(&c.node, kindRecv)
	}
	c.mu.Lock()
	if !c.node.isFlying(kindRecv) {
		c.armed = false
		l.readied = c.r.wake(0, nil) || l.readied
	}
	if c.node.isFlying(kindSend) {
		c.lastFor(closeTime)
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
		l.e.timers.drop(&c.last)
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
	case kindSend:
		c.sent(l, cqe)
	}
}

// fail ends all waits because the engine died.
func (c *Conn) fail(err error) {
	c.mu.Lock()
	c.armed, c.dead = false, err
	c.r.wake(0, err)
	c.w.wake(0, err)
	c.release()
	c.mu.Unlock()
	_ = c.shutdown(unix.SHUT_RDWR) // what was in flight ends with the ring
}

// Shutdown shuts one direction down: unix.SHUT_RD or unix.SHUT_WR.
func (c *Conn) Shutdown(how int) error {
	c.mu.Lock()
	closed := c.closed
	c.mu.Unlock()
	if closed {
		return net.ErrClosed
	}
	if how == unix.SHUT_RD {
		return c.shutdown(how)
	}
	if !c.lastSends() {
		return nil // the engine will
	}
	c.mu.Lock()
	gone, closed := c.gone, c.closed
	c.mu.Unlock()
	switch {
	case gone && closed: // Close has given up what was stuck
		return net.ErrClosed
	case gone:
		return os.NewSyscallError("shutdown", unix.ENOTCONN) // as after a reset
	}
	return c.shutdown(how)
}

func (c *Conn) shutdown(how int) error {
	if !c.acquire() {
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
	c.e.loaded()
	c.e.mu.Unlock()
	c.mu.Lock()
	done, lags := c.destroyed, c.lags
	c.mu.Unlock()
	switch { // with SO_LINGER it may block
	case done != nil:
		done <- struct{}{} // Close waits to do it
	case lags:
		go c.closeFD()
	default:
		_ = c.closeFD()
	}
}

// Close ends the conn: parked calls return net.ErrClosed, and the socket is
// closed as close(2) would do it, with a FIN, or a RST if something was left
// unread. What Write has accepted is in the kernel when it returns. A second
// Close returns net.ErrClosed.
func (c *Conn) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return net.ErrClosed
	}
	c.closed = true
	waits := c.r.waiting || c.w.waiting
	c.r.interrupt(net.ErrClosed)
	c.w.interrupt(net.ErrClosed)
	c.mu.Unlock()
	c.flush()

	c.mu.Lock()
	stuck := c.flight != nil
	busy := c.armed || stuck
	known := c.known
	unread := c.buffered.Load() > 0
	resets := unread || c.gone
	c.queue.drop(c.e.group)
	// Who is left to close it must not be kept in close(2) for long, nor Close
	// by what is stuck.
	wants := wantEnd
	switch {
	case busy && unread:
		wants |= wantUnsend // the socket is reset anyway
		c.destroyed = newToken()
	case stuck:
		c.lags = c.linger
	case c.linger && (known || waits):
		c.destroyed = newToken()
	}
	done := c.destroyed
	lost := c.lost
	if lost != nil {
		c.lost, c.rerr = nil, nil // a Write under way gets its own error
	}
	c.mu.Unlock()
	c.e.timers.drop(&c.r.timer)
	c.e.timers.drop(&c.w.timer)

	c.refs.close()
	c.dropCur() // after refs.close: of Close and a reader one sees the other
	if resets && c.tcp {
		_ = c.e.k.ResetOnClose(c.fd) // as the kernel does for what it holds itself
	}
	switch {
	case !known:
	case !busy:
		c.e.postQuietly(&c.node, wantEnd) // only to free the slot
	default:
		// Not shutdown(2): the ring may hold bytes that nobody has seen yet,
		// and then the socket must be reset, without a FIN before.
		c.e.post(&c.node, wants)
	}
	c.drop()
	if done != nil {
		<-done
		if err := os.NewSyscallError("close", c.closeFD()); err != nil {
			return err
		}
	}
	return lost
}
