//go:build linux

package behaviour

import (
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Conns that nobody has accepted belong to the socket: another holder may take
// them, they wait for who limits how many he serves, and they live on when one
// holder closes. So an engine accepts only what an Accept asks for, however fast
// they follow each other.

// burst connects and accepts many in a row.
func (s *scene) burst(ln net.Listener) {
	const conns = 64
	accepted := make(chan error, conns)
	go func() {
		for range conns {
			c, err := ln.Accept()
			if err == nil {
				c.Close()
			}
			accepted <- err
		}
	}()
	var clients []net.Conn
	for range conns {
		c, err := net.Dial(s.network, ln.Addr().String())
		s.must(err)
		clients = append(clients, c)
	}
	for range conns {
		s.must(<-accepted)
	}
	for _, c := range clients { // not before: a reset may overtake the handshake
		if tc, ok := c.(*net.TCPConn); ok {
			s.must(tc.SetLinger(0))
		}
		c.Close()
	}
}

// clients connects n of them to ln, and waits until the kernel has had time to
// give them to who asked for them, in this order.
func (s *scene) clients(ln net.Listener, n int) (peers []net.Conn) {
	for range n {
		c, err := net.Dial(s.network, ln.Addr().String())
		s.must(err)
		s.closeLater(c)
		peers = append(peers, c)
		s.queued(ln, c)
	}
	s.still()
	return peers
}

// queued waits until c is in ln's queue, or was. Its client may have it before, and the
// next one's acknowledgement overtake that which puts it there.
func (s *scene) queued(ln net.Listener, c net.Conn) {
	if s.network != "tcp4" {
		return
	}
	s.until("the conn queued", func() bool {
		r, _ := s.row(ln.Addr().String(), c.LocalAddr().String())
		return r.state != unix.BPF_TCP_SYN_RECV
	})
}

// serveAll accepts the peers, in the order in which they came, and answers.
func (s *scene) serveAll(label string, ln net.Listener, peers []net.Conn) {
	s.must(s.full(ln).SetDeadline(time.Now().Add(behaviourLimit / 6)))
	good := 0
	for _, p := range peers {
		c, err := ln.Accept()
		s.must(err)
		if s.network == "unix" || c.RemoteAddr().String() == p.LocalAddr().String() {
			s.must(writeWhole(c, "yours"))
			s.must(readWhole(p, "yours"))
			good++
		}
		s.must(c.Close())
	}
	s.must(s.full(ln).SetDeadline(noDeadline))
	s.rec(label, "%d", good)
}

// TestBehaviourListenerQueue: who connects while Accept is not called waits in
// the socket.
func TestBehaviourListenerQueue(t *testing.T) {
	lives := []struct {
		name string
		f    func(s *scene, ln listener)
	}{
		{"new", func(*scene, listener) {}},
		{"accepted once", func(s *scene, ln listener) {
			c := s.start(func() string { return s.doAccept(ln) })
			c.blocked("Accept")
			s.dialPlain(ln)
			c.result("Accept")
		}},
		{"timed out", func(s *scene, ln listener) {
			s.must(ln.SetDeadline(soon()))
			s.accept("Accept", ln)
			s.must(ln.SetDeadline(noDeadline))
		}},
		{"a burst", func(s *scene, ln listener) { s.burst(ln) }},
		{"a burst and one that timed out", func(s *scene, ln listener) {
			s.burst(ln)
			s.must(ln.SetDeadline(soon()))
			s.accept("Accept", ln)
			s.must(ln.SetDeadline(noDeadline))
		}},
	}
	for _, life := range lives {
		t.Run(strings.ReplaceAll(life.name, " ", "_"), func(t *testing.T) {
			compareGears(t, "tcp4", func(s *scene) {
				const n = 24
				ln := s.full(s.listen())
				life.f(s, ln)
				peers := s.clients(ln, n)
				s.rec("left in the socket", "%d", s.waiting(ln))
				s.serveAll("served", ln, peers)
			})
		})
	}
}

// TestBehaviourListenerLimit is netutil.LimitListener: who may serve only a few
// calls Accept only then, and the others cost no descriptors.
func TestBehaviourListenerLimit(t *testing.T) {
	compareGears(t, "tcp4", func(s *scene) {
		const clients, limit = 40, 4
		ln := s.listen()
		s.burst(ln)
		slots := make(chan bool, limit)
		release := make(chan bool)
		var wg sync.WaitGroup
		wg.Go(func() {
			for range clients {
				slots <- true
				c, err := ln.Accept()
				if err != nil {
					return
				}
				wg.Go(func() {
					<-release
					c.Write([]byte("yours"))
					c.Close()
					<-slots
				})
			}
		})
		peers := s.clients(ln, clients)
		s.until("slots taken", func() bool { return len(slots) == limit })
		s.still()
		s.rec("left in the socket", "%d", s.waiting(ln))
		close(release)
		for _, p := range peers {
			s.must(readWhole(p, "yours"))
		}
		wg.Wait()
	})
}

// listenSharings are the ways in which others come to know the socket of a
// listener. Each returns the listener and a descriptor that is not its own.
var listenSharings = []struct {
	name string
	do   func(s *scene) (ln net.Listener, fd int)
}{
	{"File", func(s *scene) (net.Listener, int) {
		ln := s.listen()
		s.burst(ln)
		return ln, s.number(s.fileOf(ln))
	}},
	{"Control", func(s *scene) (net.Listener, int) {
		ln := s.listen()
		s.burst(ln)
		return ln, s.dup(s.number(ln))
	}},
	{"ListenConfig.Control", func(s *scene) (net.Listener, int) {
		var fd int
		ln := s.listenWith(s.impl, net.ListenConfig{Control: func(_, _ string, rc syscall.RawConn) error {
			return rc.Control(func(f uintptr) { fd = s.dup(int(f)) })
		}})
		return ln, fd
	}},
	{"FileListener", func(s *scene) (net.Listener, int) {
		first := s.listenNet()
		f := s.fileOf(first)
		ln, err := s.impl.fileListener(f)
		s.must(err)
		s.closeLater(ln)
		s.keepSocketFile(first)
		s.must(first.Close())
		return ln, s.number(f)
	}},
	{"NewListener", func(s *scene) (net.Listener, int) {
		first := s.listenNet()
		f := s.fileOf(first)
		ln, err := s.impl.adopt(first)
		s.must(err)
		s.closeLater(ln)
		return ln, s.number(f)
	}},
}

// keepSocketFile has ln leave a unix socket's file behind.
func (s *scene) keepSocketFile(ln net.Listener) {
	if u, ok := ln.(interface{ SetUnlinkOnClose(bool) }); ok {
		u.SetUnlinkOnClose(false)
	}
}

// TestBehaviourSharedListener: another holder gets all that this one has not
// asked for, however fast it accepted before.
func TestBehaviourSharedListener(t *testing.T) {
	for _, how := range listenSharings {
		t.Run(how.name, func(t *testing.T) {
			compareGears(t, "tcp4 unix", func(s *scene) {
				const n = 12
				ln, fd := how.do(s)
				other := s.listenerOn(fd)
				s.burst(ln)
				peers := s.clients(ln, n)
				if s.network != "unix" {
					s.rec("left in the socket", "%d", s.waiting(ln))
				}
				s.serveAll("served by another", other, peers)

				c := s.start(func() string { return s.doAccept(ln) })
				c.blocked("Accept")
				peers = s.clients(ln, 1+n)
				c.result("Accept")
				if s.network != "unix" {
					s.rec("left behind one Accept", "%d", s.waiting(ln))
				}
				s.keepSocketFile(ln)
				s.err("Close", ln.Close())
				s.serveAll("served by the heir", other, peers[1:])
			})
		})
	}
	compareGears(t, "tcp4 unix", func(s *scene) { // while Accepts wait
		ln := s.listen()
		s.burst(ln)
		calls := []*call{
			s.start(func() string { return s.doAccept(ln) }),
			s.start(func() string { return s.doAccept(ln) }),
		}
		calls[0].blocked("Accept")
		other := s.listenerOn(s.number(s.fileOf(ln)))
		peers := s.clients(ln, 8)
		calls[0].result("Accept")
		calls[1].result("Accept")
		s.keepSocketFile(ln)
		s.err("Close", ln.Close())
		s.serveAll("served by the heir", other, peers[2:])
	})
}

// listenerOn is package net's listener on a copy of fd.
func (s *scene) listenerOn(fd int) net.Listener {
	d, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	s.must(err)
	f := os.NewFile(uintptr(d), "listener")
	defer f.Close()
	ln, err := net.FileListener(f)
	s.must(err)
	s.closeLater(ln)
	return ln
}

// TestBehaviourHandover is a graceful restart under load: no client fails.
func TestBehaviourHandover(t *testing.T) {
	for _, v := range []struct {
		name         string
		first, pause bool
	}{{"copied first", true, false}, {"copied first, old one pauses", true, true}, {"copied under load", false, false}} {
		t.Run(strings.ReplaceAll(v.name, " ", "_"), func(t *testing.T) {
			compareGears(t, "tcp4 unix", func(s *scene) {
				for range 4 {
					s.handOver(v.first, v.pause)
				}
			})
		})
	}
}

func (s *scene) handOver(first, pause bool) {
	old := s.listen()
	fd := -1
	if first {
		fd = s.number(s.fileOf(old))
	}
	var accepted, failed atomic.Int64
	var stopping atomic.Bool
	oldDone := make(chan bool)
	go func() {
		defer close(oldDone)
		for !stopping.Load() {
			c, err := old.Accept()
			if err != nil {
				return
			}
			accepted.Add(1)
			go replyOnce(c)
		}
	}()
	stop := make(chan bool)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := ask(s.network, old.Addr().String()); err != nil {
					failed.Add(1)
				}
			}
		})
	}
	more := func(n int64) {
		end := accepted.Load() + n
		s.until("more conns", func() bool { return accepted.Load() >= end })
	}
	more(100)
	if !first {
		fd = s.number(s.fileOf(old))
	}
	next := s.listenerOn(fd)
	if pause {
		stopping.Store(true)
		<-oldDone
		s.still() // nobody accepts now
	}
	s.keepSocketFile(old)
	s.must(old.Close())
	<-oldDone
	go func() {
		for {
			c, err := next.Accept()
			if err != nil {
				return
			}
			accepted.Add(1)
			go replyOnce(c)
		}
	}()
	more(50)
	close(stop)
	wg.Wait()
	next.Close()
	s.rec("failed", "%d", failed.Load())
}

