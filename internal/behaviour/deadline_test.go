//go:build linux

package behaviour

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

var (
	noDeadline   = time.Time{}
	pastDeadline = time.Unix(1, 0)
)

func soon() time.Time    { return time.Now().Add(10 * time.Millisecond) }
func distant() time.Time { return time.Now().Add(time.Hour) }

func TestBehaviourDeadlineBeatsData(t *testing.T) {
	compareConns(t, allStreams, func(s *scene) {
		s.peerWrite("data that waits")
		s.err("set", s.conn.SetReadDeadline(pastDeadline))
		s.read("past", 4)
		s.read("past again", 4)
		s.read("empty", 0)
		s.write("Write is not affected", "x")
		s.err("set later", s.conn.SetReadDeadline(distant()))
		s.read("refreshed", 4)
		s.err("set now", s.conn.SetReadDeadline(time.Now()))
		s.read("now", 4)
		s.err("clear", s.conn.SetReadDeadline(noDeadline))
		s.read("cleared", 4)
		s.err("set soon", s.conn.SetReadDeadline(time.Now().Add(time.Nanosecond)))
		s.still()
		s.read("soon", 4)
		s.err("clear all", s.conn.SetDeadline(noDeadline))
		s.read("rest", 20)
	})
	compareConns(t, allStreams, func(s *scene) { // while a part has been read
		s.peerWrite(string(pattern(30_000)))
		s.readFull("first byte", 1)
		s.must(s.conn.SetReadDeadline(pastDeadline))
		s.read("past", 4)
		s.must(s.conn.SetReadDeadline(noDeadline))
		s.readFull("rest", 29_999)
	})
}

func TestBehaviourDeadlineAndEnd(t *testing.T) {
	compareConns(t, allStreams, func(s *scene) { // EOF
		s.peerFin(false)
		s.must(s.conn.SetReadDeadline(pastDeadline))
		s.read("past", 4)
		s.must(s.conn.SetReadDeadline(noDeadline))
		s.read("cleared", 4)
		s.must(s.conn.SetReadDeadline(pastDeadline))
		s.read("past after EOF", 4)
		s.must(s.stream().CloseWrite())
		s.must(s.conn.SetWriteDeadline(pastDeadline))
		s.write("Write past", "x")
		s.must(s.conn.SetWriteDeadline(noDeadline))
		s.write("Write", "x")
		s.must(s.conn.Close())
		s.read("closed", 4)
		s.write("Write closed", "x")
	})
	compareConns(t, "tcp4 tcp6", func(s *scene) { // reset
		s.peerReset()
		s.must(s.conn.SetDeadline(pastDeadline))
		s.read("past", 4)
		s.write("Write past", "x")
		s.must(s.conn.SetDeadline(noDeadline))
		s.read("cleared", 4)
		s.must(s.conn.SetDeadline(pastDeadline))
		s.read("past again", 4)
		s.must(s.conn.SetDeadline(noDeadline))
		s.read("cleared again", 4)
	})
}

// TestBehaviourDeadlineValues tries times far from now, on both halves.
func TestBehaviourDeadlineValues(t *testing.T) {
	times := []struct {
		name string
		t    time.Time
		past bool
	}{
		{"epoch", time.Unix(0, 0), true},
		{"before the epoch", time.Unix(-1e9, 0), true},
		{"year 1", time.Time{}.Add(1), true},
		{"year 1 in a zone", time.Time{}.In(time.FixedZone("", 3600)), false}, // IsZero
		{"before year 1", time.Date(-5000, 1, 1, 0, 0, 0, 0, time.UTC), true},
		{"a moment ago", time.Now().Add(-1), true},
		{"year 9999", time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), false},
		{"in 290 years", time.Now().Add(1<<63 - 1), false},
		{"largest", time.Unix(1<<62, 0), false},
		{"wrapped", time.Unix(1<<63-1, 999999999), true},
		{"without monotonic clock", time.Now().Add(time.Hour).Round(0), false},
	}
	compareConns(t, allStreams, func(s *scene) { // one after the other on a parked Read and Write
		s.smallBuffers()
		s.fill()
		for _, v := range times {
			s.must(s.conn.SetDeadline(noDeadline))
			r := s.start(func() string { return s.doRead(4) })
			w := s.start(func() string {
				_, err := s.conn.Write(make([]byte, 1<<20))
				return s.describe(err)
			})
			s.err(v.name, s.conn.SetDeadline(v.t))
			if !v.past {
				r.blocked(v.name + " Read")
				s.must(s.conn.SetDeadline(pastDeadline))
			}
			r.result(v.name + " Read")
			w.result(v.name + " Write")
		}
	})
	compareConns(t, allStreams, func(s *scene) { // set before
		for _, v := range times {
			s.err(v.name, s.conn.SetDeadline(v.t))
			s.write(v.name+" Write", "x")
			if v.past {
				s.read(v.name+" Read", 4)
				continue
			}
			r := s.start(func() string { return s.doRead(4) })
			r.blocked(v.name + " Read")
			s.peerWrite("data")
			r.result(v.name + " Read")
		}
	})
}

