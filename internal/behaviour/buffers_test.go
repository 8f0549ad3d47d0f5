//go:build linux

package behaviour

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// writeBuffers is the one way of the conn's to make a writev of v.
func writeBuffers(c net.Conn, v *net.Buffers) (int64, error) {
	if w, ok := c.(interface {
		WriteBuffers(v *net.Buffers) (int64, error)
	}); ok {
		return w.WriteBuffers(v)
	}
	return v.WriteTo(c)
}

// readFromBuffers is the other one, of conns of TCP.
func readFromBuffers(c net.Conn, v *net.Buffers) (int64, error) {
	if rf, ok := c.(io.ReaderFrom); ok {
		return rf.ReadFrom(v)
	}
	return writeBuffers(c, v)
}

// buffersWays are what is compared: on package net's conns, both are a writev.
var buffersWays = []struct {
	name string
	do   func(c net.Conn, v *net.Buffers) (int64, error)
}{
	{"WriteBuffers", writeBuffers},
	{"ReadFrom", readFromBuffers},
}

func lengths(v net.Buffers) (each []int, total int64) {
	for _, b := range v {
		each = append(each, len(b))
		total += int64(len(b))
	}
	return each, total
}

// TestBehaviourWriteBuffers sends buffers whose number and sizes are of interest:
// what is left of them is net's, too.
func TestBehaviourWriteBuffers(t *testing.T) {
	compareGearConns(t, "tcp4 unix", func(s *scene) {
		many := func(size func(i int) int) (v net.Buffers) {
			for i := range 2500 { // more than two calls take
				v = append(v, bytes.Repeat([]byte{byte(i)}, size(i)))
			}
			return v
		}
		got := s.start(func() string { return s.drain(s.peer) })
		for _, way := range buffersWays {
			for i, v := range []net.Buffers{
				nil,
				{},
				{nil, {}, nil},
				{nil, []byte("a")},
				{[]byte("a"), nil, []byte("bc"), []byte(strings.Repeat("d", 100_000)), nil, {}},
				{pattern(3), pattern(20_000), pattern(1 << 20), pattern(7)},
				many(func(i int) int { return i % 50 }),
				many(func(i int) int { return 700 }),
				many(func(int) int { return 0 }),
			} {
				n, err := way.do(s.conn, &v)
				each, _ := lengths(v)
				s.rec(fmt.Sprint(way.name, i), "%d left=%v nil=%t %s", n, each, v == nil, s.describe(err))
				s.write("Write after", "!")
			}
		}
		s.must(s.stream().CloseWrite())
		got.result("peer")
	})
}

// TestBehaviourWriteBuffersOrder sends answers in several ways each, so that some
// are accepted and sent later.
func TestBehaviourWriteBuffersOrder(t *testing.T) {
	compareGearConns(t, "tcp4 unix", func(s *scene) {
		peer := s.start(func() string {
			var all []byte
			for i := range 300 {
				if _, err := s.peer.Write([]byte{byte(i)}); err != nil {
					return s.describe(err)
				}
				b := make([]byte, 11)
				if _, err := io.ReadFull(s.peer, b); err != nil {
					return s.describe(err)
				}
				all = append(all, b...)
			}
			return fmt.Sprintf("%q", all)
		})
		for i := range 300 {
			b := make([]byte, 1)
			_, err := io.ReadFull(s.conn, b)
			s.must(err)
			write := func(p string) {
				_, err := io.WriteString(s.conn, p)
				s.must(err)
			}
			write("1")
			write("23") // accepted, once the conn is known to read on soon
			v := net.Buffers{[]byte("4"), nil, []byte("567")}
			_, err = buffersWays[i%2].do(s.conn, &v)
			s.must(err)
			write("8")
			v = net.Buffers{b, []byte("9")}
			_, err = buffersWays[i%2].do(s.conn, &v)
			s.must(err)
			write("+")
		}
		peer.result("peer")
	})
}

// TestBehaviourWriteBuffersErrors has the errors, by text and by what is in them.
func TestBehaviourWriteBuffersErrors(t *testing.T) {
	compareGears(t, "tcp4 unix", func(s *scene) {
		for _, way := range buffersWays {
			fresh := func(label string) func(string) {
				s.conn, s.peer = s.pair()
				return func(what string) {
					for _, v := range []net.Buffers{{[]byte("x"), []byte("yz")}, {}, {nil}} {
						n, err := way.do(s.conn, &v)
						each, _ := lengths(v)
						text := "<nil>"
						if err != nil {
							text = err.Error()
						}
						s.rec(way.name+" "+label+" "+what, "%d left=%v %s %s", n, each, s.describe(err), text)
					}
				}
			}
			try := fresh("deadline")
			s.must(s.conn.SetWriteDeadline(pastDeadline))
			try("past")
			s.must(s.conn.SetWriteDeadline(distant()))
			try("distant")
			s.must(s.conn.Close())
			try("closed")

			try = fresh("half closed")
			s.must(s.stream().CloseWrite())
			try("once")
			try("twice")
			s.conn.Close()

			try = fresh("reset")
			if s.network == "tcp4" {
				s.peerReset()
				try("once")
				try("twice")
			}
			s.conn.Close()
			s.peer.Close()
		}
	})
}

