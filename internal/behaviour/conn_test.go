//go:build linux

package behaviour

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// tcpConn is the method set of *net.TCPConn that net.Conn lacks.
type tcpConn interface {
	io.ReaderFrom
	io.WriterTo
	syscall.Conn
	CloseRead() error
	CloseWrite() error
	File() (*os.File, error)
	MultipathTCP() (bool, error)
	SetKeepAlive(bool) error
	SetKeepAliveConfig(net.KeepAliveConfig) error
	SetKeepAlivePeriod(time.Duration) error
	SetLinger(int) error
	SetNoDelay(bool) error
	SetReadBuffer(int) error
	SetWriteBuffer(int) error
}

// streamConn is what *net.TCPConn and *net.UnixConn have in common.
type streamConn interface {
	net.Conn
	syscall.Conn
	CloseRead() error
	CloseWrite() error
	File() (*os.File, error)
	SetReadBuffer(int) error
	SetWriteBuffer(int) error
}

// stream returns the conn under test with its methods; a conn that lacks one
// fails the test here.
func (s *scene) stream() streamConn {
	c, ok := s.conn.(streamConn)
	if !ok {
		s.fatal(fmt.Sprintf("%T lacks methods of streamConn", s.conn))
	}
	return c
}

func (s *scene) tcp() tcpConn {
	c, ok := s.conn.(tcpConn)
	if !ok {
		s.fatal(fmt.Sprintf("%T lacks methods of tcpConn", s.conn))
	}
	return c
}

const allStreams = "tcp4 tcp6 unix"

// connOps records one call of every operation of a conn.
func (s *scene) connOps(state string) {
	c := s.stream()
	past, future := time.Unix(1, 0), time.Now().Add(time.Hour)
	s.read(state+" Read", 8)
	s.read(state+" Read empty", 0)
	s.write(state+" Write", "x")
	s.write(state+" Write empty", "")
	s.err(state+" SetDeadline", c.SetDeadline(future))
	s.err(state+" SetReadDeadline past", c.SetReadDeadline(past))
	s.err(state+" SetWriteDeadline past", c.SetWriteDeadline(past))
	s.read(state+" Read past deadline", 8)
	s.read(state+" Read empty past deadline", 0)
	s.write(state+" Write past deadline", "x")
	s.write(state+" Write empty past deadline", "")
	s.err(state+" SetDeadline none", c.SetDeadline(time.Time{}))
	s.err(state+" SetReadBuffer", c.SetReadBuffer(8192))
	s.err(state+" SetWriteBuffer", c.SetWriteBuffer(8192))
	s.err(state+" CloseRead", c.CloseRead())
	s.err(state+" CloseWrite", c.CloseWrite())
	s.rec(state+" addresses", "%s %s", s.addrKind(c.LocalAddr()), s.addrKind(c.RemoteAddr()))
	if s.network != "unix" {
		s.tcpOps(state)
	}
}

func (s *scene) tcpOps(state string) {
	c := s.tcp()
	s.err(state+" SetNoDelay", c.SetNoDelay(false))
	s.err(state+" SetKeepAlive", c.SetKeepAlive(false))
	s.err(state+" SetKeepAlivePeriod", c.SetKeepAlivePeriod(time.Minute))
	s.err(state+" SetKeepAliveConfig", c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true}))
	s.err(state+" SetKeepAliveConfig off", c.SetKeepAliveConfig(net.KeepAliveConfig{Idle: -1, Interval: -1, Count: -1}))
	s.err(state+" SetLinger", c.SetLinger(-1))
	mptcp, err := c.MultipathTCP()
	s.rec(state+" MultipathTCP", "%t %s", mptcp, s.describe(err))
	n, err := c.ReadFrom(strings.NewReader("abc"))
	s.rec(state+" ReadFrom", "%d %s", n, s.describe(err))
	n, err = c.ReadFrom(strings.NewReader(""))
	s.rec(state+" ReadFrom empty", "%d %s", n, s.describe(err))
	n, err = c.ReadFrom(io.LimitReader(strings.NewReader("abc"), 0))
	s.rec(state+" ReadFrom none", "%d %s", n, s.describe(err))
	var buf bytes.Buffer
	n, err = c.WriteTo(&buf)
	s.rec(state+" WriteTo", "%d %q %s", n, &buf, s.describe(err))
}