// stall is one of the two operations that a deadline ends.
type stall struct {
	name    string
	op      func() string
	set     func(time.Time) error
	release func() // lets the operation finish, not called if it failed
}

// stalls makes the conn's Read and Write block and returns both.
func (s *scene) stalls() []stall {
	s.smallBuffers()
	s.fill()
	write := func() string { // how much goes out before it blocks varies
		n, err := s.conn.Write(make([]byte, 1<<20))
		return fmt.Sprintf("all=%t %s", n == 1<<20, s.describe(err))
	}
	return []stall{
		{"Read", func() string { return s.doRead(8) }, s.conn.SetReadDeadline, func() { s.peerWrite("released") }},
		{"Write", write, s.conn.SetWriteDeadline, func() { go io.Copy(io.Discard, s.peer) }},
	}
}

// TestBehaviourDeadlineMoved changes the deadline of a blocked operation.
func TestBehaviourDeadlineMoved(t *testing.T) {
	moves := []struct {
		name     string
		from, to func() time.Time
	}{
		{"none to soon", func() time.Time { return noDeadline }, soon},
		{"none to past", func() time.Time { return noDeadline }, func() time.Time { return pastDeadline }},
		{"none to now", func() time.Time { return noDeadline }, time.Now},
		{"distant to soon", distant, soon},
		{"distant to past", distant, func() time.Time { return pastDeadline }},
		{"same twice", soon, soon},
	}
	compareConns(t, allStreams, func(s *scene) {
		for _, st := range s.stalls() {
			for _, m := range moves {
				label := st.name + " " + m.name
				s.must(st.set(m.from()))
				c := s.start(st.op)
				if m.name != "same twice" {
					c.blocked(label)
				}
				s.must(st.set(m.to()))
				c.result(label)
				c = s.start(st.op) // stays expired
				c.result(label + " again")
			}
		}
	})
	compareConns(t, allStreams, func(s *scene) { // both at once
		both := s.stalls()
		for _, m := range moves[:5] {
			s.must(s.conn.SetDeadline(m.from()))
			var calls []*call
			for _, st := range both {
				calls = append(calls, s.start(st.op))
			}
			calls[0].blocked(m.name)
			s.must(s.conn.SetDeadline(m.to()))
			for _, c := range calls {
				c.result(m.name)
			}
		}
	})
}

// TestBehaviourDeadlinePutOff clears or moves away the deadline of a blocked
// operation, which then outlives it.
func TestBehaviourDeadlinePutOff(t *testing.T) {
	for _, m := range []struct {
		name string
		to   func() time.Time
	}{{"cleared", func() time.Time { return noDeadline }}, {"later", distant}} {
		t.Run(m.name, func(t *testing.T) {
			compareConns(t, allStreams, func(s *scene) {
				for _, st := range s.stalls() {
					s.putOff(st, m.name, m.to)
				}
			})
		})
	}
}

func (s *scene) putOff(st stall, name string, to func() time.Time) {
	for {
		first := time.Now().Add(30 * time.Millisecond)
		s.must(st.set(first))
		c := s.start(st.op)
		select {
		case <-c.done: // the machine is slow: once more
			continue
		case <-time.After(5 * time.Millisecond):
		}
		s.must(st.set(to()))
		if time.Until(first) < 5*time.Millisecond {
			s.must(st.set(pastDeadline))
			c.wait()
			continue
		}
		s.until("first deadline", func() bool { return time.Now().After(first) })
		c.blocked(st.name + " " + name)
		st.release()
		c.result(st.name + " " + name)
		return
	}
}

