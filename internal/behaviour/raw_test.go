//go:build linux

package behaviour

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func (s *scene) raw() syscall.RawConn {
	rc, err := s.stream().SyscallConn()
	s.must(err)
	return rc
}

// rawRead receives once by recvfrom(2) under a RawConn's Read, waiting if told.
func (s *scene) rawRead(rc syscall.RawConn, size int, wait bool) string {
	b := make([]byte, size)
	var n int
	var rerr error
	err := rc.Read(func(fd uintptr) bool {
		n, rerr = syscall.Read(int(fd), b)
		return !wait || rerr != syscall.EAGAIN
	})
	if err != nil {
		return s.describe(err)
	}
	return fmt.Sprintf("%d %q %s", n, b[:max(n, 0)], s.describe(rerr))
}

// rawWrite sends data by write(2) under a RawConn's Write, waiting whenever
// the socket is full if told.
func (s *scene) rawWrite(rc syscall.RawConn, data []byte, wait bool) string {
	var sent int
	var werr error
	err := rc.Write(func(fd uintptr) bool {
		for sent < len(data) {
			var n int
			n, werr = syscall.Write(int(fd), data[sent:])
			if werr != nil {
				return !wait || werr != syscall.EAGAIN
			}
			sent += n
		}
		return true
	})
	if err != nil {
		return s.describe(err)
	}
	return fmt.Sprintf("%d %s", sent, s.describe(werr))
}

// rawUncalled records Read and Write of rc where one or both are refused.
func (s *scene) rawUncalled(label string, rc syscall.RawConn) {
	called := ""
	err := rc.Read(func(uintptr) bool { called += " called"; return true })
	s.rec(label+" Read", "%s%s", s.describe(err), called)
	called = ""
	err = rc.Write(func(uintptr) bool { called += " called"; return true })
	s.rec(label+" Write", "%s%s", s.describe(err), called)
}

func TestBehaviourRaw(t *testing.T) {
	compareConns(t, allStreams, func(s *scene) {
		rc := s.raw()
		s.err("Control", rc.Control(func(fd uintptr) {
			typ, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TYPE)
			s.rec("type", "%d %s", typ, s.describe(err))
		}))
		s.rec("Read, nothing there", "%s", s.rawRead(rc, 8, false))
		s.rec("Write", "%s", s.rawWrite(rc, []byte("raw"), true))
		s.peerExpect("peer", 3)
		c := s.start(func() string { return s.rawRead(rc, 8, true) })
		c.blocked("Read")
		s.peerWrite("arrives")
		c.result("Read")
		s.write("plain Write", "and plain")
		s.peerExpect("peer", 9)
		s.peerWrite("to plain Read")
		s.read("plain Read", 64)
		s.err("Control that panics is fine", rc.Control(func(uintptr) {}))
		s.peerFin(false)
		s.rec("Read at EOF", "%s", s.rawRead(rc, 8, true))
		s.read("plain Read at EOF", 8)
	})
	compareConns(t, allStreams, func(s *scene) { // a Write that waits
		s.smallBuffers()
		s.fill()
		c := s.start(func() string { return s.rawWrite(s.raw(), make([]byte, 1<<20), true) })
		c.blocked("Write")
		go io.Copy(io.Discard, s.peer)
		c.result("Write")
	})
}

func TestBehaviourRawDeadline(t *testing.T) {
	compareConns(t, allStreams, func(s *scene) {
		s.smallBuffers()
		s.fill()
		rc := s.raw()
		read := func() string { return s.rawRead(rc, 8, true) }
		write := func() string { return s.rawWrite(rc, make([]byte, 1<<20), true) }
		for _, st := range []stall{
			{"Read", read, s.conn.SetReadDeadline, nil},
			{"Write", write, s.conn.SetWriteDeadline, nil},
		} {
			s.must(st.set(pastDeadline))
			s.rawUncalled(st.name+" past", rc)
			s.must(st.set(noDeadline))
			for i, to := range []func() time.Time{soon, func() time.Time { return pastDeadline }} {
				s.must(st.set(noDeadline))
				c := s.start(st.op)
				c.blocked(st.name)
				s.must(st.set(to()))
				c.result(fmt.Sprint(st.name, " woken ", i))
			}
		}
		s.err("Control past", rc.Control(func(uintptr) {}))
		s.peerWrite("data")
		s.rec("Read past with data", "%s", s.rawRead(rc, 8, true))
		s.must(s.conn.SetDeadline(noDeadline))
		s.rec("Read cleared", "%s", s.rawRead(rc, 8, true))
	})
}

