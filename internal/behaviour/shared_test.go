//go:build linux

package behaviour

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// sharings are the ways in which others come to know the socket of the conn
// under test. Each returns a descriptor of it that is not the conn's to use.
var sharings = []struct {
	name string
	do   func(s *scene) (fd int)
	anew bool // makes another pair
}{
	{"File", (*scene).byFile, false},
	{"Control", (*scene).byControl, false},
	{"RawRead", func(s *scene) (fd int) {
		s.must(s.raw().Read(func(f uintptr) bool { fd = int(f); return true }))
		return fd
	}, false},
	{"RawWrite", (*scene).byRawWrite, false},
	{"FileConn", func(s *scene) int {
		f := s.fileOf(s.conn)
		c, err := s.impl.fileConn(f)
		s.must(err)
		s.closeLater(c)
		s.must(s.conn.Close())
		s.conn = c
		return s.number(f)
	}, true},
	{"Dialer.Control", func(s *scene) (fd int) {
		s.side = "client"
		s.conn, s.peer = s.pairWith(net.ListenConfig{}, net.Dialer{Control: func(_, _ string, rc syscall.RawConn) error {
			return rc.Control(func(f uintptr) { fd = s.dup(int(f)) })
		}})
		return fd
	}, true},
}

func (s *scene) byFile() int { return s.number(s.fileOf(s.conn)) }

func (s *scene) byControl() (fd int) {
	s.control(s.conn, func(f int) { fd = f })
	return fd
}

func (s *scene) byRawWrite() (fd int) {
	s.must(s.raw().Write(func(f uintptr) bool { fd = int(f); return true }))
	return fd
}

// number is c's descriptor, as it is: Fd would make that of a File blocking.
func (s *scene) number(c any) (fd int) {
	s.control(c, func(f int) { fd = f })
	return fd
}

// eachSharing runs f, with a descriptor that somebody else has, for each way of
// sharing.
func eachSharing(t *testing.T, networks string, f func(s *scene, fd int)) {
	for _, how := range sharings {
		t.Run(how.name, func(t *testing.T) {
			compareGears(t, networks, func(s *scene) {
				s.side = "server"
				s.conn, s.peer = s.pair()
				s.waitOnce()
				fd := how.do(s)
				if how.anew {
					s.waitOnce()
				}
				f(s, fd)
			})
		})
	}
}

// kernelHas records what others find in the socket without taking it.
func (s *scene) kernelHas(label string, fd int) {
	n, err := unix.IoctlGetInt(fd, unix.TIOCINQ)
	s.rec(label, "%d bytes %s", n, s.describe(err))
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN | unix.POLLRDHUP}}
	_, err = unix.Poll(p, 0)
	s.rec(label+" poll", "%#x %s", p[0].Revents, s.describe(err))
	s.rec(label+" peek", "%s", s.peek(fd))
}

// TestBehaviourSharedRead: whoever waits with epoll on a copy of the socket
// sees every message, for only Reads take something, and only what they return.
func TestBehaviourSharedRead(t *testing.T) {
	eachSharing(t, "tcp4 unix", func(s *scene, fd int) {
		c := s.start(func() string { return s.doRead(1) })
		c.blocked("Read")
		s.peerWrite("abc")
		c.result("Read")
		s.kernelHas("after a part", fd)
		s.peerWrite("d")
		s.kernelHas("and more", fd)
		s.read("Read", 2)
		s.kernelHas("after two", fd)
		s.read("Read", 8)
		s.must(s.conn.SetReadDeadline(soon()))
		s.read("past a deadline", 1)
		s.must(s.conn.SetReadDeadline(noDeadline))
		s.peerWrite("e")
		s.still()
		s.kernelHas("after a deadline", fd)
		b := make([]byte, 8)
		n, err := syscall.Read(fd, b)
		s.rec("another's read", "%q %s", b[:max(n, 0)], s.describe(err))
		c = s.start(func() string { return s.doRead(1) })
		c.blocked("Read")
		s.peerWrite("fg")
		c.result("Read")
		s.kernelHas("the last", fd)
		s.peerFin(true)
		s.still()
		s.read("Read", 8)
		s.kernelHas("end", fd)
		s.read("Read at the end", 8)
	})
}

