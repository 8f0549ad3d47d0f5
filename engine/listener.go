//go:build linux

package engine

import (
	"math/bits"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/engine/internal/clock"
	"github.com/quoit-go/quoit/engine/ring"
	"github.com/quoit-go/quoit/internal/sock"
)

// Accepting ahead of Accept saves it a wait where conns come fast. maxAhead
// bounds the conns that a listener may so have accepted while nobody waits for
// one, for they hold descriptors and would be lost to other processes. Accept
// earns one of them by each earnAccepts calls in a row that return within
// acceptPace of each other.
const (
	maxAhead    = maxAccepts - 1 // and one for who waits
	earnAccepts = 16
	acceptPace  = time.Millisecond
)

// Listener accepts on a listening stream socket, or on a group of them, see
// sockets. Accept calls accept4(2) and waits in Go's netpoller. On a hot engine,
// on a socket that nobody else can reach, and where it is called at a rate, it
// waits for one of several accepts in the ring instead, each of a single conn.
// Not for a multishot accept: that takes all who wait in the backlog in one go,
// however many are wanted.
//
//	idle      -- Accept finds nothing, and may run ahead -> in flight
//	in flight -- the last request has completed ---------> idle
//
// Share and a cold engine cancel them. Conns that the ring has accepted may come
// after younger ones that Accept found by itself.
type Listener struct {
	e    *Engine
	fd   int // or the epoll set of a group
	tcp  bool
	many *sockets                 // nil if it is no group
	spot func(socket int) *Engine // for a conn; nil: e
	shut func() error             // closes the sockets; called once nothing is in flight
	poll *poller                  // a duplicate of fd, or the epoll set
	node node

	amu    sync.Mutex // held by an accepter, parked or not; guards got, last and streak
	got    accepted
	last   int64 // when Accept returned, in engine time
	streak int   // returns in a row at the pace

	mu     sync.Mutex
	closed bool
	dead   error
	shared bool            // others may reach the socket
	queue  queue[accepted] // by the ring, ahead of Accept
	asked  int             // accepts that Accept wants in flight
	flying int             // that are, or are about to be
	ended  bool            // closed, as the engine knows
	idlers waiters         // who waits for flying to be 0
	a      half
}

// NewListener serves fd, a nonblocking listening socket. foreign says that
// others may reach the socket, too. place returns the engine for a conn, any
// goroutine's; with nil all are e's. Close calls shut to close fd; on an error
// it stays the caller's.
func (e *Engine) NewListener(fd int, tcp, foreign bool, place func(socket int) *Engine, shut func() error) (*Listener, error) {
	dup, err := e.k.Dup(fd) // fd itself is in the netpoller for who made it
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	l := &Listener{e: e, fd: fd, tcp: tcp, shared: foreign, spot: place, shut: shut}
	return l, e.openListener(l, dup)
}

// NewGroup is NewListener for the sockets of a SO_REUSEPORT group, all TCP.
func (e *Engine) NewGroup(fds []int, s Spread, shut func() error) (*Listener, error) {
	many, set, err := newSockets(fds, s)
	if err != nil {
		return nil, err
	}
	l := &Listener{e: e, fd: set, tcp: true, many: many, spot: s.Place, shut: shut}
	return l, e.openListener(l, set)
}

// openListener makes l known to Engine.Close. It takes over polled, which l
// waits for in the netpoller.
func (e *Engine) openListener(l *Listener, polled int) error {
	l.node.h = l
	l.a.init(l, &l.mu, false)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		_ = e.k.CloseFD(polled)
		return ErrClosed
	}
	l.poll = e.k.Poller(polled)
	e.listeners.push(&l.node)
	return nil
}

func (l *Listener) engine() *Engine { return l.e }

// Share notes that others may reach the socket from now on, and returns when
// the ring accepts no more.
func (l *Listener) Share() {
	l.mu.Lock()
	l.shared = true
	ch := l.awaitIdle()
	l.mu.Unlock()
	if ch != nil {
		l.e.post(&l.node, wantIdle)
		l.e.wait(ch)
	}
}

