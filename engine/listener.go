//go:build linux

package engine

import (
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/engine/internal/clock"
	"github.com/quoit-go/quoit/internal/sock"
)

// Listener accepts on a listening stream socket, or on a group of them, see
// sockets. Accept calls accept4(2) and waits in Go's netpoller, in both gears:
// what nobody has asked for stays in the socket, for whoever else may have it.
// The ring accepts nothing. A Listener has an engine only to be closed with it.
type Listener struct {
	e     *Engine
	tcp   bool
	many  *sockets                 // nil if it is no group
	place func(socket int) *Engine // for a conn
	shut  func() error             // closes the sockets; called once no Accept uses them
	poll  *poller                  // a duplicate of the socket, or the epoll set of a group

	amu sync.Mutex // held by an accepter, parked or not; guards got
	got accepted

	mu     sync.Mutex // guards closed, and what half says
	closed bool
	a      half

	counted listenerCounts
}

// NewListener serves fd, a nonblocking listening socket. place returns the
// engine for a conn, any goroutine's. Close calls shut to close fd; on an error fd
// stays the caller's.
func (e *Engine) NewListener(fd int, tcp bool, place func(socket int) *Engine, shut func() error) (*Listener, error) {
	dup, err := e.k.Dup(fd) // fd itself is in the netpoller for its maker
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	l := &Listener{e: e, tcp: tcp, place: place, shut: shut}
	l.counted.fds = []int{fd}
	return l, e.openListener(l, dup)
}

// NewGroup is NewListener for the sockets of a SO_REUSEPORT group, all TCP.
func (e *Engine) NewGroup(fds []int, s Spread, shut func() error) (*Listener, error) {
	many, set, err := newSockets(fds, s)
	if err != nil {
		return nil, err
	}
	l := &Listener{e: e, tcp: true, many: many, place: s.Place, shut: shut}
	l.counted.fds = fds
	return l, e.openListener(l, set)
}

// openListener makes l known to Engine.Close. It takes over polled, which l
// waits for in the netpoller.
func (e *Engine) openListener(l *Listener, polled int) error {
	l.a.init(l, &l.mu, false)
	l.poll = e.k.Poller(polled)
	if !l.enlist() {
		_ = l.poll.Close()
		return ErrClosed
	}
	return nil
}

// enlist shows l to Engine.Close, unless that has begun.
func (l *Listener) enlist() bool {
	e := l.e
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return false
	}
	e.listeners[l] = struct{}{}
	return true
}

func (l *Listener) engine() *Engine { return l.e }

func (l *Listener) poller() *poller { return l.poll }

// SetDeadline bounds Accept, the call under way too.
func (l *Listener) SetDeadline(t time.Time) error {
	d := clock.Deadline(l.e.k, t)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return net.ErrClosed
	}
	l.a.setDeadline(d)
	return nil
}

func (l *Listener) cannot(h *half) error {
	switch {
	case l.closed:
		return net.ErrClosed
	case h.expired():
		return os.ErrDeadlineExceeded
	}
	return nil
}

// check is cannot for callers that do not hold mu.
func (l *Listener) check() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cannot(&l.a)
}

// Accept returns the next conn and its peer's address, in package net's form.
func (l *Listener) Accept() (*Conn, net.Addr, error) {
	a, err := l.next()
	if err != nil {
		_, accepting := err.(*os.SyscallError)
		if failed := l.e.cfg.AcceptFailed; failed != nil && accepting {
			failed(err) // with no lock held, for it may close the listener
		}
		return nil, nil, err
	}
	e := l.place(a.socket)
	c := &Conn{e: e, descriptor: descriptor{fd: a.fd}, tcp: l.tcp}
	if e.open(c) != nil {
		_ = e.k.ResetOnClose(a.fd) // as if it had not been accepted
		_ = c.closeFD()
		return nil, nil, net.ErrClosed // so are the listeners of a closed engine
	}
	e.stats.Accepted.Add(1)
	l.counted.accepted.Add(1)
	return c, sock.NetAddr(a.peer, l.tcp), nil
}

// next waits for a conn.
func (l *Listener) next() (accepted, error) {
	l.amu.Lock()
	defer l.amu.Unlock()
	if err := l.check(); err != nil {
		return accepted{}, err
	}
	if err := l.a.polled(nil); err != nil {
		if why := l.check(); why != nil {
			err = why // the netpoller only says that the poller is closed
		}
		return accepted{}, err
	}
	return l.got, l.a.err
}

// try is accept4(2), with its result in got.
func (l *Listener) try(h *half, fd int) bool {
	l.got, h.err = l.accept(fd)
	return h.err != unix.EAGAIN
}

// accept returns a bare EAGAIN if there is nothing.
func (l *Listener) accept(fd int) (a accepted, err error) {
	for {
		if l.many != nil {
			a, err = l.many.accept(l.e.k, fd)
		} else {
			a.fd, a.peer, err = l.e.k.Accept(fd)
		}
		switch err {
		case nil, unix.EAGAIN:
			return a, err
		case unix.EINTR, unix.ECONNABORTED:
		default:
			l.e.stats.AcceptFailures.Add(1)
			l.counted.failures.Add(1)
			return a, os.NewSyscallError("accept4", err)
		}
	}
}

// Close ends the listener and returns when its address is free. Conns that
// Accept has not returned are reset. A second Close returns net.ErrClosed.
func (l *Listener) Close() error {
	if !l.beginClose() {
		return net.ErrClosed
	}
	_ = l.poll.Close() // waits until no Accept is in it
	l.e.mu.Lock()
	delete(l.e.listeners, l)
	l.e.mu.Unlock()
	l.counted.end()
	return l.shut()
}

// beginClose marks the listener closed, once, and ends the wait of an Accept.
func (l *Listener) beginClose() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.closed = true
	l.a.end(net.ErrClosed)
	return true
}

// Listening asks the sockets of the open listeners. The order is none.
func (e *Engine) Listening() (out []ListenerStats) {
	e.mu.Lock()
	members := e.allListeners()
	e.mu.Unlock()
	for _, m := range members {
		l := m.(*Listener)
		if s, open := l.counted.snapshot(l.tcp); open {
			out = append(out, s)
		}
	}
	return out
}