func TestBehaviourRawClose(t *testing.T) {
	compareConns(t, allStreams, func(s *scene) {
		s.smallBuffers()
		s.fill()
		rc := s.raw()
		r := s.start(func() string { return s.rawRead(rc, 8, true) })
		w := s.start(func() string { return s.rawWrite(rc, make([]byte, 1<<20), true) })
		r.blocked("Read")
		w.blocked("Write")
		s.err("Close", s.conn.Close())
		r.result("Read")
		w.result("Write")
		s.err("Control closed", rc.Control(func(uintptr) { s.rec("called", "") }))
		s.rawUncalled("closed", rc)
		rc2, err := s.stream().SyscallConn()
		s.rec("SyscallConn closed", "nil=%t %s", rc2 == nil, s.describe(err))
		if rc2 != nil {
			s.err("Control of it", rc2.Control(func(uintptr) {}))
		}
	})
}

// TestBehaviourRawEarly: bytes that arrived early reach either the RawConn's
// Read or the conn's.
func TestBehaviourRawEarly(t *testing.T) {
	compareConns(t, allStreams, func(s *scene) {
		s.peerWrite("early")
		s.still()
		var got []byte
		b := make([]byte, 8)
		s.must(s.raw().Read(func(fd uintptr) bool {
			n, _ := syscall.Read(int(fd), b)
			got = append(got, b[:max(n, 0)]...)
			return true
		}))
		s.must(s.conn.SetReadDeadline(time.Now().Add(behaviourLimit / 4)))
		for len(got) < 5 {
			n, err := s.conn.Read(b)
			got = append(got, b[:n]...)
			if err != nil {
				s.err("Read", err)
				break
			}
		}
		s.rec("early", "%q", got)
		s.must(s.conn.SetReadDeadline(noDeadline))
		c := s.start(func() string { return s.doRead(8) })
		c.blocked("plain Read")
		s.peerWrite("later")
		c.result("plain Read")
	})
}

// TestBehaviourLiveness is the check of go-sql-driver/mysql before it reuses
// a connection: one read that must find nothing.
func TestBehaviourLiveness(t *testing.T) {
	states := []struct {
		name string
		f    func(s *scene)
	}{
		{"alive", func(*scene) {}},
		{"closed by the peer", func(s *scene) { s.peerFin(true) }},
		{"reset by the peer", func(s *scene) { s.peerReset() }},
		{"data", func(s *scene) { s.peerWrite("x") }},
	}
	for _, v := range states {
		t.Run(strings.ReplaceAll(v.name, " ", "_"), func(t *testing.T) {
			compareConns(t, "tcp4 unix", func(s *scene) {
				for range 3 { // a query and its answer
					s.must(writeWhole(s.conn, "query"))
					s.must(readWhole(s.peer, "query"))
					s.peerWrite("answer")
					s.must(readWhole(s.conn, "answer"))
				}
				v.f(s)
				s.rec("check", "%s", s.rawRead(s.raw(), 1, false))
				s.rec("check again", "%s", s.rawRead(s.raw(), 1, false))
				if v.name == "alive" {
					s.peerWrite("still works")
					s.read("Read", 64)
				}
			})
		})
	}
}

func writeWhole(w io.Writer, data string) error {
	_, err := io.WriteString(w, data)
	return err
}

func TestBehaviourConnFile(t *testing.T) {
	compareConns(t, allStreams, func(s *scene) {
		f, err := s.stream().File()
		s.err("File", err)
		s.closeLater(f)
		// An accepted conn's is of "tcp", whatever its listener's network was.
		s.rec("name", "%s", strings.NewReplacer("tcp4:", "tcp:", "tcp6:", "tcp:").Replace(f.Name()))
		s.fileIsDistinct(f)
		_, err = f.WriteString("by file, ")
		s.err("file Write", err)
		s.write("Write", "by conn")
		s.peerExpect("peer", 16)
		s.peerWrite("to the conn")
		s.read("Read", 64)
		c := s.start(func() string { return s.doRead(8) })
		c.blocked("Read")
		s.must(s.conn.SetReadDeadline(soon()))
		c.result("Read")
		s.err("Close", s.conn.Close())
		end := s.start(func() string { return s.drain(s.peer) })
		end.blocked("peer")
		_, err = f.WriteString("survives")
		s.err("file Write after Close", err)
		_, err = io.WriteString(s.peer, "to the file")
		s.must(err)
		b := make([]byte, 64)
		n, err := f.Read(b)
		s.rec("file Read", "%q %s", b[:n], s.describe(err))
		s.err("file Close", f.Close())
		end.result("peer")
		f, err = s.stream().File()
		s.rec("File closed", "nil=%t %s", f == nil, s.describe(err))
	})
	compareConns(t, allStreams, func(s *scene) { // data that is there already
		s.peerWrite("there already")
		s.readFull("part", 2)
		f, err := s.stream().File()
		s.must(err)
		s.peerWrite(", and more")
		s.err("file Close", f.Close())
		s.readFull("rest", 21)
		s.peerFin(false)
		s.read("end", 8)
	})
	compareConns(t, allStreams, func(s *scene) { // while a Read is parked
		c := s.start(func() string { return s.doRead(8) })
		c.blocked("Read")
		f, err := s.stream().File()
		s.must(err)
		s.closeLater(f)
		s.peerWrite("woken")
		c.result("Read")
		c = s.start(func() string { return s.doRead(8) })
		c.blocked("Read")
		s.err("Close", s.conn.Close())
		c.result("Read")
	})
}

