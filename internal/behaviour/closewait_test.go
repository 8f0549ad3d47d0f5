//go:build linux

package behaviour

import (
	"bytes"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// waits are calls that wait in another goroutine while a conn is closed.
var waits = []struct {
	name string
	f    func(s *scene) []func() string
}{
	{"nothing", func(*scene) []func() string { return nil }},
	{"Read", func(s *scene) []func() string { return []func() string{func() string { return s.doRead(8) }} }},
	{"Reads", func(s *scene) []func() string {
		read := func() string { return s.doRead(8) }
		return []func() string{read, read, read}
	}},
	{"Read with a deadline", func(s *scene) []func() string {
		s.must(s.conn.SetReadDeadline(distant()))
		return []func() string{func() string { return s.doRead(8) }}
	}},
	{"Write", func(s *scene) []func() string {
		s.smallBuffers()
		return []func() string{func() string {
			_, err := s.conn.Write(make([]byte, 2<<20))
			return s.describe(err)
		}}
	}},
	{"Read and Write", func(s *scene) []func() string {
		s.smallBuffers()
		return []func() string{func() string { return s.doRead(8) }, func() string {
			_, err := s.conn.Write(make([]byte, 2<<20))
			return s.describe(err)
		}}
	}},
	{"WriteTo", func(s *scene) []func() string {
		return []func() string{func() string { return s.writeToOnce() }}
	}},
	{"ReadFrom", func(s *scene) []func() string {
		s.smallBuffers()
		return []func() string{func() string {
			_, err := s.tcp().ReadFrom(bytes.NewReader(make([]byte, 2<<20)))
			return s.describe(err)
		}}
	}},
	{"ReadFrom a file", func(s *scene) []func() string {
		s.smallBuffers()
		f := s.file(2<<20, 0)
		return []func() string{func() string {
			_, err := s.tcp().ReadFrom(f)
			return s.cause(err) // net wraps it by how far it has come
		}}
	}},
	{"RawRead", func(s *scene) []func() string {
		rc := s.raw()
		return []func() string{func() string { return s.rawRead(rc, 8, true) }}
	}},
	{"RawWrite", func(s *scene) []func() string {
		s.smallBuffers()
		rc := s.raw()
		return []func() string{func() string {
			got := s.rawWrite(rc, make([]byte, 2<<20), true)
			_, err, _ := strings.Cut(got, " ")
			return err
		}}
	}},
}

// TestBehaviourCloseWaits: when Close returns, the end has been sent and the
// descriptor is free, whoever waits meanwhile.
func TestBehaviourCloseWaits(t *testing.T) {
	for _, w := range waits {
		t.Run(strings.ReplaceAll(w.name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			compareGearConns(t, "tcp4", func(s *scene) {
				for i := range 4 {
					if i > 0 {
						s.conn, s.peer = s.pair()
						s.waitOnce()
					}
					s.closeIsDone(w.f(s), i)
				}
			})
		})
	}
}

// closeIsDone closes the conn while calls wait, and records what is left of it.
func (s *scene) closeIsDone(waiting []func() string, how int) {
	var calls []*call
	for _, f := range waiting {
		calls = append(calls, s.start(f))
	}
	for _, c := range calls {
		c.blocked("parked")
	}
	before, ok := s.own()
	if !ok {
		s.fatal("the kernel does not know the conn")
	}
	if n := s.holders(before.inode); n != 1 {
		s.rec("holders before", "%d", n)
	}
	if how == 3 {
		s.must(s.tcp().SetLinger(0))
	}
	looking.RLock()
	err := s.conn.Close()
	after, ok := s.own()
	looking.RUnlock()
	n := s.holders(before.inode)
	s.err("Close", err)
	s.rec("established", "%t", ok && after.state == unix.BPF_TCP_ESTABLISHED)
	s.rec("holders", "%d", n)
	for _, c := range calls {
		c.result("woken")
	}
}

// TestBehaviourCloseWaitsBusy is the same where other goroutines compute, so
// that who waited is late to run.
func TestBehaviourCloseWaitsBusy(t *testing.T) {
	compareGearConns(t, "tcp4", func(s *scene) {
		var stop atomic.Bool
		var wg sync.WaitGroup
		defer wg.Wait()
		defer stop.Store(true)
		for range 2 {
			wg.Go(func() {
				for !stop.Load() {
				}
			})
		}
		for i := range 3 {
			if i > 0 {
				s.conn, s.peer = s.pair()
			}
			s.closeIsDone([]func() string{func() string { return s.doRead(8) }}, i)
		}
	})
}

// TestBehaviourCloseWriteIsDone: when CloseWrite returns, the end has been
// sent, behind all that was written.
func TestBehaviourCloseWriteIsDone(t *testing.T) {
	compareGears(t, "tcp4", func(s *scene) {
		s.busy(8)
		s.side = "server"
		for range 20 {
			s.conn, s.peer = s.pair()
			c := s.start(func() string { return s.doRead(1) })
			s.must(writeWhole(s.peer, "q"))
			c.result("Read")
			c = s.start(func() string { return s.doRead(1) })
			s.must(writeWhole(s.conn, "answer"))
			s.err("CloseWrite", s.stream().CloseWrite())
			r, ok := s.own()
			s.rec("established", "%t", ok && r.state == unix.BPF_TCP_ESTABLISHED)
			s.peerDrain("peer")
			s.must(s.peer.Close())
			c.result("Read")
			s.must(s.conn.Close())
		}
	})
}

// TestBehaviourCloseWithin closes a conn from what its own ReadFrom and WriteTo
// call: Close waits for calls that wait, not for those that called it.
func TestBehaviourCloseWithin(t *testing.T) {
	compareGearConns(t, "tcp4", func(s *scene) {
		s.peerWrite("hello")
		c := s.start(func() string {
			_, err := s.tcp().WriteTo(callWriter(func(b []byte) (int, error) {
				s.err("Close in Write", s.conn.Close())
				return len(b), nil
			}))
			return s.describe(err)
		})
		c.result("WriteTo")
		s.peerDrain("peer")
	})
	compareGearConns(t, "tcp4", func(s *scene) {
		c := s.start(func() string {
			_, err := s.tcp().ReadFrom(callReader(func(b []byte) (int, error) {
				s.err("Close in Read", s.conn.Close())
				return len(b), nil
			}))
			return s.describe(err)
		})
		c.result("ReadFrom")
		s.peerDrain("peer")
	})
	compareGearConns(t, "tcp4", func(s *scene) { // another goroutine closes, and is waited for
		s.peerWrite("hello")
		c := s.start(func() string {
			_, err := s.tcp().WriteTo(callWriter(func(b []byte) (int, error) {
				done := make(chan error)
				go func() { done <- s.conn.Close() }()
				s.err("Close in Write", <-done)
				return len(b), nil
			}))
			return s.describe(err)
		})
		c.result("WriteTo")
	})
}

type callWriter func([]byte) (int, error)

func (f callWriter) Write(b []byte) (int, error) { return f(b) }

type callReader func([]byte) (int, error)

func (f callReader) Read(b []byte) (int, error) { return f(b) }

// TestBehaviourCloseUnixIsDone looks from the peer's side.
func TestBehaviourCloseUnixIsDone(t *testing.T) {
	compareGearConns(t, "unix", func(s *scene) {
		fd := s.number(s.peer)
		for i := range 4 {
			if i > 0 {
				s.conn, s.peer = s.pair()
				fd = s.number(s.peer)
			}
			c := s.start(func() string { return s.doRead(8) })
			c.blocked("parked")
			err := s.conn.Close()
			seen := s.peek(fd)
			s.err("Close", err)
			s.rec("peer sees", "%s", seen)
			c.result("woken")
		}
	})
}

// TestBehaviourListenerCloseIsDone: when Close returns, the address is free and
// so is the descriptor, whatever waits and whatever was accepted before.
func TestBehaviourListenerCloseIsDone(t *testing.T) {
	for _, accepts := range []int{0, 1, 3} {
		t.Run(strings.Repeat("a", accepts)+"_waiting", func(t *testing.T) {
			compareGears(t, "tcp4", func(s *scene) {
				for i := range 4 {
					ln := s.listenFree()
					if i%2 == 1 {
						s.burst(ln)
					}
					var calls []*call
					for range accepts {
						calls = append(calls, s.start(func() string { return s.doAccept(ln) }))
					}
					for _, c := range calls {
						c.blocked("parked")
					}
					before, _ := s.row(ln.Addr().String(), noRemote)
					looking.RLock()
					err := ln.Close()
					_, ok := s.row(ln.Addr().String(), noRemote)
					looking.RUnlock()
					n := s.holders(before.inode)
					s.err("Close", err)
					s.rec("listening", "%t", ok)
					s.rec("holders", "%d", n)
					ln2, err := net.Listen("tcp4", ln.Addr().String())
					s.err("again", err)
					if err == nil {
						ln2.Close()
					}
					for _, c := range calls {
						c.result("woken")
					}
				}
			})
		})
	}
}

// TestEngineCloseIsDone: when an engine's Close returns, so have those of all
// its conns and listeners.
func TestEngineCloseIsDone(t *testing.T) {
	for _, gear := range allGears {
		t.Run(gear, func(t *testing.T) {
			im, e := gearEngineImpl(t, gear)
			runScene(t, im, "tcp4", "server", func(s *scene) {
				ln := s.listenFree()
				accept := s.start(func() string { return s.doAccept(ln) })
				accept.blocked("Accept")
				s.side = "client"
				var rows []tcpRow
				var calls []*call
				for i := range 8 {
					c, _ := s.pair()
					s.conn = c
					r, ok := s.own()
					if !ok {
						s.fatal("the kernel does not know the conn")
					}
					rows = append(rows, r)
					if i%2 == 0 {
						calls = append(calls, s.start(func() string {
							_, err := c.Read(make([]byte, 8))
							return s.describe(err)
						}))
						calls[len(calls)-1].blocked("Read")
					}
				}
				lr, _ := s.row(ln.Addr().String(), noRemote)
				s.must(e.Close())
				for _, r := range rows {
					now, ok := s.row(r.local, r.remote)
					if n := s.holders(r.inode); n != 0 || ok && now.state == unix.BPF_TCP_ESTABLISHED {
						t.Errorf("a conn has %d descriptors, %t, state %d", n, ok, now.state)
					}
				}
				if _, ok := s.row(ln.Addr().String(), noRemote); ok || s.holders(lr.inode) != 0 {
					t.Error("the listening socket is still there")
				}
				for _, c := range append(calls, accept) {
					if got := c.wait(); !strings.Contains(got, "net.ErrClosed") {
						t.Errorf("a call that waited: %s", got)
					}
				}
			})
		})
	}
}