// awaitIdle returns what is sent to when no accept is in flight any more, nil
// if none is. Called with mu held.
func (l *Listener) awaitIdle() chan struct{} {
	if l.flying == 0 || l.dead != nil {
		return nil
	}
	return l.idlers.add()
}

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
	case l.dead != nil:
		return l.dead
	}
	return l.e.cause()
}

func (l *Listener) try(h *half, fd int) bool {
	l.got, h.err = l.acceptSocket(fd)
	return h.err != unix.EAGAIN
}

func (l *Listener) poller() *poller { return l.poll }

// Accept returns the next conn and its peer's address, in package net's form.
func (l *Listener) Accept() (*Conn, net.Addr, error) {
	l.amu.Lock()
	a, err := l.next()
	l.amu.Unlock()
	if err != nil {
		return nil, nil, err
	}
	e := l.e
	if l.spot != nil {
		e = l.spot(a.socket)
	}
	c := &Conn{e: e, descriptor: descriptor{fd: a.fd}, tcp: l.tcp}
	if e.open(c) != nil {
		return nil, nil, net.ErrClosed // so are the listeners of a closed engine
	}
	e.stats.Accepted.Add(1)
	return c, sock.NetAddr(a.peer, l.tcp), nil
}

// next waits for an accepted conn. Called with amu held.
func (l *Listener) next() (a accepted, err error) {
	ahead := l.earned()
	for {
		step, err := l.begin(&a, ahead, false)
		if step == acceptTry && err == nil {
			if a, err = l.acceptNow(l.tryOnce); err == unix.EAGAIN {
				step, err = l.begin(&a, ahead, true)
			} else {
				step = acceptDone
			}
		}
		if step == acceptPoll && err == nil {
			a, err = l.acceptNow(nil)
			step = acceptDone
		}
		if step == acceptDone || err != nil {
			l.pace(err)
			return a, err
		}
		if step == acceptArm {
			l.e.post(&l.node, wantAccept)
		}
		l.a.sleep()
		if err := l.a.err; err != nil {
			return a, err
		}
	}
}

// acceptNow calls accept4(2) through the netpoller, which keeps the socket open,
// and waits there for a conn unless try never does.
func (l *Listener) acceptNow(try func(fd uintptr) bool) (accepted, error) {
	err := l.a.polled(l.poll, try)
	if err == nil {
		err = l.a.err
	} else if l.isClosed() {
		err = net.ErrClosed // and so is the poller
	}
	return l.got, err
}

// tryOnce is try for who does not wait in the netpoller.
func (l *Listener) tryOnce(fd uintptr) bool {
	l.try(&l.a, int(fd))
	return true
}

func (l *Listener) isClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

// acceptStep is what an Accept does next.
type acceptStep uint8

const (
	acceptDone  acceptStep = iota
	acceptPoll             // call accept4(2), and wait in the netpoller
	acceptTry              // call accept4(2), and wait on the ring
	acceptArm              // have accepts in flight, and sleep
	acceptSleep            // until the half is woken
)

// begin takes a conn that was accepted before, or says how to wait for one. Once
// tried, that may be on the ring: then it has parked the half.
func (l *Listener) begin(a *accepted, ahead int, tried bool) (acceptStep, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.cannot(&l.a); err != nil {
		return acceptDone, err
	}
	if !l.queue.empty() {
		*a = l.queue.pop()
		return acceptDone, nil
	}
	may := ahead > 0 && l.mayAccept()
	switch {
	case !may && l.flying == 0:
		return acceptPoll, nil
	case !tried:
		return acceptTry, nil
	}
	l.a.park(waitRing)
	if may && l.flying < 1+ahead {
		l.asked = 1 + ahead
		l.flying = l.asked
		return acceptArm, nil
	}
	return acceptSleep, nil
}

// mayAccept reports whether the ring may accept ahead of Accept. Called with mu
// held.
func (l *Listener) mayAccept() bool { return l.many == nil && !l.shared && l.e.Hot() }

// earned is how many conns may be accepted that no Accept waits for. Called with
// amu held.
func (l *Listener) earned() int {
	if l.streak > 0 && l.e.k.Now()-l.last > int64(acceptPace) {
		l.streak = 0 // Accept has fallen behind
	}
	return min(l.streak/earnAccepts, maxAhead)
}

