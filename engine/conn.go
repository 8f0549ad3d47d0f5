//go:build linux

package engine

import (
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/quoit-go/quoit/engine/internal/clock"
	"github.com/quoit-go/quoit/engine/internal/gear"
)

// Conn is a connected stream socket. Its methods may be called from any
// goroutine. Errors are plain: io.EOF, net.ErrClosed, os.ErrDeadlineExceeded,
// or *os.SyscallError.
type Conn struct {
	e     *Engine
	tcp   bool
	meter *gear.Meter              // where its Reads and bytes are counted
	local atomic.Pointer[net.Addr] // nil until LocalAddr
	node  node
	descriptor
	reader
	writer
	served // the engine's thread's

	mu     sync.Mutex // guards the rest, and what reader and writer say
	closed bool
	shared bool // others may reach the socket
	known  bool // the engine has heard of the conn
	poll   pollState
	relay  relayer // from this conn to another one
	outgoing
	fate
}

// served is what the engine's thread has to know of a conn that it serves.
type served struct {
	held bool   // the engine holds a reference to the descriptor
	turn uint64 // of the last completion of the poll
}

// descriptor is a Conn's, with who uses it and what owns its number.
type descriptor struct {
	fd    int
	refs  fdRef
	polls atomic.Pointer[poller] // what owns fd once it is in Go's netpoller

	// entering is held by the caller that puts fd there, which is a system call: mu,
	// which the engine's thread waits for, is not.
	entering sync.Mutex

	idle chan struct{} // Close waits here for the last reference; guarded by Conn.mu
}

// reader is a Conn's part for readers. rmu is held by a Read, parked or not, and
// guards what half says is its owner's.
type reader struct {
	rmu   callLock
	r     half
	reads uint8 // see gear.Box.Count

	got atomic.Bool // bytes that no Write has followed; see Conn.follows
}

// writer is a Conn's part for writers. wmu is held by a Write, parked or not, and
// guards what half says is its owner's.
type writer struct {
	wmu    callLock
	w      half
	credit int   // bytes that surely fit into the send buffer
	writes uint8 // see gear.Box.Count
	run    uint8 // Writes since a Read brought something, as far as two
	pace   pace

	buffers *[][]byte // of the WriteBuffers under way, in the place of w.p
}

// outgoing is what Write has accepted and the kernel has not. out fills while
// flight is on its way. Guarded by Conn.mu.
type outgoing struct {
	out      *batch
	flight   *batch
	state    flightState
	flushers waiters // who is in flush
}

// flushed reports whether the kernel has all that it will get.
func (o *outgoing) flushed() bool { return o.state.ended() && o.out == nil }

// Socket is a stream conn of package net.
type Socket interface {
	net.Conn
	syscall.Conn
}

// NewConn takes over s, a connected stream socket. foreign says that others may
// hold the socket, or know its number, too: then it is served through the
// descriptor that s has, in the netpoller. Else it gets another one, for the
// kernel would tell the netpoller of each message, also of those that the ring
// waits for, and closing s is the only way out. On an error s has been closed.
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
	local := s.LocalAddr()
	c.local.Store(&local)
	c.polls.Store(&poller{rc, netConn{s}})
	if !foreign {
		c.ownDescriptor(s)
	}
	e.stats.Adopted.Add(1)
	if err := e.open(c); err != nil {
		_ = c.closeFD()
		return nil, err
	}
	return c, nil
}

// ownDescriptor has a new conn go on with a descriptor of its own, where there is one.
func (c *Conn) ownDescriptor(s Socket) {
	if fd, err := c.e.k.Dup(c.fd); err == nil {
		s.Close()
		c.fd = fd
		c.polls.Store(nil)
	}
}

// open makes c known to Engine.Close. On an error the descriptor is the caller's to
// close.
func (e *Engine) open(c *Conn) error {
	c.refs.init()
	c.node.h = c
	c.meter = e.gear.Meter()
	c.r.init(c, &c.mu, false)
	c.w.init(c, &c.mu, true)
	c.pace.init()
	if !c.enlist() {
		return ErrClosed
	}
	return nil
}

// enlist shows c to Engine.Close, unless that has begun.
func (c *Conn) enlist() bool {
	c.e.mu.Lock()
	defer c.e.mu.Unlock()
	if c.e.closed {
		return false
	}
	c.e.conns.push(&c.node)
	c.e.loaded()
	return true
}

func (c *Conn) engine() *Engine { return c.e }

func (c *Conn) cannot(h *half) error {
	switch {
	case c.closed:
		return net.ErrClosed
	case h.expired():
		return os.ErrDeadlineExceeded
	}
	return nil
}

// mayWatch reports whether a Read that has to wait does so on the ring.
func (c *Conn) mayWatch() bool { return c.tcp && c.e.gear.Hot() }

// check is cannot for callers that do not hold mu.
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

func (c *Conn) closeFD() error {
	if p := c.polls.Load(); p != nil {
		return p.Close()
	}
	return c.e.k.CloseFD(c.fd)
}