// TestBehaviourSharedWhileParked: a call that waits when the socket becomes
// known takes its own bytes, and nothing beyond.
func TestBehaviourSharedWhileParked(t *testing.T) {
	ways := []struct {
		name string
		do   func(s *scene) int
	}{{"File", (*scene).byFile}, {"Control", (*scene).byControl}, {"RawWrite", (*scene).byRawWrite}}
	for _, how := range ways {
		t.Run(how.name, func(t *testing.T) {
			compareGearConns(t, "tcp4 unix", func(s *scene) {
				c := s.start(func() string { return s.doRead(1) })
				c.blocked("Read")
				fd := how.do(s)
				c.blocked("Read")
				s.peerWrite("abc")
				c.result("Read")
				s.kernelHas("after a part", fd)
				s.readFull("rest", 2)
				c = s.start(func() string { return s.doRead(1) })
				c.blocked("Read")
				s.must(s.conn.SetReadDeadline(pastDeadline))
				c.result("Read past a deadline")
				s.must(s.conn.SetReadDeadline(noDeadline))
				c = s.start(func() string { return s.doRead(1) })
				c.blocked("Read")
				s.err("Close", s.conn.Close())
				c.result("Read closed")
			})
			compareGearConns(t, "tcp4", func(s *scene) { // in WriteTo
				c := s.start(func() string { return s.writeToOnce() })
				c.blocked("WriteTo")
				fd := how.do(s)
				s.peerWrite("abc")
				c.result("WriteTo")
				s.peerWrite("d")
				s.still()
				s.kernelHas("behind WriteTo", fd)
			})
		})
	}
}

var errEnough = errors.New("enough")

// onceWriter takes one Write and fails.
type onceWriter struct{ got bytes.Buffer }

func (w *onceWriter) Write(b []byte) (int, error) {
	w.got.Write(b)
	return len(b), errEnough
}

// writeToOnce copies from the conn until the first bytes have come.
func (s *scene) writeToOnce() string {
	var w onceWriter
	n, err := s.tcp().WriteTo(&w)
	return fmt.Sprintf("%d %q enough=%t", n, w.got.String(), errors.Is(err, errEnough))
}

// TestBehaviourRawSees: who looks at the socket between two Reads, as pools do
// before they use a conn again, sees all that has arrived.
func TestBehaviourRawSees(t *testing.T) {
	states := []struct {
		name  string
		reads int // that find something
		f     func(s *scene)
	}{
		{"nothing", 0, func(*scene) {}},
		{"spoken", 1, func(s *scene) { s.peerWrite("timeout") }},
		{"closed", 2, func(s *scene) { s.must(s.peer.Close()); s.gone(unix.BPF_TCP_CLOSE_WAIT) }},
		{"half closed", 2, func(s *scene) {
			s.must(s.peer.(*net.TCPConn).CloseWrite())
			s.gone(unix.BPF_TCP_CLOSE_WAIT)
		}},
		{"spoken and closed", 3, func(s *scene) {
			s.peerWrite("timeout")
			s.must(s.peer.Close())
			s.gone(unix.BPF_TCP_CLOSE_WAIT)
		}},
		{"reset", 2, func(s *scene) {
			s.must(s.peer.(*net.TCPConn).SetLinger(0))
			s.must(s.peer.Close())
			s.gone(unix.BPF_TCP_CLOSE)
		}},
		{"spoken and reset", 3, func(s *scene) {
			s.peerWrite("timeout")
			s.must(s.peer.(*net.TCPConn).SetLinger(0))
			s.must(s.peer.Close())
			s.gone(unix.BPF_TCP_CLOSE)
		}},
	}
	for _, state := range states {
		t.Run(strings.ReplaceAll(state.name, " ", "_"), func(t *testing.T) {
			compareGears(t, "tcp4", func(s *scene) {
				reset := strings.Contains(state.name, "reset") // which the first look takes
				for i := range looks {
					before := lives[i%len(lives)]
					if !reset && i >= len(lives) {
						break
					}
					s.side = "server"
					s.conn, s.peer = s.pair()
					before.f(s)
					state.f(s)
					s.still()
					for k := range looks {
						look := looks[(i+k)%len(looks)]
						s.rec(before.name+", "+look.name, "%s", look.f(s))
						if reset {
							break
						}
					}
					for range state.reads {
						s.read(before.name+", Read", 64)
					}
					s.must(s.conn.Close())
				}
			})
		})
	}
}

// lives are what a conn may have been through when no Read waits.
var lives = []struct {
	name string
	f    func(s *scene)
}{
	{"waited", (*scene).waitOnce},
	{"after round trips", func(s *scene) {
		for range 20 {
			c := s.start(func() string { return s.doRead(8) })
			s.must(writeWhole(s.peer, "query"))
			if got := c.wait(); got != `5 "query" ok` {
				s.fatal(got)
			}
			s.must(writeWhole(s.conn, "answer"))
			s.must(readWhole(s.peer, "answer"))
		}
	}},
	{"after a deadline", func(s *scene) {
		s.waitOnce()
		s.must(s.conn.SetReadDeadline(soon()))
		s.read("timed out", 8)
		s.must(s.conn.SetReadDeadline(noDeadline))
	}},
	{"after WriteTo", func(s *scene) {
		s.waitOnce()
		c := s.start(func() string { return s.writeToOnce() })
		c.blocked("WriteTo")
		s.peerWrite("x")
		c.result("WriteTo")
	}},
}

