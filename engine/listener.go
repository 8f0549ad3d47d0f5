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

// acceptAhead bounds the conns that a listener has accepted and Accept has
// not returned; the rest waits in the kernel's backlog.
const acceptAhead = 128

// Listener accepts on a listening stream socket, or on a group of them, see sockets.
// Like the read half of a Conn it is idle, and Accept calls accept4(2) itself
// and waits in Go's netpoller, or, on a hot engine and with one socket, armed
// with a multishot accept. What ends that (EMFILE, a full completion queue, a
// long queue) leaves it idle, so that the next Accept meets the cause as it
// would with package net, and re-arms only when accept4(2) finds nothing: a
// lack of descriptors makes nobody spin.
type Listener struct {
	e    *Engine
	fd   int // or the epoll set of a group
	tcp  bool
	many *sockets                 // nil if it is no group
	spot func(socket int) *Engine // for a conn; nil: e
	shut func() error             // closes the sockets; called once nothing is in flight
	node node
	links[Listener]

	polls atomic.Pointer[poller] // a duplicate of fd, once it is in Go's netpoller

	amu sync.Mutex // held by an accepter, parked or not; guards got
	got accepted

	mu     sync.Mutex
	closed bool
	dead   error
	linger bool // accepted conns may inherit SO_LINGER
	queue  []accepted
	armed  bool
	full   bool // the accept in flight is being cancelled
	a      half
	closer half // the Close that awaits the end of what is in flight
	ended  bool // engine thread only
}

// accepted is a conn that waits for Accept.
type accepted struct {
	fd     int
	peer   syscall.Sockaddr // nil if it was gone before it could be asked
	socket int              // that it came to
}

// NewListener serves fd, a nonblocking listening socket. place returns the
// engine for a conn, any goroutine's; with nil all are e's. Close calls shut to
// close fd; on an error it stays the caller's.
func (e *Engine) NewListener(fd int, tcp bool, place func(socket int) *Engine, shut func() error) (*Listener, error) {
	l := &Listener{e: e, fd: fd, tcp: tcp, spot: place, shut: shut}
	return l, e.openListener(l)
}

// NewGroup is NewListener for the sockets of a SO_REUSEPORT group, all TCP.
func (e *Engine) NewGroup(fds []int, s Spread, shut func() error) (*Listener, error) {
	many, set, err := newSockets(fds, s)
	if err != nil {
		return nil, err
	}
	l := &Listener{e: e, fd: set, tcp: true, many: many, spot: s.Place, shut: shut}
	if err := e.openListener(l); err != nil {
		_ = e.k.CloseFD(set)
		return nil, err
	}
	return l, nil
}

func (e *Engine) openListener(l *Listener) error {
	l.node.h = l
	l.a.init(l, &l.mu, false)
	l.closer.init(l, &l.mu, false)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return ErrClosed
	}
	push(&e.listeners, l)
	return nil
}

func (l *Listener) engine() *Engine         { return l.e }
func (l *Listener) place() *links[Listener] { return &l.links }

// MayLinger notes that SO_LINGER may be set on the listening socket.
func (l *Listener) MayLinger() {
	l.mu.Lock()
	l.linger = true
	l.mu.Unlock()
}

// SetDeadline bounds Accept, the call under way too.
func (l *Listener) SetDeadline(t time.Time) error {
	d := deadline(l.e.k, t)
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
	case l.dead != nil:
		return l.dead
	}
	return l.e.cause()
}

func (l *Listener) try(h *half, fd int) bool {
	l.got, h.err = l.acceptSocket(fd)
	return h.err != unix.EAGAIN
}

func (l *Listener) poller() *poller { return l.polls.Load() }

// openPoller puts the epoll set, or a duplicate of the socket, into Go's
// netpoller; the socket itself is there already, for the net.Listener that
// owns it. Called with mu held.
func (l *Listener) openPoller() (*poller, error) {
	if p := l.poller(); p != nil {
		return p, nil
	}
	fd := l.fd
	if l.many == nil {
		var err error
		if fd, err = l.e.k.Dup(l.fd); err != nil {
			return nil, os.NewSyscallError("fcntl", err)
		}
	}
	p := l.e.k.Poller(fd)
	l.polls.Store(p)
	return p, nil
}

// Accept returns the next conn and its peer's address, in package net's form.
func (l *Listener) Accept() (*Conn, net.Addr, error) {
	l.amu.Lock()
	a, err := l.next()
	l.amu.Unlock()
	if err != nil {
		return nil, nil, err
	}
	l.mu.Lock()
	linger := l.linger
	l.mu.Unlock()
	e := l.e
	if l.spot != nil {
		e = l.spot(a.socket)
	}
	c := &Conn{e: e, fd: a.fd, tcp: l.tcp, linger: linger}
	if e.open(c) != nil {
		return nil, nil, net.ErrClosed // so are the listeners of a closed engine
	}
	e.stats.accepted.Add(1)
	return c, netAddr(a.peer, l.tcp), nil
}

