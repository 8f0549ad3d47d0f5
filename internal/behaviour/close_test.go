//go:build linux

package behaviour

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestBehaviourCloseWakes parks Reads and Writes and closes the conn.
func TestBehaviourCloseWakes(t *testing.T) {
	compareConns(t, allStreams, func(s *scene) {
		s.smallBuffers()
		filled := s.fill()
		data := make([]byte, 1<<20)
		ns := make(chan int, 3)
		var calls []*call
		for range 3 {
			calls = append(calls, s.start(func() string { return s.doRead(8) }))
			calls = append(calls, s.start(func() string {
				n, err := s.conn.Write(data)
				ns <- n
				return s.describe(err)
			}))
		}
		for i, c := range calls {
			if i%3 == 0 {
				c.blocked(fmt.Sprint("parked ", i))
			}
		}
		s.err("Close", s.conn.Close())
		for i, c := range calls {
			c.result(fmt.Sprint("woken ", i))
		}
		got, err := drain(s.peer)
		sum := filled
		for range 3 {
			sum += <-ns
		}
		s.rec("peer", "exactly what was written=%t %s", len(got) == sum, s.describe(err))
	})
	compareConns(t, allStreams, func(s *scene) { // io.Copy, both ways
		s.smallBuffers()
		out := s.start(func() string {
			n, err := io.Copy(io.Discard, s.conn)
			return fmt.Sprintf("%d %s", n, s.describe(err))
		})
		in := s.start(func() string {
			_, err := io.Copy(s.conn, bytes.NewReader(make([]byte, 4<<20)))
			return s.describe(err)
		})
		out.blocked("out")
		in.blocked("in")
		s.err("Close", s.conn.Close())
		out.result("out")
		in.result("in")
	})
}

// TestBehaviourCloseFIN: the peer sees the end while a Read is parked here.
func TestBehaviourCloseFIN(t *testing.T) {
	compareConns(t, allStreams, func(s *scene) {
		s.peerWrite("warm")
		s.readFull("warm", 4)
		c := s.start(func() string { return s.doRead(8) })
		c.blocked("parked")
		end := s.start(func() string { return s.drain(s.peer) })
		end.blocked("peer")
		s.write("Write", "goodbye")
		s.err("Close", s.conn.Close())
		c.result("Read")
		end.result("peer")
	})
	compareConns(t, allStreams, func(s *scene) { // much is still under way
		data := pattern(1 << 20)
		s.must(s.stream().SetWriteBuffer(4 << 20))
		c := s.start(func() string { return s.doWrite(data[:100_000]) })
		c.result("Write")
		s.err("Close", s.conn.Close())
		s.peerDrain("peer")
	})
}

func TestBehaviourLinger(t *testing.T) {
	for _, sec := range []int{0, -1, 1} {
		t.Run(fmt.Sprint(sec), func(t *testing.T) {
			compareConns(t, "tcp4 tcp6", func(s *scene) {
				s.err("SetLinger", s.tcp().SetLinger(sec))
				s.write("Write", "seen?")
				s.arrived(s.peer)
				s.peerExpect("peer", 5)
				c := s.start(func() string { return s.doRead(8) })
				c.blocked("parked Read")
				s.err("Close", s.conn.Close())
				c.result("Read")
				s.peerDrain("peer")
			})
		})
	}
}

// TestBehaviourCloseUnread closes with received bytes that nobody read.
func TestBehaviourCloseUnread(t *testing.T) {
	cases := []struct {
		name string
		f    func(s *scene)
	}{
		{"never read", func(s *scene) { s.peerWrite("unread") }},
		{"never read, some time", func(s *scene) { s.peerWrite("unread"); s.still() }},
		{"partly read", func(s *scene) { s.peerWrite("unread"); s.still(); s.readFull("Read", 2) }},
		{"all read", func(s *scene) { s.peerWrite("read"); s.still(); s.readFull("Read", 4) }},
		{"one byte of 100 KB", func(s *scene) {
			s.peerWrite(strings.Repeat("x", 100_000))
			s.readFull("Read", 1)
			s.still()
		}},
		{"all but one byte of 100 KB", func(s *scene) {
			s.peerWrite(strings.Repeat("x", 100_000))
			s.still()
			s.readFull("Read", 99_999)
		}},
		{"all of 100 KB", func(s *scene) {
			s.peerWrite(strings.Repeat("x", 100_000))
			s.still()
			s.readFull("Read", 100_000)
		}},
		{"arrived after a Read", func(s *scene) {
			s.peerWrite("read")
			s.readFull("Read", 4)
			s.peerWrite("unread")
			s.still()
		}},
		{"arrived after a Read timed out", func(s *scene) {
			s.must(s.conn.SetReadDeadline(soon()))
			s.read("Read", 4)
			s.peerWrite("unread")
			s.still()
		}},
		{"after many round trips", func(s *scene) {
			for range 300 {
				_, err := io.WriteString(s.peer, "ping")
				s.must(err)
				s.must(readWhole(s.conn, "ping"))
				_, err = io.WriteString(s.conn, "pong")
				s.must(err)
				s.must(readWhole(s.peer, "pong"))
			}
			s.peerWrite("unread")
			s.still()
		}},
		{"unread and FIN", func(s *scene) { s.peerWrite("unread"); s.peerFin(false); s.still() }},
	}
	for _, v := range cases {
		t.Run(v.name, func(t *testing.T) {
			compareConns(t, "tcp4 unix", func(s *scene) {
				v.f(s)
				s.err("Close", s.conn.Close())
				s.peerDrain("peer")
				n, err := s.peer.Write([]byte("x"))
				s.rec("peer Write", "%d %s", n, s.peerGot(nil, err))
			})
		})
	}
}

