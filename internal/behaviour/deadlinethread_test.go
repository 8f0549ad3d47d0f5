//go:build linux

package behaviour

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quoit-go/quoit"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
)

// Deadlines come also while the thread of the ring is busy with something else for
// as long as you like.

// compareHeld runs f with package net, and with an engine in each gear. hold has the
// engine's threads do nothing until it is called again.
func compareHeld(t *testing.T, networks string, f func(s *scene, hold func())) {
	t.Helper()
	compareEachGear(t, networks, func(s *scene, e *quoit.Engine) {
		var release func()
		hold := func() {
			switch {
			case e == nil:
			case release == nil:
				release = enginetest.Hold(e)
			default:
				release()
				release = nil
			}
		}
		defer func() {
			if release != nil {
				hold()
			}
		}()
		f(s, hold)
	})
}

// compareEachGear is compareGears with an engine for each scene, nil for package
// net's.
func compareEachGear(t *testing.T, networks string, f func(s *scene, e *quoit.Engine)) {
	t.Helper()
	for network := range strings.FieldsSeq(networks) {
		traces := make([][]string, len(allGears)+1)
		var wg sync.WaitGroup
		for i := range traces {
			im, e := netImpl, (*quoit.Engine)(nil)
			if i > 0 {
				im, e = gearEngineImpl(t, allGears[i-1])
			}
			wg.Go(func() {
				traces[i] = runScene(t, im, network, "server", func(s *scene) { f(s, e) })
			})
		}
		wg.Wait()
		for i, gear := range allGears {
			t.Run(gear+"/"+network, func(t *testing.T) { compareTraces(t, traces[0], traces[i+1]) })
		}
	}
}

// threeStalls are stalls and an Accept.
func (s *scene) threeStalls() []stall {
	s.conn, s.peer = s.pair()
	s.waitOnce()
	ln := s.full(s.listen())
	return append(s.stalls(), stall{"Accept", func() string { return s.doAccept(ln) }, ln.SetDeadline, nil})
}

// TestBehaviourDeadlineHeldBefore: the calls wait already, with deadlines or without.
func TestBehaviourDeadlineHeldBefore(t *testing.T) {
	compareHeld(t, "tcp4 unix", func(s *scene, hold func()) {
		all := s.threeStalls()
		for _, to := range []struct {
			name     string
			from, to func() time.Time
		}{
			{"soon", func() time.Time { return time.Now().Add(stillWindow * 2) }, nil},
			{"none to soon", func() time.Time { return noDeadline }, soon},
			{"none to past", func() time.Time { return noDeadline }, func() time.Time { return pastDeadline }},
			{"distant to soon", distant, soon},
		} {
			var calls []*call
			for _, st := range all {
				s.must(st.set(to.from()))
				calls = append(calls, s.start(st.op))
			}
			if to.to != nil {
				calls[0].blocked(to.name)
			}
			hold()
			for _, st := range all {
				if to.to != nil {
					s.must(st.set(to.to()))
				}
			}
			for i, c := range calls {
				c.result(all[i].name + " " + to.name)
			}
			hold()
		}
	})
}

// TestBehaviourDeadlineHeldBegin: they begin to wait meanwhile.
func TestBehaviourDeadlineHeldBegin(t *testing.T) {
	compareHeld(t, "tcp4 unix", func(s *scene, hold func()) {
		all := s.threeStalls()
		hold()
		for range 3 {
			for _, st := range all {
				s.must(st.set(soon()))
				c := s.start(st.op)
				c.result(st.name)
				s.must(st.set(noDeadline))
				c = s.start(st.op)
				c.blocked(st.name)
				s.must(st.set(soon()))
				s.must(st.set(distant()))
				c.blocked(st.name + " put off")
				s.must(st.set(soon()))
				c.result(st.name)
			}
		}
		s.peerWrite("data")
		s.read("past with data", 4)
		s.must(s.conn.SetReadDeadline(distant()))
		s.read("moved on", 4)
		hold()
		s.peerWrite("more")
		s.read("the thread goes on", 4)
		s.err("Close", s.conn.Close())
	})
}

// TestBehaviourDeadlineBesideBlocking: an Accept of a listener whose socket somebody
// has made blocking waits in a system call, and nobody else's deadline for it.
func TestBehaviourDeadlineBesideBlocking(t *testing.T) {
	compareEachGear(t, "tcp4 unix", func(s *scene, _ *quoit.Engine) {
		blocking := s.full(s.listen())
		waits := s.start(func() string { return s.doAccept(blocking) })
		waits.blocked("an Accept that waits when the mode changes")
		fd := s.fileOf(blocking).Fd()
		s.rec("mode", "%s", statusFlags(int(fd)))
		p := s.dialPlain(blocking)
		waits.result("it")
		s.must(p.Close())
		s.must(blocking.SetDeadline(distant()))
		stuck := s.start(func() string { return s.doAccept(blocking) })
		stuck.blocked("an Accept with a deadline")
		s.must(blocking.SetDeadline(soon()))
		all := s.threeStalls()
		for _, st := range all {
			s.must(st.set(soon()))
			c := s.start(st.op)
			c.result(st.name)
		}
		stuck.blocked("still")
		s.dialPlain(blocking)
		stuck.result("it")
	})
}