func TestBehaviourAfterClose(t *testing.T) {
	compareConns(t, allStreams, func(s *scene) {
		s.write("Write before", "last words")
		s.err("Close", s.conn.Close())
		s.err("second Close", s.conn.Close())
		s.connOps("closed")
		s.err("third Close", s.conn.Close())
		s.peerDrain("peer")
	})
}

func TestBehaviourAfterPeerClose(t *testing.T) {
	compareConns(t, allStreams, func(s *scene) {
		s.peerFin(false)
		s.connOps("peer closed")
		s.err("Close", s.conn.Close())
	})
}

func TestBehaviourAfterCloseWrite(t *testing.T) {
	compareConns(t, allStreams, func(s *scene) {
		s.must(s.stream().CloseWrite())
		s.peerExpect("peer", 1)
		s.must(s.peer.Close())
		s.awaitState(unix.BPF_TCP_CLOSE)
		s.connOps("both closed")
		s.err("Close", s.conn.Close())
	})
	compareConns(t, "tcp4 unix", func(s *scene) {
		s.must(s.stream().CloseWrite())
		s.peerWrite("data")
		s.read("Read empty", 0)
		s.connOps("write closed")
		s.err("Close", s.conn.Close())
	})
}

func TestBehaviourAfterReset(t *testing.T) {
	compareConns(t, "tcp4 tcp6", func(s *scene) {
		s.peerReset()
		s.connOps("reset")
		s.err("Close", s.conn.Close())
		s.err("second Close", s.conn.Close())
	})
}

// fill makes the conn's socket full, so that a Write of much blocks, and
// returns how much it took.
func (s *scene) fill() (total int) {
	for total == 0 || s.hasRoom() {
		s.must(s.conn.SetWriteDeadline(soon()))
		n, err := s.conn.Write(make([]byte, 4<<20))
		if err == nil {
			s.fatal("4 MB fitted into a socket with small buffers")
		}
		total += n
	}
	s.must(s.conn.SetWriteDeadline(noDeadline))
	return total
}

// hasRoom reports whether the conn's socket is writable.
func (s *scene) hasRoom() (room bool) {
	s.control(s.conn, func(fd int) {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, 0)
		room = n > 0 || err != nil
	})
	return room
}

func TestBehaviourEOF(t *testing.T) {
	compareConns(t, allStreams, func(s *scene) {
		s.peerWrite("hello")
		s.peerFin(false)
		s.read("Read empty with data", 0)
		s.read("Read some", 3)
		s.readAll("rest")
		s.read("Read again", 8)
		s.read("Read empty", 0)
		s.write("Write", "still open")
		s.peerExpect("peer", 10)
		s.read("Read third", 1)
	})
	compareConns(t, allStreams, func(s *scene) {
		c := s.start(func() string { return s.doRead(8) })
		c.blocked("Read")
		s.peerFin(true)
		c.result("Read ends")
	})
	compareConns(t, allStreams, func(s *scene) {
		c := s.start(func() string { return s.drain(s.conn) })
		for range 3 {
			s.peerWrite(string(pattern(10_000)))
		}
		s.peerFin(false)
		c.result("everything")
	})
}

// TestBehaviourUrgent has Reads stop at urgent bytes, which are not theirs, and go
// on after them, whether or not anything else comes.
func TestBehaviourUrgent(t *testing.T) {
	compareConns(t, "tcp4 tcp6", func(s *scene) {
		defer unpreempted()()
		urgent := func(data string) { // the last of them
			s.control(s.peer, func(fd int) { s.must(unix.Sendto(fd, []byte(data), unix.MSG_OOB, nil)) })
		}
		parked := s.start(func() string {
			defer unpreempted()()
			return s.doRead(100)
		})
		parked.asleep()
		urgent("!")
		parked.blocked("urgent byte alone")
		s.peerWrite("x")
		parked.result("Read")
		for range 3 {
			urgent("before!")
			s.peerWrite("after")
			s.readFull("both", len("beforeafter"))
			two := s.start(func() string { // each may find a part
				defer unpreempted()()
				b := make([]byte, 100)
				n := 0
				for n < len("beforeafter") {
					m, err := s.conn.Read(b[n:])
					if s.must(err); m == 0 {
						return "nothing"
					}
					n += m
				}
				return string(b[:n])
			})
			two.asleep()
			urgent("before!")
			s.peerWrite("after")
			two.result("both, parked")
		}
	})
}

