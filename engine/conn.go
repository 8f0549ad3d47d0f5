//go:build linux

package engine

import (
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/engine/internal/clock"
	"github.com/quoit-go/quoit/engine/internal/gear"
	"github.com/quoit-go/quoit/engine/ring"
)

// Conn is a connected stream socket. Its methods may be called from any
// goroutine. Errors are plain: io.EOF, net.ErrClosed, os.ErrDeadlineExceeded,
// *os.SyscallError, or what the engine died of.
type Conn struct {
	e     *Engine
	tcp   bool
	meter *gear.Meter // where its Reads and bytes are counted
	node  node
	links[Conn]
	descriptor
	reader
	writer
	served // the engine's thread's

	mu     sync.Mutex // guards the rest, and what reader and writer say
	dead   error      // what the engine died of
	closed bool
	shared bool // others may reach the socket
	known  bool // the engine has heard of the conn
	poll   pollState
	outgoing
	fate
}

// served is what the engine's thread has to know of a conn that it serves.
type served struct {
	held bool   // the engine holds a reference to the descriptor
	turn uint64 // of the last completion of the poll
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
	c := &Conn{e: e, descriptor: descriptor{fd: fd}, tcp: tcp, shared: foreign}
	c.polls.Store(&poller{rc, netConn{s}})
	e.stats.Adopted.Add(1)
	return c, e.open(c)
}

// open makes c known to Engine.Close.
func (e *Engine) open(c *Conn) error {
	c.refs.init()
	c.node.h = c
	c.meter = e.gear.Meter()
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

// SetDeadlines sets the read and write deadline as asked.
func (c *Conn) SetDeadlines(t time.Time, read, write bool) error {
	d := clock.Deadline(c.e.k, t)
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
