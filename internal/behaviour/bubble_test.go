//go:build linux

package behaviour

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const year = 365 * 24 * time.Hour

// TestBehaviourBubbleFuture sleeps for decades in a bubble, say until a
// certificate expires, and uses conns before, after, and on either side of the
// bubble's wall. The bubble's clock begins in 2000, the machine's is elsewhere.
func TestBehaviourBubbleFuture(t *testing.T) {
	gearsInTurn(t, "tcp4 unix", func(s *scene) {
		outside, outsidePeer := s.pair()
		hour := time.Now().Add(time.Hour)
		done := make(chan struct{})
		go func() {
			defer close(done)
			synctest.Test(s.t, func(*testing.T) { s.decades(outside, outsidePeer, hour) })
		}()
		<-done
		s.conn, s.peer = outside, outsidePeer
		s.exchange("outside, afterwards")
		s.must(outside.SetReadDeadline(soon()))
		s.read("outside, past a deadline", 8)
		s.must(outside.SetReadDeadline(noDeadline))
		c := s.start(func() string { return s.doRead(8) })
		c.blocked("outside, a Read")
		s.must(outside.SetReadDeadline(pastDeadline))
		c.result("outside, a Read")
	})
}

// decades is what happens in the bubble.
func (s *scene) decades(outside, outsidePeer net.Conn, hour time.Time) {
	s.conn, s.peer = s.pair()
	early, earlyPeer := s.conn, s.peer
	s.must(early.SetReadDeadline(time.Now().Add(30 * year)))
	for _, years := range []int{0, 20, 60} {
		time.Sleep(time.Duration(years) * year)
		at := fmt.Sprint("after ", years)
		s.conn, s.peer = outside, outsidePeer
		s.exchange(at + ", conn of outside")
		for i, d := range []time.Time{hour, hour.Round(0)} { // the latter by the calendar
			s.must(s.conn.SetDeadline(d))
			s.must(writeWhole(s.peer, "x"))
			s.read(fmt.Sprint(at, ", an hour of outside ", i), 1)
			s.must(s.conn.SetDeadline(noDeadline))
			s.drainNow()
		}
		s.conn, s.peer = s.pair()
		s.exchange(at + ", a new conn")
		s.bubbleDeadlines(at)
		s.must(s.conn.Close())
		s.conn, s.peer = early, earlyPeer
		s.must(writeWhole(s.peer, "x"))
		s.read(at+", a deadline of 30 years", 1)
	}
	s.must(early.SetReadDeadline(noDeadline))
	s.drainNow()
	s.exchange("the early conn")
	s.must(early.Close())
	s.must(earlyPeer.Close())
	s.bubbleDials()
	synctest.Wait()
}

// drainNow takes a byte that a Read past its deadline may have left.
func (s *scene) drainNow() {
	s.must(writeWhole(s.peer, "y"))
	for b := make([]byte, 1); b[0] != 'y'; {
		_, err := s.conn.Read(b)
		s.must(err)
	}
}

// exchange sends something each way.
func (s *scene) exchange(label string) {
	s.must(writeWhole(s.peer, "hello"))
	s.readFull(label, 5)
	s.write(label, "answer")
	s.peerExpectNow(label, 6)
}

// peerExpectNow is peerExpect without a deadline, whose clock is the matter.
func (s *scene) peerExpectNow(label string, n int) {
	b := make([]byte, n)
	n, err := s.peer.Read(b)
	s.rec(label, "%s", s.peerGot(b[:n], err))
}

func (s *scene) bubbleDeadlines(at string) {
	s.must(s.conn.SetDeadline(time.Now().Add(time.Hour)))
	s.exchange(at + ", with an hour to go")
	s.must(s.conn.SetDeadline(time.Now().Add(time.Hour).Round(0)))
	s.exchange(at + ", by the calendar")
	s.must(s.conn.SetReadDeadline(time.Now().Add(-time.Second)))
	s.read(at+", a second ago", 8)
	s.must(s.conn.SetReadDeadline(time.Now().Add(5 * time.Millisecond)))
	s.read(at+", soon", 8)
	s.must(s.conn.SetReadDeadline(noDeadline))
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if _, err := s.conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				s.err(at+", a Read that waited", err)
			}
		})
	}
	wg.Go(func() { s.conn.SetReadDeadline(pastDeadline) })
	wg.Wait()
	s.must(s.conn.SetReadDeadline(noDeadline))
	s.exchange(at + ", all the same")
}

func (s *scene) bubbleDials() {
	ln := s.full(s.listen())
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	for _, d := range []net.Dialer{{Timeout: time.Hour}, {Deadline: time.Now().Add(time.Hour)}, {}} {
		c, err := s.impl.dial(ctx, d, s.network, ln.Addr().String())
		s.err("Dial", err)
		if err == nil {
			s.must(c.Close())
		}
		s.accept("Accept", ln)
	}
	_, err := s.impl.dial(ctx, net.Dialer{Deadline: time.Now().Add(-time.Hour)}, s.network, ln.Addr().String())
	s.rec("Dial too late", "%s", s.cause(err))
	s.must(ln.SetDeadline(time.Now().Add(-time.Hour)))
	s.accept("Accept too late", ln)
	s.must(ln.SetDeadline(time.Now().Add(5 * time.Millisecond)))
	s.accept("Accept, soon", ln)
	s.must(ln.Close())
}