// unpreempted keeps Go's SIGURG from the caller's thread until what it returns is
// called. At an urgent byte, recv(2) with any signal pending says EAGAIN although more
// has come (tcp_recvmsg_locked), and no poll tells of that again: one Read in some
// thousands of package net's waits forever, too.
func unpreempted() func() {
	runtime.LockOSThread()
	var urg, old unix.Sigset_t
	urg.Val[0] = 1 << (unix.SIGURG - 1)
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &urg, &old); err != nil {
		panic(err)
	}
	return func() {
		_ = unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil)
		runtime.UnlockOSThread()
	}
}

func TestBehaviourZeroLength(t *testing.T) {
	compareConns(t, allStreams, func(s *scene) {
		empty := func(state string) {
			s.read(state+" Read", 0)
			s.write(state+" Write", "")
			n, err := s.conn.Read(nil)
			s.rec(state+" Read nil", "%d %s", n, s.describe(err))
			n, err = s.conn.Write(nil)
			s.rec(state+" Write nil", "%d %s", n, s.describe(err))
		}
		empty("open")
		s.must(s.conn.SetDeadline(time.Unix(1, 0)))
		empty("past deadline")
		s.must(s.conn.SetDeadline(time.Time{}))
		s.peerWrite("data")
		empty("with data")
		s.peerFin(false)
		empty("peer closed")
		s.readAll("data")
		empty("at EOF")
		s.must(s.stream().CloseWrite())
		empty("write closed")
		s.must(s.conn.SetDeadline(time.Unix(1, 0)))
		empty("write closed and past deadline")
		s.must(s.conn.Close())
		empty("closed")
	})
	compareConns(t, allStreams, func(s *scene) { // while others are parked
		s.smallBuffers()
		r := s.start(func() string { return s.doRead(1) })
		r.asleep()
		r.blocked("parked Read")
		s.fill()
		w := s.start(func() string { return s.doWrite(make([]byte, 1<<20)) })
		w.asleep()
		w.blocked("parked Write")
		for i := range 2 {
			z := s.start(func() string { return s.doRead(0) })
			z.blocked(fmt.Sprint("Read empty ", i))
			z = s.start(func() string { return s.doWrite(nil) })
			z.blocked(fmt.Sprint("Write empty ", i))
		}
	})
}

func TestBehaviourConcurrentClose(t *testing.T) {
	compareConns(t, allStreams, func(s *scene) {
		var wg sync.WaitGroup
		results := make([]string, 8)
		begin := make(chan struct{})
		for i := range results {
			wg.Go(func() {
				<-begin
				results[i] = s.describe(s.conn.Close())
			})
		}
		close(begin)
		wg.Wait()
		slices.Sort(results)
		for i, r := range results {
			s.rec(fmt.Sprint("Close ", i), "%s", r)
		}
		s.peerDrain("peer")
	})
}

func TestBehaviourConcurrentWrites(t *testing.T) {
	compareConns(t, "tcp4 unix", func(s *scene) {
		s.must(s.stream().SetWriteBuffer(4096))
		const frame, frames = 200_000, 3
		var wg sync.WaitGroup
		for _, id := range []byte{'a', 'b'} {
			wg.Go(func() {
				b := bytes.Repeat([]byte{id}, frame)
				for i := range frames {
					b[0] = '0' + byte(i)
					n, err := s.conn.Write(b)
					if n != frame || err != nil {
						s.rec("Write", "%d %s", n, s.describe(err))
					}
				}
			})
		}
		got := make([]byte, 2*frames*frame)
		_, err := io.ReadFull(s.peer, got)
		s.err("peer", err)
		wg.Wait()
		var next [256]byte
		for i := range 2 * frames {
			f := got[i*frame : (i+1)*frame]
			id := f[1]
			if f[0] != '0'+next[id] || !bytes.Equal(f[1:], bytes.Repeat([]byte{id}, frame-1)) {
				s.rec("frame", "%d is not whole", i)
			}
			next[id]++
		}
		s.rec("frames", "a=%d b=%d", next['a'], next['b'])
	})
}