// next waits for an accepted conn. Called with amu held.
func (l *Listener) next() (accepted, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		if err := l.cannot(&l.a); err != nil {
			return accepted{}, err
		}
		if len(l.queue) > 0 {
			a := l.queue[0]
			l.queue = append(l.queue[:0], l.queue[1:]...)
			return a, nil
		}
		armed := l.armed
		if !armed {
			// closed is only set with mu held, so fd is open.
			a, err := l.acceptSocket(l.fd)
			if err == unix.EAGAIN && (l.many != nil || !l.e.Hot()) {
				return l.poll()
			}
			if err != unix.EAGAIN {
				return a, err
			}
			l.armed = true
		}
		l.a.park(waitRead, nil)
		l.mu.Unlock()
		if !armed {
			l.e.post(&l.node, wantAccept)
		}
		l.a.sleep()
		l.mu.Lock()
		if err := l.a.err; err != nil {
			return accepted{}, err
		}
	}
}

// poll waits in Go's netpoller for a conn. Called with mu held, which it
// gives up meanwhile.
func (l *Listener) poll() (accepted, error) {
	p, err := l.openPoller()
	if err != nil {
		return accepted{}, err
	}
	l.mu.Unlock()
	err = l.a.polled(p, nil)
	l.mu.Lock()
	if err != nil && l.closed {
		err = net.ErrClosed // and no longer in the netpoller
	}
	if err != nil {
		return accepted{}, err
	}
	return l.got, l.a.err
}

// acceptSocket is accept4(2), for when the listener is idle. It returns a
// bare EAGAIN if there is nothing.
func (l *Listener) acceptSocket(fd int) (a accepted, err error) {
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
			l.e.stats.acceptFailures.Add(1)
			return a, os.NewSyscallError("accept4", err)
		}
	}
}

// serve takes Accept's and Close's wishes. Engine thread.
func (l *Listener) serve(lp *loop, w want) {
	if w&wantEnd != 0 {
		l.ended = true
		lp.cancelAll(&l.node)
		l.settle(lp)
	}
	if w&wantAccept != 0 && !l.ended && !l.node.isFlying(kindAccept) {
		s, ud := lp.start(&l.node, kindAccept)
		s.PrepAcceptMultishot(int32(l.fd), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, ud)
	}
}

// complete takes an accepted conn, or the end of the accept. Engine thread.
func (l *Listener) complete(lp *loop, _ kind, cqe *ring.CQE) {
	l.completed(lp, cqe)
	if !cqe.More() {
		l.settle(lp)
	}
}

func (l *Listener) completed(lp *loop, cqe *ring.CQE) {
	l.mu.Lock()
	defer l.mu.Unlock() // fail takes it, if this panics
	if cqe.Res >= 0 {
		l.take(int(cqe.Res))
	} else if errno := unix.Errno(-cqe.Res); errno != unix.ECANCELED && errno != unix.ECONNABORTED {
		l.e.stats.acceptFailures.Add(1) // Accept will meet it again and report it
	}
	switch {
	case !cqe.More():
		l.armed, l.full = false, false
	case (len(l.queue) >= acceptAhead || !l.e.Hot()) && !l.full:
		l.full = true
		lp.cancel(&l.node, kindAccept)
	}
	lp.readied = l.a.wake(0, nil) || lp.readied
}

// take queues an accepted conn with its peer. Called with mu held.
func (l *Listener) take(fd int) {
	if l.closed {
		l.e.cutOff(fd)
		return
	}
	peer, err := l.e.k.Peer(fd)
	if err != nil {
		peer = nil
	}
	l.queue = append(l.queue, accepted{fd: fd, peer: peer})
}

// cutOff resets a conn that nobody accepted, as the kernel does when the
// listening socket closes.
func (e *Engine) cutOff(fd int) {
	_ = e.k.ResetOnClose(fd)
	_ = e.k.CloseFD(fd)
}

// settle lets Close go on when nothing is in flight. Engine thread.
func (l *Listener) settle(lp *loop) {
	if l.node.flying != 0 {
		return
	}
	if l.ended {
		lp.slots.vacate(&l.node)
		l.mu.Lock()
		lp.readied = l.closer.wake(0, nil) || lp.readied
		l.mu.Unlock()
	}
}

func (l *Listener) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.armed, l.dead = false, err
	l.a.wake(0, err)
	l.closer.wake(0, nil)
}

// Close ends the listener and returns when its address is free. Conns that
// Accept has not returned are reset. A second Close returns net.ErrClosed.
func (l *Listener) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return net.ErrClosed
	}
	l.closed = true
	l.a.wake(0, net.ErrClosed)
	queue := l.queue
	l.queue = nil
	armed := l.armed && l.dead == nil
	if armed {
		l.closer.park(waitIdle, nil)
	}
	l.mu.Unlock()

	l.e.timers.drop(&l.a.timer)
	for _, a := range queue {
		l.e.cutOff(a.fd)
	}
	if armed {
		l.e.post(&l.node, wantEnd)
		l.closer.sleep()
	} else {
		l.e.postQuietly(&l.node, wantEnd)
	}
	if p := l.poller(); p != nil {
		_ = p.Close() // waits until no Accept is in it
	} else if l.many != nil {
		_ = l.e.k.CloseFD(l.fd)
	}
	l.e.mu.Lock()
	remove(&l.e.listeners, l)
	l.e.mu.Unlock()
	return l.shut()
}

// Backlog returns how many established conns wait in the backlog of the
// listening TCP socket fd.
func Backlog(fd int) int {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0
	}
	return int(info.Unacked)
}