func readWhole(r io.Reader, want string) error {
	b := make([]byte, len(want))
	if _, err := io.ReadFull(r, b); err != nil {
		return err
	}
	if string(b) != want {
		return fmt.Errorf("got %q, want %q", b, want)
	}
	return nil
}

// TestBehaviourReset runs sequences of Reads and Writes after a reset:
// R and W are one operation each, r and w empty ones, C is CloseWrite.
func TestBehaviourReset(t *testing.T) {
	sequences := []string{"RRRR", "WWRR", "RWWR", "WRRW", "rRrR", "wWwW", "CRWR", "RCWR"}
	for _, pending := range []string{"", "pending data"} {
		for _, seq := range sequences {
			t.Run(fmt.Sprintf("%s after %q", seq, pending), func(t *testing.T) {
				compareConns(t, "tcp4", func(s *scene) {
					s.peerWrite(pending)
					s.still()
					s.peerReset()
					s.still()
					s.sequence(seq)
				})
			})
		}
	}
	compareConns(t, "tcp4 tcp6", func(s *scene) { // while parked
		s.smallBuffers()
		s.fill()
		r := s.start(func() string { return s.doRead(8) })
		w := s.start(func() string {
			_, err := s.conn.Write(make([]byte, 1<<20))
			return s.describe(err)
		})
		r.blocked("Read")
		w.blocked("Write")
		s.peerReset()
		// One of the two gets ECONNRESET, which one is the scheduler's choice.
		ends := []string{r.wait(), w.wait()}
		s.rec("one reset", "%d", strings.Count(strings.Join(ends, " "), "ECONNRESET "))
		s.sequence("RW")
	})
	compareConns(t, "tcp4 tcp6", func(s *scene) { // parked Read alone
		r := s.start(func() string { return s.doRead(8) })
		r.blocked("Read")
		s.peerReset()
		r.result("Read")
		s.sequence("RWR")
	})
	compareConns(t, "tcp4 tcp6", func(s *scene) { // part of the data read before
		s.peerWrite(strings.Repeat("x", 50_000))
		s.readFull("Read", 1)
		s.peerReset()
		s.readFull("rest", 49_999)
		s.sequence("RRW")
	})
}

func (s *scene) sequence(seq string) {
	for i, op := range seq {
		label := fmt.Sprintf("%c%d", op, i)
		switch op {
		case 'R':
			s.read(label, 64)
		case 'r':
			s.read(label, 0)
		case 'W':
			s.write(label, "x")
		case 'w':
			s.write(label, "")
		case 'C':
			s.err(label, s.stream().CloseWrite())
		}
	}
	s.err("Close", s.conn.Close())
}

// TestBehaviourPeerGone: the peer closes without having read; then we write.
func TestBehaviourPeerGone(t *testing.T) {
	compareConns(t, allStreams, func(s *scene) {
		s.write("Write", "never read")
		s.arrived(s.conn)
		s.must(s.peer.Close())
		s.awaitState(unix.BPF_TCP_CLOSE)
		s.sequence("RRWW")
	})
	compareConns(t, allStreams, func(s *scene) { // closed cleanly; the first Write draws a reset
		s.peerFin(true)
		s.read("Read", 8)
		s.write("Write", "into the void")
		s.awaitState(unix.BPF_TCP_CLOSE)
		s.sequence("WRWR")
	})
}