// looks are ways to look at a socket.
var looks = []struct {
	name string
	f    func(s *scene) string
}{
	{"Read", func(s *scene) (seen string) {
		s.must(s.raw().Read(func(fd uintptr) bool { seen = s.peek(int(fd)); return true }))
		return seen
	}},
	{"Control", func(s *scene) (seen string) {
		s.must(s.raw().Control(func(fd uintptr) { seen = s.peek(int(fd)) }))
		return seen
	}},
	{"Write", func(s *scene) (seen string) {
		s.must(s.raw().Write(func(fd uintptr) bool { seen = s.peek(int(fd)); return true }))
		return seen
	}},
	{"File", func(s *scene) (seen string) {
		f := s.fileOf(s.conn)
		s.control(f, func(fd int) { seen = s.peek(fd) })
		s.must(f.Close())
		return seen
	}},
	{"poll", func(s *scene) (seen string) {
		s.control(s.conn, func(fd int) {
			p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN | unix.POLLRDHUP}}
			_, err := unix.Poll(p, 0)
			seen = fmt.Sprintf("%#x %v", p[0].Revents, err)
		})
		return seen
	}},
	{"FIONREAD", func(s *scene) (seen string) {
		s.control(s.conn, func(fd int) {
			n, err := unix.IoctlGetInt(fd, unix.TIOCINQ)
			seen = fmt.Sprint(n, err)
		})
		return seen
	}},
	{"SO_ERROR", func(s *scene) (seen string) {
		s.control(s.conn, func(fd int) {
			n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
			seen = fmt.Sprint(syscall.Errno(n), err)
		})
		return seen
	}},
}

// TestBehaviourSharedWrite: what Write has taken is in the kernel when it
// returns, once somebody else knows the socket, and what it took before is when
// somebody comes to know it: it is in front of what others send.
func TestBehaviourSharedWrite(t *testing.T) {
	for _, how := range sharings {
		t.Run(how.name, func(t *testing.T) {
			compareGears(t, "tcp4", func(s *scene) {
				s.busy(16)
				s.side = "server"
				s.conn, s.peer = s.pair()
				sent := 0
				write := func(data string) {
					n, err := s.conn.Write([]byte(data))
					s.must(err)
					sent += n
				}
				for range 20 {
					s.must(writeWhole(s.peer, "w"))
					s.must(readWhole(s.conn, "w"))
					write("before")
				}
				fd := how.do(s)
				if how.name == "Dialer.Control" { // another pair
					sent = 0
				}
				late := 0
				count := func() {
					if acceptedBy(fd) < sent {
						late++
					}
				}
				count()
				s.rec("not in the kernel when shared", "%d", late)
				go io.Copy(io.Discard, s.peer)
				stop := s.reader()
				for range 300 {
					s.must(writeWhole(s.peer, "q")) // keeps a receive armed
					write("answer")
					count()
				}
				s.rec("not in the kernel when Write returned", "%d", late)
				s.must(s.stream().CloseWrite())
				stop()
			})
		})
	}
}

// acceptedBy counts what the kernel has of all that was written to fd. An
// acknowledgement in between counts twice, so it is never too little.
func acceptedBy(fd int) int {
	n, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
	info, ierr := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil || ierr != nil {
		return -1
	}
	return n + int(info.Bytes_acked)
}

// reader keeps a Read of the conn under test waiting until it is stopped.
func (s *scene) reader() (stop func()) {
	var wg sync.WaitGroup
	c := s.conn
	wg.Go(func() { io.Copy(io.Discard, struct{ io.Reader }{c}) })
	stop = func() {
		c.SetReadDeadline(pastDeadline)
		wg.Wait()
		c.SetReadDeadline(noDeadline)
	}
	s.later(stop)
	return stop
}

// TestBehaviourSharedOrder: bytes that go by the conn and bytes that go by
// another descriptor, one after the other, arrive in that order.
func TestBehaviourSharedOrder(t *testing.T) {
	ends := []struct {
		name string
		do   func(fd, file int) error
		then string
	}{
		{"write", func(fd, _ int) error { _, err := syscall.Write(fd, []byte("B")); return err }, "B"},
		{"sendfile", func(fd, file int) error {
			_, err := syscall.Sendfile(fd, file, new(int64), 1)
			return err
		}, "\x00"},
	}
	for _, how := range sharings {
		t.Run(how.name, func(t *testing.T) {
			compareGears(t, "tcp4", func(s *scene) {
				s.busy(16)
				s.side = "server"
				s.conn, s.peer = s.pair()
				fd := how.do(s)
				s.reader()
				file := int(s.file(1, 0).Fd())
				for _, end := range ends {
					wrong := 0
					b := make([]byte, 2)
					for range 100 {
						s.must(writeWhole(s.peer, "q"))
						s.must(writeWhole(s.conn, "A"))
						s.must(end.do(fd, file))
						_, err := io.ReadFull(s.peer, b)
						s.must(err)
						if string(b) != "A"+end.then {
							wrong++
						}
					}
					s.rec(end.name+" overtook", "%d", wrong)
				}
				s.must(writeWhole(s.peer, "q"))
				s.must(writeWhole(s.conn, "last"))
				s.must(syscall.Shutdown(fd, syscall.SHUT_WR))
				s.peerDrain("peer, after another's shutdown")
			})
		})
	}
}