// pace counts an Accept that returns. Called with amu held.
func (l *Listener) pace(err error) {
	now := l.e.k.Now()
	if err != nil || now-l.last > int64(acceptPace) {
		l.streak = 0
	} else {
		l.streak = min(l.streak+1, maxAhead*earnAccepts)
	}
	l.last = now
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
			l.e.stats.AcceptFailures.Add(1)
			return a, os.NewSyscallError("accept4", err)
		}
	}
}

// serve takes the wishes of Accept, Share and Close. Engine thread.
func (l *Listener) serve(lp *loop, w want) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = l.ended || w&wantEnd != 0
	if !l.ended && l.mayAccept() {
		l.arm(lp)
	}
	l.asked = 0
	if w&(wantEnd|wantIdle) != 0 {
		lp.cancelAll(&l.node)
	}
	l.count(lp)
}

// arm has as many accepts in flight as are asked for, if the ring may accept
// still. Engine thread, with mu held.
func (l *Listener) arm(lp *loop) {
	for i := range kind(l.asked) {
		if k := kindAccept + i; !l.node.isFlying(k) {
			s, ud := lp.start(&l.node, k)
			s.PrepAccept(int32(l.fd), nil, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, ud)
		}
	}
}

// count counts what is in flight, or about to be. When nothing is it has Accept
// look again, and frees the slot if nothing ever will be. Engine thread, with mu
// held.
func (l *Listener) count(lp *loop) {
	l.flying = max(bits.OnesCount32(l.node.flying), l.asked)
	if l.flying > 0 {
		return
	}
	if l.a.state == waitRing {
		lp.readied = l.a.wake(nil) || lp.readied
	}
	if l.ended {
		lp.slots.vacate(&l.node)
	}
	l.idlers.release(l.e)
}

// complete takes an accepted conn, or why there is none. Engine thread.
func (l *Listener) complete(lp *loop, _ kind, cqe *ring.CQE) {
	l.mu.Lock()
	defer l.mu.Unlock() // fail takes it, if this panics
	var err error
	switch errno := unix.Errno(-cqe.Res); {
	case cqe.Res >= 0:
		l.take(int(cqe.Res))
	case errno == unix.ECANCELED || errno == unix.ECONNABORTED || errno == unix.EINTR || errno == unix.EAGAIN:
	case l.a.waiting: // else the next Accept meets it again
		l.e.stats.AcceptFailures.Add(1)
		err = os.NewSyscallError("accept4", errno)
	}
	if !l.mayAccept() {
		lp.cancelAll(&l.node)
	}
	if l.a.state == waitRing {
		lp.readied = l.a.wake(err) || lp.readied
	}
	l.count(lp)
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
	l.queue.push(accepted{fd: fd, peer: peer})
}

// settle has nothing to do that complete has not done.
func (l *Listener) settle(*loop) {}

func (l *Listener) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flying, l.dead = 0, err
	l.a.wake(err)
	l.idlers.release(l.e)
}

// Close ends the listener and returns when its address is free. Conns that
// Accept has not returned are reset. A second Close returns net.ErrClosed.
func (l *Listener) Close() error {
	ahead, idle, ok := l.beginClose()
	if !ok {
		return net.ErrClosed
	}
	l.e.timers.Drop(&l.a.timer)
	for !ahead.empty() {
		l.e.cutOff(ahead.pop().fd)
	}
	if idle != nil {
		l.e.post(&l.node, wantEnd)
		l.e.wait(idle)
	} else {
		l.e.postQuietly(&l.node, wantEnd)
	}
	_ = l.poll.Close() // waits until no Accept is in it
	l.e.mu.Lock()
	l.e.listeners.remove(&l.node)
	l.e.mu.Unlock()
	return l.shut()
}

// beginClose marks the listener closed, once, and returns what it had accepted
// ahead and what tells that no accept is in flight any more.
func (l *Listener) beginClose() (ahead queue[accepted], idle chan struct{}, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ahead, nil, false
	}
	l.closed = true
	l.a.wake(net.ErrClosed)
	ahead, l.queue = l.queue, ahead
	return ahead, l.awaitIdle(), true
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
