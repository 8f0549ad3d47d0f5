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
	served uint64 // the turn of the last completion
	node   node

	links[Conn]

	polls atomic.Pointer[poller] // what owns fd while it is in Go's netpoller
	moved *moved                 // where its Reads and bytes are counted

	rmu    sync.Mutex // held by a reader, parked or not; guards reads and left
	wmu    sync.Mutex // held by a writer, parked or not; guards credit and writes
	credit int        // bytes that surely fit into the send buffer
	reads  uint8      // see gears.count
	writes uint8
	left   uint32 // see gears.leaves

	mu     sync.Mutex
	dead   error // what the engine died of
	closed bool
	shared bool          // others may reach the socket
	known  bool          // the engine has heard of the conn
	idle   chan struct{} // Close waits here for the last reference
	poll   pollState
	outgoing
	fate
	r, w half
}

// Socket is a stream conn of package net.
type Socket interface {
	net.Conn
	syscall.Conn
}

// NewConn takes over s, a connected stream socket, and serves it through the
// descriptor that s has. foreign says that others may hold the socket, too. On
// an error s has been closed.
func (e *Engine) NewConn(s Socket, tcp, foreign bool) (*Conn, error) {
	fd := -1
	rc, err := s.SyscallConn()
	if err == nil {
		err = rc.Control(func(n uintptr) { fd = int(n) })
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	c := &Conn{e: e, fd: fd, tcp: tcp, shared: foreign}
	c.polls.Store(&poller{rc, netConn{s}})
	e.stats.adopted.Add(1)
	return c, e.open(c)
}

// open makes c known to Engine.Close.
func (e *Engine) open(c *Conn) error {
	c.refs.init()
	c.node.h = c
	c.moved = e.tally.next()
	c.r.init(c, &c.mu, false)
	c.w.init(c, &c.mu, true)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		_ = c.closeFD()
		return ErrClosed
	}
	push(&e.conns, c)
	e.loaded()
	return nil
}

func (c *Conn) engine() *Engine     { return c.e }
func (c *Conn) place() *links[Conn] { return &c.links }

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
	return c.intoPoller()
}

// intoPoller is openPoller with mu held.
func (c *Conn) intoPoller() *poller {
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
	if p == nil || c.shared || !c.e.gears.leaves(c.left) || !c.flushed() || !c.refs.seize() {
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
	if w&wantCancelSend != 0 {
		c.cancelSend(l)
	}
	if c.ended {
		return // and so is whatever a caller asked for too late
	}
	if w&wantWatch != 0 && !c.node.isFlying(kindPoll) {
		c.arm(l)
	}
	if w&wantSend != 0 {
		c.startSend(l)
	}
	c.settle(l)
}

// end cancels the poll of a closed conn. Engine thread.
func (c *Conn) end(l *loop) {
	c.ended = true
	if c.node.isFlying(kindPoll) {
		l.cancel(&c.node, kindPoll)
	}
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
		if idle := c.dropLast(); idle != nil {
			l.wakes.push(wakeup{ch: idle})
		}
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
	case kindPoll:
		c.readable(l, cqe)
	case kindSend:
		c.sent(l, cqe)
	}
}

// fail ends all waits because the engine died.
func (c *Conn) fail(err error) {
	c.mu.Lock()
	c.poll, c.dead = pollIdle, err
	c.r.wake(err)
	c.w.wake(err)
	c.flushers.release(c.e)
	shared := c.shared
	c.mu.Unlock()
	if !shared { // others may go on with the socket
		_ = c.shutdown(unix.SHUT_RDWR) // what was in flight ends with the ring
	}
}

// Shutdown shuts one direction down: unix.SHUT_RD or unix.SHUT_WR. What Write has
// accepted is in the kernel by then. If it cannot be, the kernel being short of
// memory, the end follows it later.
func (c *Conn) Shutdown(how int) error {
	if how == unix.SHUT_RD {
		return c.shutdown(how)
	}
	c.fails() // what is written now must fail at once
	if c.refs.closed() {
		return net.ErrClosed
	}
	if c.flush(false) {
		return c.shutdownWrite()
	}
	go func() {
		c.flush(true)
		_ = c.shutdownWrite()
	}()
	return nil
}