// legacies are what a conn may leave to another holder of its socket, whose
// descriptor is returned.
var legacies = []struct {
	name string
	f    func(s *scene) (fd int)
}{
	{"nothing unread", func(s *scene) int { return s.byFile() }},
	{"unread when shared", func(s *scene) int {
		s.peerWrite("head\nbody\n")
		s.still()
		s.readFull("head", 5)
		s.still()
		return s.byFile()
	}},
	{"more after a head", func(s *scene) int {
		c := s.start(func() string { return s.doRead(5) })
		c.blocked("head")
		s.peerWrite("head\n")
		c.result("head")
		s.peerWrite("body\n")
		s.still()
		return s.byFile()
	}},
	{"more after sharing", func(s *scene) int {
		fd := s.byFile()
		s.peerWrite("body\n")
		s.still()
		return fd
	}},
	{"by number", func(s *scene) int {
		s.peerWrite("head\nbody\n")
		s.readFull("head", 5)
		return s.dup(s.byControl())
	}},
	{"parked", func(s *scene) int {
		fd := s.byFile()
		c := s.start(func() string { return s.doRead(8) })
		c.blocked("Read")
		s.later(func() { c.result("Read") })
		return fd
	}},
	{"much unread", func(s *scene) int {
		s.peerWrite(string(pattern(100_000)))
		s.readFull("head", 1)
		s.still()
		return s.byFile()
	}},
	{"Write cut short", func(s *scene) int {
		s.smallBuffers()
		n, err := s.cutShort(func() (int64, error) {
			n, err := s.conn.Write(make([]byte, 8<<20))
			return int64(n), err
		})
		s.err("Write", err)
		s.name(fmt.Sprint(n+200<<10, " bytes"), "$ALL")
		return s.byFile()
	}},
}

// TestBehaviourHeir: the conn is closed while somebody else goes on with its
// socket, whatever was received and not read.
func TestBehaviourHeir(t *testing.T) {
	for _, life := range legacies {
		t.Run(strings.ReplaceAll(life.name, " ", "_"), func(t *testing.T) {
			compareGearConns(t, "tcp4 unix", func(s *scene) {
				fd := life.f(s)
				s.err("Close", s.conn.Close())
				linger, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_LINGER)
				s.rec("linger", "%d %s", linger, s.describe(err))
				s.rec("flags", "%s", statusFlags(fd))
				s.rec("left", "%s", s.peek(fd))
				s.must(unix.SetNonblock(fd, false))
				s.must(unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 1000}))
				data, err := drain(fdReader(fd)) // up to EAGAIN
				s.rec("drained", "%s %s", brief(data), s.describe(err))
				end := s.start(func() string {
					s.still()
					data, err := drain(s.peer)
					return fmt.Sprintf("%d bytes then %s", len(data), s.describe(err))
				})
				n, err := fdWriter(fd).Write(make([]byte, 200<<10))
				s.rec("heir's answer", "%d %s", n, s.describe(err))
				s.must(unix.Shutdown(fd, unix.SHUT_WR))
				s.rec("peer", "%s", strings.Replace(end.wait(), fmt.Sprint(200<<10, " bytes"), "$ALL", 1))
			})
		})
	}
}

// statusFlags are the flags that all holders of fd's file share.
func statusFlags(fd int) string {
	f, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	return fmt.Sprintf("nonblock=%t %v", f&unix.O_NONBLOCK != 0, err)
}

// An fdReader reads from a descriptor by read(2).
type fdReader int

func (r fdReader) Read(b []byte) (int, error) {
	n, err := syscall.Read(int(r), b)
	for err == syscall.EINTR { // with a timeout no kernel restarts it
		n, err = syscall.Read(int(r), b)
	}
	if n == 0 && err == nil {
		err = io.EOF
	}
	return max(n, 0), err
}

// An fdWriter writes to a blocking descriptor by write(2).
type fdWriter int

func (w fdWriter) Write(b []byte) (total int, err error) {
	for total < len(b) {
		n, err := syscall.Write(int(w), b[total:])
		if err != nil && err != syscall.EINTR {
			return total, err
		}
		total += max(n, 0)
	}
	return total, nil
}