// TestBehaviourConcurrentReads checks that every byte reaches one Read.
func TestBehaviourConcurrentReads(t *testing.T) {
	compareConns(t, "tcp4 unix", func(s *scene) {
		sent := pattern(600_000)
		var want, got [256]int
		for _, b := range sent {
			want[b]++
		}
		var mu sync.Mutex
		var wg sync.WaitGroup
		ends := make([]string, 4)
		for i := range ends {
			wg.Go(func() {
				data, err := drain(readSizes{s.conn, 100 + 4000*i})
				mu.Lock()
				defer mu.Unlock()
				for _, b := range data {
					got[b]++
				}
				ends[i] = s.describe(err)
			})
		}
		_, err := s.peer.Write(sent)
		s.must(err)
		s.peerFin(false)
		wg.Wait()
		s.rec("ends", "%q", ends)
		s.rec("every byte once", "%t", got == want)
	})
}

// readSizes reads with short slices.
type readSizes struct {
	r   io.Reader
	max int
}

func (r readSizes) Read(b []byte) (int, error) { return r.r.Read(b[:min(len(b), r.max)]) }

// TestBehaviourStream sends much in pieces of many sizes, both ways at once.
func TestBehaviourStream(t *testing.T) {
	compareConns(t, allStreams, func(s *scene) {
		const total = 2 << 20
		data := pattern(total)
		send := func(w io.Writer) error {
			rest, size := data, 1
			for len(rest) > 0 {
				n := min(size, len(rest))
				if _, err := w.Write(rest[:n]); err != nil {
					return err
				}
				rest, size = rest[n:], size*3%150_001
			}
			return nil
		}
		sent := s.start(func() string { return s.describe(send(s.conn)) })
		peerSent := s.start(func() string { return s.describe(send(s.peer)) })
		peerGot := s.start(func() string {
			b := make([]byte, total)
			n, err := io.ReadFull(s.peer, b)
			return s.transferred(n, b, err)
		})
		s.readFull("conn got", total)
		peerGot.result("peer got")
		sent.result("conn sent")
		peerSent.result("peer sent")
	})
}

// TestBehaviourWriteOwnership overwrites a slice as soon as Write is back.
func TestBehaviourWriteOwnership(t *testing.T) {
	compareConns(t, allStreams, func(s *scene) {
		got := s.start(func() string { return s.drain(s.peer) })
		b := make([]byte, 5000)
		for i := range 200 {
			for j := range b {
				b[j] = byte(i)
			}
			if n, err := s.conn.Write(b[:1+i*24]); n != 1+i*24 || err != nil {
				s.rec("Write", "%d %s", n, s.describe(err))
			}
			clear(b)
		}
		s.must(s.stream().CloseWrite())
		got.result("peer")
	})
}

// TestBehaviourBufferReuse keeps what Reads returned while more arrives.
func TestBehaviourBufferReuse(t *testing.T) {
	compareConns(t, "tcp4 unix", func(s *scene) {
		var kept [][]byte
		for i := range 100 {
			msg := bytes.Repeat([]byte{byte(i)}, 700)
			_, err := s.peer.Write(msg)
			s.must(err)
			b := make([]byte, 700)
			_, err = io.ReadFull(s.conn, b)
			s.must(err)
			kept = append(kept, b)
		}
		for i, b := range kept {
			if !bytes.Equal(b, bytes.Repeat([]byte{byte(i)}, 700)) {
				s.rec("changed", "%d", i)
			}
		}
		s.rec("kept", "%d", len(kept))
	})
}