func TestBehaviourHalfClose(t *testing.T) {
	compareConns(t, allStreams, func(s *scene) { // ours
		c := s.stream()
		s.write("Write", "request")
		s.err("CloseWrite", c.CloseWrite())
		s.write("Write after", "x")
		s.write("Write empty after", "")
		s.err("CloseWrite again", c.CloseWrite())
		s.peerDrain("peer")
		s.peerWrite("response")
		s.readFull("Read", 8)
		s.must(s.peer.Close())
		s.awaitState(unix.BPF_TCP_CLOSE)
		s.readAll("end")
		s.err("CloseWrite third", c.CloseWrite())
		s.err("CloseRead", c.CloseRead())
		s.err("Close", c.Close())
		s.err("CloseWrite closed", c.CloseWrite())
		s.err("CloseRead closed", c.CloseRead())
	})
	compareConns(t, allStreams, func(s *scene) { // the peer's
		s.peerWrite("request")
		s.peerFin(false)
		s.readAll("Read")
		s.write("Write", "response")
		s.err("Close", s.conn.Close())
		s.peerDrain("peer")
	})
	compareConns(t, allStreams, func(s *scene) { // a lot before CloseWrite
		data := pattern(3 << 20)
		got := s.start(func() string { return s.drain(s.peer) })
		s.rec("Write", "%s", s.doWrite(data))
		s.err("CloseWrite", s.stream().CloseWrite())
		got.result("peer")
	})
}

func TestBehaviourCloseRead(t *testing.T) {
	compareConns(t, allStreams, func(s *scene) {
		s.peerWrite("before")
		s.err("CloseRead", s.stream().CloseRead())
		s.read("Read", 3)
		s.read("Read empty", 0)
		s.read("Read", 64)
		s.read("Read", 64)
		s.err("CloseRead again", s.stream().CloseRead())
		s.write("Write", "still open")
		s.peerExpect("peer", 10)
		s.must(s.conn.SetReadDeadline(pastDeadline))
		s.read("Read past deadline", 8)
	})
	compareConns(t, allStreams, func(s *scene) { // wakes, and what comes later
		r := []*call{
			s.start(func() string { return s.doRead(8) }),
			s.start(func() string { return s.doRead(8) }),
		}
		r[0].blocked("parked")
		s.err("CloseRead", s.stream().CloseRead())
		r[0].result("Read")
		r[1].result("Read")
		_, err := io.WriteString(s.peer, "late")
		s.rec("peer Write", "%s", s.peerGot(nil, err))
		if err == nil {
			s.peerArrived()
		}
		s.still()
		s.read("Read late", 64)
		s.read("Read end", 64)
	})
}

// TestBehaviourCloseWriteBlocked shuts down under a blocked Write. On a unix
// socket the kernel does not wake the writer, so nothing is promised there.
func TestBehaviourCloseWriteBlocked(t *testing.T) {
	compareConns(t, "tcp4 tcp6", func(s *scene) {
		s.smallBuffers()
		sum := s.fill()
		w := s.start(func() string {
			n, err := s.conn.Write(make([]byte, 1<<20))
			sum += n
			return s.describe(err)
		})
		w.blocked("Write")
		s.err("CloseWrite", s.stream().CloseWrite())
		w.result("Write")
		got, err := drain(s.peer)
		s.rec("peer", "exactly what was written=%t %s", len(got) == sum, s.describe(err))
	})
}

// TestBehaviourCloseRaces closes while other calls come and go: only the
// errors that net gives may come up, and nothing may hang.
func TestBehaviourCloseRaces(t *testing.T) {
	compareConns(t, allStreams, func(s *scene) {
		seen := make(chan string, 64)
		ops := []func() error{
			func() error { _, err := s.conn.Read(make([]byte, 8)); return err },
			func() error { _, err := s.conn.Write([]byte("x")); return err },
			func() error { return s.conn.SetDeadline(distant()) },
			func() error { _, err := s.conn.Read(nil); return err },
			func() error { _, err := io.Copy(io.Discard, s.conn); return err },
		}
		go io.Copy(s.peer, s.peer) // echo
		for _, op := range ops {
			go func() {
				for {
					if err := op(); err != nil {
						seen <- s.describe(err)
						return
					}
				}
			}()
		}
		<-time.After(time.Millisecond)
		s.err("Close", s.conn.Close())
		var got []string
		for range ops {
			select {
			case e := <-seen:
				got = append(got, e)
			case <-time.After(behaviourLimit / 4):
				got = append(got, "STILL BLOCKED")
			}
		}
		slices.Sort(got)
		s.rec("errors", "%s", strings.Join(got, "\n"))
	})
}