// fileIsDistinct records what a dup(2) of the conn's descriptor looks like.
func (s *scene) fileIsDistinct(f *os.File) {
	var connFD, fileFD int
	s.control(s.conn, func(fd int) { connFD = fd })
	s.control(f, func(fd int) { fileFD = fd })
	s.rec("distinct", "%t", connFD != fileFD)
	flags, err := unix.FcntlInt(uintptr(fileFD), unix.F_GETFD, 0)
	s.rec("file CLOEXEC", "%t %v", flags&unix.FD_CLOEXEC != 0, err)
	flags, err = unix.FcntlInt(uintptr(fileFD), unix.F_GETFL, 0)
	s.rec("file non-blocking", "%t %v", flags&unix.O_NONBLOCK != 0, err)
}

// TestBehaviourFileConn makes conns of files.
func TestBehaviourFileConn(t *testing.T) {
	compareConns(t, allStreams, func(s *scene) {
		f, err := s.stream().File()
		s.must(err)
		first := s.conn
		s.conn, err = s.impl.fileConn(f)
		s.err("FileConn", err)
		s.closeLater(s.conn)
		s.err("file Close", f.Close())
		s.err("first Close", first.Close())
		s.rec("addresses", "%s %s", s.conn.LocalAddr().Network(), s.conn.RemoteAddr().Network())
		s.peerWrite("to the copy")
		s.read("Read", 64)
		s.write("Write", "from the copy")
		s.peerExpect("peer", 13)
		s.must(s.conn.SetReadDeadline(soon()))
		s.read("Read timeout", 8)
		s.err("Close", s.conn.Close())
		s.read("Read closed", 8)
		s.peerDrain("peer")
	})
	compareImpls(t, "bad", func(s *scene) {
		f, err := os.Open("/dev/null")
		s.must(err)
		c, err := s.impl.fileConn(f)
		s.rec("not a socket", "nil=%t %s", c == nil, s.describe(err))
		ln, err := s.impl.fileListener(f)
		s.rec("not a listener", "nil=%t %s", ln == nil, s.describe(err))
		s.must(f.Close())
		c, err = s.impl.fileConn(f)
		s.rec("closed", "nil=%t %s", c == nil, s.describe(err))
		ln, err = s.impl.fileListener(f)
		s.rec("closed listener", "nil=%t %s", ln == nil, s.describe(err))
	})
	compareImpls(t, "pair", func(s *scene) { // socketpair(2): no addresses
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		s.must(err)
		f, f2 := os.NewFile(uintptr(fds[0]), "one"), os.NewFile(uintptr(fds[1]), "two")
		s.conn, err = s.impl.fileConn(f)
		s.must(err)
		s.closeLater(s.conn)
		s.must(f.Close())
		s.peer, err = net.FileConn(f2)
		s.must(err)
		s.closeLater(s.peer)
		s.must(f2.Close())
		s.rec("addresses", "%#v %#v", s.conn.LocalAddr(), s.conn.RemoteAddr())
		s.write("Write", "x")
		s.peerExpect("peer", 1)
		s.err("Close", s.conn.Close())
		s.read("Read", 1)
	})
	compareImpls(t, "datagram", func(s *scene) { // net's business
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		s.must(err)
		s.closeLater(pc)
		f, err := pc.(*net.UDPConn).File()
		s.must(err)
		s.closeLater(f)
		c, err := s.impl.fileConn(f)
		s.rec("FileConn", "%T %v", c, err)
		if c != nil {
			s.closeLater(c)
		}
	})
}