// TestBehaviourWriteBuffersStuck: a peer that does not read has WriteBuffers wait,
// until a deadline, Close, or the peer's end; what it says was sent was.
func TestBehaviourWriteBuffersStuck(t *testing.T) {
	const all = 4<<20 + 1<<10
	large := pattern(2 << 20)
	fresh := func() net.Buffers { return net.Buffers{large[:1<<10], large, large} }
	compareGearConns(t, "tcp4 unix", func(s *scene) {
		s.smallBuffers()
		var v net.Buffers
		n, err := s.cutShort(func() (int64, error) { v = fresh(); return writeBuffers(s.conn, &v) })
		_, left := lengths(v)
		s.rec("deadline", "some=%t counts=%t timeout=%t", n < all, n+left == all, errors.Is(err, os.ErrDeadlineExceeded))
		sent := n

		s.must(s.conn.SetWriteDeadline(noDeadline))
		c := s.start(func() string {
			v := fresh()
			n, err := readFromBuffers(s.conn, &v)
			_, left := lengths(v)
			sent += n
			return fmt.Sprintf("some=%t counts=%t %s", n < all, n+left == all, s.describe(err))
		})
		c.asleep()
		s.must(s.conn.SetWriteDeadline(pastDeadline))
		c.result("a deadline moved")
		s.must(s.conn.SetWriteDeadline(noDeadline))

		c = s.start(func() string {
			v := fresh()
			n, err := writeBuffers(s.conn, &v)
			sent += n
			return fmt.Sprintf("some=%t %s", n < all, s.describe(err))
		})
		c.asleep()
		other := s.start(func() string { // waits for its turn
			n, err := s.conn.Write([]byte("between"))
			return fmt.Sprintf("%d %s", n, s.describe(err))
		})
		s.still()
		s.must(s.conn.Close())
		c.result("Close")
		other.result("Write met Close")
		got, err := drain(s.peer)
		s.rec("peer", "exactly=%t %v", int64(len(got)) == sent, err)
	})
}

// TestBehaviourWriteBuffersTurns: what several send at once does not mix.
func TestBehaviourWriteBuffersTurns(t *testing.T) {
	compareGearConns(t, "tcp4 unix", func(s *scene) {
		s.smallBuffers()
		const writers, size = 4, 300_000
		var calls []*call
		for i := range writers {
			calls = append(calls, s.start(func() string {
				part := bytes.Repeat([]byte{byte('a' + i)}, size/3)
				var err error
				if v := (net.Buffers{part, part, part}); i%2 == 0 {
					_, err = writeBuffers(s.conn, &v)
				} else {
					_, err = s.conn.Write(bytes.Join(v, nil))
				}
				return s.describe(err)
			}))
		}
		b := make([]byte, size)
		for range writers {
			_, err := io.ReadFull(s.peer, b)
			s.must(err)
			s.rec("whole", "%t", bytes.Count(b, b[:1]) == size)
		}
		for _, c := range calls {
			c.result("WriteBuffers")
		}
	})
}

// TestBehaviourFaultBuffers: of memory that the kernel cannot reach it sends what
// comes before, and the conn lives on.
func TestBehaviourFaultBuffers(t *testing.T) {
	eachFault(t, func(s *scene, memory func(good, all int) []byte) {
		bad := memory(0, page)
		sent := 0
		for _, v := range []net.Buffers{{bad[:100]}, {[]byte("fine"), bad[:100], []byte("after")}} {
			var total int64
			for range 2 { // the rest of it
				n, err := writeBuffers(s.conn, &v)
				total += n
				sent += int(n)
				if err != nil && s.cause(err) != "EFAULT" {
					s.err("WriteBuffers", err)
				}
			}
			each, _ := lengths(v)
			s.rec("WriteBuffers", "%d left=%v", total, each)
		}
		s.write("Write", "still open")
		s.peerExpect("peer", sent+10)
	})
}

// TestBehaviourWriteBuffersBlocking: somebody has set the socket to blocking mode.
func TestBehaviourWriteBuffersBlocking(t *testing.T) {
	compareGearConns(t, "tcp4 unix", func(s *scene) {
		s.control(s.conn, func(fd int) { s.must(unix.SetNonblock(fd, false)) })
		v := net.Buffers{[]byte("one, "), []byte("two")}
		n, err := writeBuffers(s.conn, &v)
		s.rec("WriteBuffers", "%d left=%d %s", n, len(v), s.describe(err))
		s.peerExpect("peer", 8)
	})
}