// replyOnce sends back what a client says.
func replyOnce(c net.Conn) {
	defer c.Close()
	b := make([]byte, 64)
	if n, err := c.Read(b); err == nil {
		c.Write(b[:n])
	}
}

func ask(network, address string) error {
	c, err := net.Dial(network, address)
	if err != nil {
		return err
	}
	defer c.Close()
	if tc, ok := c.(*net.TCPConn); ok {
		tc.SetLinger(0) // no TIME_WAIT
	}
	if err := writeWhole(c, "hello"); err != nil {
		return err
	}
	return readWhole(c, "hello")
}

// TestBehaviourBlockingListener: another holder has set the listening socket to
// blocking mode. Accept waits in accept4(2) then, which no deadline reaches and
// no Close ends, and nobody else is held up by that.
func TestBehaviourBlockingListener(t *testing.T) {
	compareGears(t, "tcp4 unix", func(s *scene) {
		ln := s.full(s.listen())
		s.side = "server"
		s.conn, s.peer = s.pair()
		s.must(unix.SetNonblock(s.number(s.fileOf(ln)), false))
		c := s.start(func() string { return s.doAccept(ln) })
		c.blocked("Accept")
		s.dialPlain(ln)
		c.result("Accept")

		c = s.start(func() string { return s.doAccept(ln) })
		c.blocked("Accept")
		for _, d := range []string{"SetDeadline soon", "again"} {
			s.err(d, ln.SetDeadline(soon()))
			c.blocked("Accept")
		}
		s.must(ln.SetDeadline(noDeadline))
		s.dialPlain(ln)
		c.result("Accept")

		c = s.start(func() string { return s.doAccept(ln) })
		c.blocked("Accept")
		s.must(ln.SetDeadline(soon()))
		c.blocked("Accept with a deadline")
		s.otherDeadlines()
		s.dialPlain(ln)
		c.result("Accept")
		s.accept("Accept past it", ln)

		s.must(ln.SetDeadline(noDeadline))
		c = s.start(func() string { return s.doAccept(ln) })
		c.blocked("Accept")
		s.keepSocketFile(ln) // there has to be somebody who ends the accept4(2)
		end := s.start(func() string { return s.describe(ln.Close()) })
		end.blocked("Close")
		s.otherDeadlines()
		s.dialPlain(ln)
		c.result("Accept")
		end.result("Close")
	})
	compareGears(t, "tcp4 unix", func(s *scene) { // Accepts that wait already
		ln := s.full(s.listen())
		fd := s.number(s.fileOf(ln))
		var calls []*call
		for range 3 {
			calls = append(calls, s.start(func() string { return s.doAccept(ln) }))
		}
		calls[0].blocked("Accept")
		s.must(unix.SetNonblock(fd, false))
		for range calls {
			s.dialPlain(ln)
		}
		for _, c := range calls {
			c.result("Accept")
		}
	})
}

// otherDeadlines records that those of other conns and listeners of the engine
// are kept, and that they still get something.
func (s *scene) otherDeadlines() {
	s.must(s.conn.SetReadDeadline(soon()))
	c := s.start(func() string { return s.doRead(8) })
	c.result("another conn's deadline")
	s.must(s.conn.SetReadDeadline(noDeadline))
	c = s.start(func() string { return s.doRead(8) })
	c.blocked("another conn's Read")
	s.must(writeWhole(s.peer, "hello"))
	c.result("another conn's Read")
	ln := s.full(s.listen())
	s.must(ln.SetDeadline(soon()))
	c = s.start(func() string { return s.doAccept(ln) })
	c.result("another listener's deadline")
	s.must(ln.Close())
}