// TestBehaviourDeadlineWakesAll parks several Reads and ends them at once.
func TestBehaviourDeadlineWakesAll(t *testing.T) {
	compareConns(t, allStreams, func(s *scene) {
		var calls []*call
		for range 4 {
			calls = append(calls, s.start(func() string { return s.doRead(8) }))
		}
		calls[0].blocked("parked")
		s.must(s.conn.SetReadDeadline(pastDeadline))
		for i, c := range calls {
			c.result(fmt.Sprint("Read ", i))
		}
		s.must(s.conn.SetReadDeadline(noDeadline))
		s.peerWrite("after")
		s.read("Read after", 8)
	})
}

// TestBehaviourDeadlineKeepsSlice checks that a Read that a deadline ended
// consumed nothing and that nothing is written into its slice later.
func TestBehaviourDeadlineKeepsSlice(t *testing.T) {
	poison := bytes.Repeat([]byte{0xAA}, 4096)
	compareConns(t, allStreams, func(s *scene) {
		for i, set := range []func() error{
			func() error { return s.conn.SetReadDeadline(soon()) },
			func() error { return s.conn.SetReadDeadline(pastDeadline) },
		} {
			b := bytes.Clone(poison)
			c := s.start(func() string {
				n, err := s.conn.Read(b)
				return fmt.Sprintf("%d %s", n, s.describe(err))
			})
			if i > 0 {
				c.blocked("Read")
			}
			s.must(set())
			c.result("Read")
			s.peerWrite("sent later")
			s.still()
			s.rec("slice untouched", "%t", bytes.Equal(b, poison))
			s.must(s.conn.SetReadDeadline(noDeadline))
			s.read("next Read", 64)
			s.rec("slice still untouched", "%t", bytes.Equal(b, poison))
		}
	})
	compareConns(t, allStreams, func(s *scene) { // ended by Close
		b := bytes.Clone(poison)
		c := s.start(func() string {
			n, err := s.conn.Read(b)
			return fmt.Sprintf("%d %s", n, s.describe(err))
		})
		c.blocked("Read")
		s.must(s.conn.Close())
		c.result("Read")
		io.WriteString(s.peer, "sent later")
		s.still()
		s.rec("slice untouched", "%t", bytes.Equal(b, poison))
	})
}

// TestBehaviourDeadlineStream reads a stream with deadlines that often hit
// just as data comes in: nothing may get lost, doubled or misplaced.
func TestBehaviourDeadlineStream(t *testing.T) {
	compareConns(t, allStreams, func(s *scene) {
		sent := pattern(300_000)
		go func() {
			for rest := sent; len(rest) > 0; {
				n := min(len(rest), 1+rand.IntN(900))
				s.peer.Write(rest[:n])
				rest = rest[n:]
			}
			s.peer.Close()
		}()
		var got []byte
		var err error
		for timeouts := 0; err == nil; {
			b := make([]byte, 1+rand.IntN(2000))
			for i := range b {
				b[i] = 0xAA
			}
			s.must(s.conn.SetReadDeadline(time.Now().Add(time.Duration(rand.IntN(60)) * time.Microsecond)))
			var n int
			n, err = s.conn.Read(b)
			got = append(got, b[:n]...)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				if timeouts++; timeouts > 1000 {
					s.must(s.conn.SetReadDeadline(noDeadline))
				}
				err = nil
				if n != 0 || len(bytes.Trim(b, "\xaa")) != 0 {
					s.rec("a Read that timed out", "n=%d %x", n, b)
				}
			}
		}
		s.err("end", err)
		s.rec("intact", "%t", bytes.Equal(sent, got))
	})
}

