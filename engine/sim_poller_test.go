//go:build linux

package engine

import (
	"os"
	"slices"
)

// simPoller is a descriptor in a netpoller that works as Go's does, edges and
// all. Its simKernel's mu guards it.
type simPoller struct {
	k     *simKernel
	fd    int
	s     *simSock
	sides [2]simSide // reading, writing

	closing bool
	left    chan struct{} // closed when nobody is inside, once closing
}

type simSide struct {
	in      bool
	ready   bool          // an edge came while nobody waited
	expired bool          // the deadline has passed
	wait    chan struct{} // who waits; nil: nobody
	edge    bool          // it was an edge that ended the wait
}

func side(write bool) int {
	if write {
		return 1
	}
	return 0
}

// Poller is called with the lock of a conn or listener held.
func (k *simKernel) Poller(fd int) *poller {
	k.yield()
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.file(fd, "epoll_ctl")
	p := &simPoller{k: k, fd: fd, s: s}
	if k.polled[fd] != nil {
		k.fail("fd %d is in the netpoller already", fd)
	}
	k.polled[fd] = p
	s.pollers = append(s.pollers, p)
	k.edge(s, s.readable() || len(s.backlog) > 0, s.writable()) // it looks first
	return &poller{p, p}
}

// edge tells s's pollers, and polls in the ring, sooner or later. Called with mu
// held.
func (k *simKernel) edge(s *simSock, read, write bool) {
	if read {
		s.wakes++
	}
	for _, p := range s.pollers {
		for i, is := range []bool{read, write} {
			if is {
				k.notify(p, i)
			}
		}
	}
}

func (k *simKernel) notify(p *simPoller, i int) {
	d := k.delay()
	if d == 0 {
		p.sides[i].notify()
		return
	}
	k.clock.after(d, func() {
		k.mu.Lock()
		p.sides[i].notify()
		k.mu.Unlock()
	})
}

func (s *simSide) notify() {
	s.ready = true
	if s.wait != nil {
		s.edge, s.ready = true, false
		s.end()
	}
}

// end wakes who waits.
func (s *simSide) end() {
	if s.wait != nil {
		close(s.wait)
		s.wait = nil
	}
}

func (p *simPoller) Read(f func(uintptr) bool) error  { return p.run(0, f) }
func (p *simPoller) Write(f func(uintptr) bool) error { return p.run(1, f) }

func (p *simPoller) run(i int, f func(uintptr) bool) error {
	p.k.nap()
	if err := p.enter(i); err != nil {
		return err
	}
	defer p.leave(i)
	for {
		if f(uintptr(p.fd)) {
			return nil
		}
		p.k.nap()
		if err := p.await(i); err != nil {
			return err
		}
		p.k.nap()
	}
}

// enter forgets what came before, as the runtime's does.
func (p *simPoller) enter(i int) error {
	p.k.mu.Lock()
	defer p.k.mu.Unlock()
	s := &p.sides[i]
	if s.in {
		p.k.fail("two callers at once in the netpoller for socket %d", p.s.id)
	}
	if err := p.cannot(i); err != nil {
		return err
	}
	s.in, s.ready = true, false
	return nil
}

func (p *simPoller) cannot(i int) error {
	switch {
	case p.closing:
		return os.ErrClosed
	case p.sides[i].expired:
		return os.ErrDeadlineExceeded
	}
	return nil
}

func (p *simPoller) leave(i int) {
	p.k.mu.Lock()
	defer p.k.mu.Unlock()
	p.sides[i].in = false
	if p.closing && !p.sides[1-i].in {
		close(p.left)
	}
}

// await waits for an edge. If that and the deadline both come, either counts.
func (p *simPoller) await(i int) error {
	k, s := p.k, &p.sides[i]
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.chaos(10) {
		k.hit("netpoller wakes for nothing")
		k.notify(p, i)
	}
	for {
		if err := p.cannot(i); err != nil {
			k.hit("netpoller wait ended")
			return err
		}
		if s.ready {
			s.ready = false
			return nil
		}
		wait := make(chan struct{})
		s.wait, s.edge = wait, false
		k.mu.Unlock()
		<-wait
		k.yield()
		k.mu.Lock()
		if s.edge {
			k.hit("netpoller wait for an edge")
			return nil
		}
	}
}

func (p *simPoller) Expire(write bool) { p.setExpired(write, true) }
func (p *simPoller) Resume(write bool) { p.setExpired(write, false) }

// setExpired is called with the lock of a conn or listener held.
func (p *simPoller) setExpired(write, is bool) {
	p.k.yield()
	p.k.mu.Lock()
	defer p.k.mu.Unlock()
	if p.closing && !p.s.listening { // Accept may be on its way out of there
		p.k.fail("deadline of socket %d set in the netpoller after its close", p.s.id)
	}
	s := &p.sides[side(write)]
	if s.expired == is {
		p.k.fail("socket %d: expired is %v in the netpoller already", p.s.id, is)
	}
	if s.expired = is; is {
		s.end()
	}
}

func (p *simPoller) Close() error {
	p.k.napOn(p.fd)
	p.k.mu.Lock()
	if p.closing {
		p.k.fail("socket %d closed twice in the netpoller", p.s.id)
	}
	p.closing = true
	if inside := p.sides[0].in || p.sides[1].in; inside {
		p.left = make(chan struct{})
		p.sides[0].end()
		p.sides[1].end()
		p.k.mu.Unlock()
		<-p.left
		p.k.mu.Lock()
	}
	i := slices.Index(p.s.pollers, p)
	p.s.pollers = slices.Delete(p.s.pollers, i, i+1)
	delete(p.k.polled, p.fd)
	p.k.mu.Unlock()
	return p.k.closeFile(p.fd)
}