// shutdownWrite shuts the writing half down after flush.
func (c *Conn) shutdownWrite() error {
	c.mu.Lock()
	damage, closed := c.damage, c.closed
	c.mu.Unlock()
	switch {
	case closed:
		return net.ErrClosed
	case damage == holed:
		return os.NewSyscallError("shutdown", unix.ENOTCONN) // as after a reset
	}
	return c.shutdown(unix.SHUT_WR)
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

// drop releases a reference to the descriptor. After the last, who waits in
// Close closes it.
func (c *Conn) drop() {
	if idle := c.dropLast(); idle != nil {
		c.e.ready(idle)
	}
}

// dropLast is drop, but returns what Close waits for, if it does.
func (c *Conn) dropLast() (idle chan<- struct{}) {
	if !c.refs.release() {
		return nil
	}
	c.unlist()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.idle
}

// unlist hides c from Engine.Close.
func (c *Conn) unlist() {
	c.e.mu.Lock()
	defer c.e.mu.Unlock()
	remove(&c.e.conns, c)
	c.e.loaded()
}

// closeTime is how long a closed conn may go on with what Write had accepted.
const closeTime = time.Minute

// Close ends the conn: parked calls return net.ErrClosed, and the socket is
// closed by close(2) before Close returns, with a FIN, or a RST if something
// was left unread. What Write has accepted is in the kernel by then, unless the
// kernel is short of memory: then Close returns, and a goroutine waits for that
// for up to closeTime and calls close(2). A second Close returns net.ErrClosed.
func (c *Conn) Close() error {
	if !c.beginClose() {
		return net.ErrClosed
	}
	if c.flush(false) {
		lost := c.tellLost()
		if err := c.endClose(); err != nil {
			return err
		}
		return lost
	}
	c.refs.close() // nobody else may use the descriptor meanwhile
	go func() {
		t := time.AfterFunc(closeTime, func() { c.e.post(&c.node, wantCancelSend) })
		c.flush(true)
		t.Stop()
		_ = c.endClose()
	}()
	return nil
}

// endClose is Close after flush.
func (c *Conn) endClose() error {
	p := c.planClose()
	c.e.timers.drop(&c.r.timer)
	c.e.timers.drop(&c.w.timer)
	c.refs.close()
	if p.reset && c.tcp {
		_ = c.e.k.ResetOnClose(c.fd) // as the kernel does for what it drops itself
	}
	switch {
	case !p.known:
	case !p.armed:
		c.e.postQuietly(&c.node, wantEnd) // only to free the slot
	default:
		// Not shutdown(2), which would be faster: where close(2) resets, for
		// SO_LINGER or for bytes left unread, no FIN must come first.
		c.e.post(&c.node, wantEnd)
	}
	return os.NewSyscallError("close", c.closeLast())
}

// tellLost is why accepted bytes were lost, if nobody has been told. A Write
// under way gets its own error.
func (c *Conn) tellLost() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tell("write")
}

// beginClose marks the conn closed, once, and ends the waits of Reads and
// Writes.
func (c *Conn) beginClose() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.closed = true
	c.r.wake(net.ErrClosed)
	c.w.wake(net.ErrClosed)
	return true
}

// closing is what Close finds of a conn.
type closing struct {
	known bool // to the engine
	armed bool // a poll is to be cancelled
	reset bool // accepted bytes were lost
}

// planClose looks at what there is to end.
func (c *Conn) planClose() closing {
	c.mu.Lock()
	defer c.mu.Unlock()
	return closing{known: c.known, armed: c.poll.isArmed(), reset: c.damage == holed}
}

// closeLast drops the owner's reference and, when all others have been
// dropped, closes the descriptor. refs is closed, so that no new ones come.
func (c *Conn) closeLast() error {
	var idle chan struct{}
	if !c.refs.alone() {
		idle = newToken()
		c.mu.Lock()
		c.idle = idle
		c.mu.Unlock()
	}
	if c.refs.release() {
		c.unlist()
	} else {
		c.e.wait(idle)
	}
	return c.closeFD()
}