// TestBehaviourWriteTimeout checks that a Write that timed out says exactly
// how much the peer gets, and that the conn works on.
func TestBehaviourWriteTimeout(t *testing.T) {
	compareConns(t, allStreams, func(s *scene) {
		s.smallBuffers()
		data := pattern(4 << 20)
		first, err := s.cutShort(func() (int64, error) {
			n, err := s.conn.Write(data)
			return int64(n), err
		})
		n := int(first)
		s.rec("Write", "some=%t %s", n < len(data), s.describe(err))
		n2, err := s.conn.Write(data)
		s.rec("again", "%d %s", n2, s.describe(err))
		s.must(s.conn.SetWriteDeadline(soon()))
		n3, err := s.conn.Write(data[n:])
		s.err("full", err)
		got := s.start(func() string {
			b, err := drain(s.peer)
			want := append(bytes.Clone(data[:n+n3]), "and then"...)
			return fmt.Sprintf("exactly=%t %v", bytes.Equal(b, want), err)
		})
		s.must(s.conn.SetWriteDeadline(noDeadline))
		s.write("after", "and then")
		s.must(s.stream().CloseWrite())
		got.result("peer")
		s.must(s.conn.SetDeadline(soon()))
		s.read("Read", 1)
	})
}

// TestBehaviourWriteTimeoutStream writes with deadlines that often hit while
// the peer reads: the counts returned must add up to what it gets.
func TestBehaviourWriteTimeoutStream(t *testing.T) {
	compareConns(t, "tcp4 unix", func(s *scene) {
		s.must(s.stream().SetWriteBuffer(4096))
		var got []byte
		end := s.start(func() string {
			var err error
			got, err = drain(readSizes{s.peer, 3000})
			return s.describe(err)
		})
		data := pattern(1 << 20)
		for rest := data; len(rest) > 0; {
			s.must(s.conn.SetWriteDeadline(time.Now().Add(time.Duration(10+rand.IntN(200)) * time.Microsecond)))
			n, err := s.conn.Write(rest[:min(len(rest), 1+rand.IntN(50_000))])
			if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				s.err("Write", err)
				break
			}
			rest = rest[n:]
		}
		s.must(s.stream().CloseWrite())
		end.result("peer")
		s.rec("counts add up", "%t", bytes.Equal(got, data))
	})
}

// TestBehaviourDeadlineCopy lets deadlines end ReadFrom and WriteTo.
func TestBehaviourDeadlineCopy(t *testing.T) {
	compareConns(t, allStreams, func(s *scene) {
		var buf bytes.Buffer
		s.must(s.conn.SetDeadline(pastDeadline))
		n, err := io.Copy(&buf, s.conn)
		s.rec("copy out past", "%d %s", n, s.describe(err))
		n, err = io.Copy(s.conn, strings.NewReader("x"))
		s.rec("copy in past", "%d %s", n, s.describe(err))
		s.must(s.conn.SetDeadline(noDeadline))
		s.peerWrite("data")
		c := s.start(func() string {
			n, err := io.Copy(&buf, s.conn)
			return fmt.Sprintf("%d %s", n, s.describe(err))
		})
		c.blocked("copy out")
		s.must(s.conn.SetReadDeadline(soon()))
		c.result("copy out")
		s.smallBuffers()
		s.fill()
		c = s.start(func() string {
			n, err := io.Copy(s.conn, bytes.NewReader(make([]byte, 1<<20)))
			return fmt.Sprintf("all=%t %s", n == 1<<20, s.describe(err))
		})
		c.blocked("copy in")
		s.must(s.conn.SetWriteDeadline(soon()))
		c.result("copy in")
		s.rec("buffer", "%q", &buf)
	})
}

// TestBehaviourDeadlineConcurrently sets deadlines from many goroutines.
func TestBehaviourDeadlineConcurrently(t *testing.T) {
	compareConns(t, allStreams, func(s *scene) {
		stop := make(chan struct{})
		var calls []*call
		for i := range 3 {
			calls = append(calls, s.start(func() string {
				for {
					select {
					case <-stop:
						return "stopped"
					default:
					}
					d := []time.Time{noDeadline, pastDeadline, time.Now().Add(50 * time.Microsecond)}[rand.IntN(3)]
					if err := []func(time.Time) error{s.conn.SetDeadline, s.conn.SetReadDeadline, s.conn.SetWriteDeadline}[i](d); err != nil {
						return s.describe(err)
					}
				}
			}))
		}
		for range 300 {
			s.conn.SetReadDeadline(pastDeadline)
			_, err := s.conn.Read(make([]byte, 1))
			if ne, ok := err.(net.Error); ok && !ne.Timeout() {
				s.err("Read", err)
			}
			go func() { s.conn.SetReadDeadline(pastDeadline) }()
		}
		close(stop)
		for _, c := range calls {
			c.result("setter")
		}
		s.must(s.conn.SetDeadline(noDeadline))
	})
}
