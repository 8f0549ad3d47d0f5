//go:build linux

package behaviour

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/internal/testenv"
)

// TestBehaviourFileBlocks: a File that its holder asks for the number is in
// blocking mode, and with it the conn, for the mode belongs to the socket.
func TestBehaviourFileBlocks(t *testing.T) {
	compareGearConns(t, "tcp4 unix", func(s *scene) {
		f := s.fileOf(s.conn)
		s.rec("File", "%s", statusFlags(s.number(f)))
		fd := int(f.Fd())
		s.rec("Fd", "%s", statusFlags(fd))
		s.rec("the conn", "%s", statusFlags(s.byControl()))
		c := s.start(func() string { return s.doRead(8) })
		c.blocked("Read")
		s.peerWrite("hello")
		c.result("Read")
		s.rec("after Read", "%s", statusFlags(fd))
		f2 := s.fileOf(s.conn)
		s.rec("another File", "%s", statusFlags(fd))
		c2, err := s.impl.fileConn(f2)
		s.must(err)
		s.closeLater(c2)
		s.rec("after FileConn", "%s", statusFlags(fd))
		f2.Fd()
		s.rec("Fd again", "%s", statusFlags(fd))
		f3 := s.fileOf(c2)
		s.rec("File of the FileConn", "%s", statusFlags(fd))
		f3.Fd()
		s.rec("its Fd", "%s", statusFlags(fd))
		s.conn.Close()
		s.rec("conn closed", "%s", statusFlags(fd))
		c2.Close()
		s.rec("both closed", "%s", statusFlags(fd))
	})
	compareGears(t, "tcp4 unix", func(s *scene) {
		ln := s.full(s.listen())
		f := s.fileOf(ln)
		s.rec("File", "%s", statusFlags(s.number(f)))
		fd := int(f.Fd())
		s.rec("Fd", "%s", statusFlags(fd))
		s.dialPlain(ln)
		s.accept("Accept", ln)
		s.rec("after Accept", "%s", statusFlags(fd))
		ln2, err := s.impl.fileListener(f)
		s.must(err)
		s.closeLater(ln2)
		s.rec("after FileListener", "%s", statusFlags(fd))
		f2 := s.fileOf(ln2)
		f2.Fd()
		s.rec("Fd of its File", "%s", statusFlags(fd))
		s.dialPlain(ln)
		s.accept("Accept of the second", ln2)
		c, p := s.listenerPair(ln)
		s.rec("accepted from a blocking one", "%s", statusFlags(s.number(c)))
		s.must(writeWhole(p, "x"))
		s.must(readWhole(c, "x"))
		s.err("Close", ln.Close())
		s.rec("after Close", "%s", statusFlags(fd))
	})
}

// listenerPair connects to ln and accepts the conn.
func (s *scene) listenerPair(ln net.Listener) (c, peer net.Conn) {
	peer = s.dialPlain(ln)
	c, err := ln.Accept()
	s.must(err)
	s.closeLater(c)
	return c, peer
}

// TestBehaviourChildStdio gives a conn to a child as standard input and output.
func TestBehaviourChildStdio(t *testing.T) {
	compareGearConns(t, "tcp4 unix", func(s *scene) {
		cmd := exec.Command("cat")
		f := s.fileOf(s.conn)
		var stderr bytes.Buffer
		cmd.Stdin, cmd.Stdout, cmd.Stderr = f, f, &stderr
		s.must(cmd.Start())
		s.must(f.Close())
		s.must(s.conn.Close())
		s.untilReads(cmd.Process.Pid)
		s.must(writeWhole(s.peer, "hello"))
		s.peerExpect("peer", 5)
		s.must(s.peer.(interface{ CloseWrite() error }).CloseWrite())
		s.peerDrain("peer")
		err := cmd.Wait()
		s.rec("cat", "%v %q", err, stderr.String())
	})
}

// untilReads waits until the process waits for input, or has ended.
func (s *scene) untilReads(pid int) {
	s.until("a child that waits", func() bool {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/syscall", pid))
		nr, rest, _ := strings.Cut(string(b), " ")
		stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || nr == fmt.Sprint(unix.SYS_READ) && strings.HasPrefix(rest, "0x0 ") || bytes.Contains(stat, []byte(") Z "))
	})
}

// TestBehaviourBlockingMode: another holder of the socket has set it to
// blocking mode, as a shell does with its standard input.
func TestBehaviourBlockingMode(t *testing.T) {
	compareGearConns(t, "tcp4 unix", func(s *scene) {
		s.impatient()
		s.must(unix.SetNonblock(s.byFile(), false))
		c := s.start(func() string { return s.doRead(8) })
		c.blocked("Read")
		s.peerWrite("hello")
		c.result("Read")
		s.write("Write", "answer")
		s.peerExpect("peer", 6)
		s.muchEitherWay()
		s.err("Close", s.conn.Close())
	})
	compareGearConns(t, "tcp4 unix", func(s *scene) { // calls that wait already
		s.impatient()
		fd := s.byFile()
		r := s.start(func() string { return s.doRead(8) })
		w := s.start(func() string { return s.doWrite(pattern(3 << 19)) })
		r.blocked("Read")
		w.blocked("Write")
		s.must(unix.SetNonblock(fd, false))
		s.must(writeWhole(s.peer, "hello"))
		r.result("Read")
		s.peerExpect("peer", 3<<19)
		w.result("Write")
		s.muchEitherWay()
	})
}

// Deadlines and Close end calls in blocking mode, too, where package net's wait
// for the system call.
func TestBlockingModeEnds(t *testing.T) {
	for _, gear := range allGears {
		im := gearImpl(t, gear)
		for _, network := range []string{"tcp4", "unix"} {
			t.Run(gear+"/"+network, func(t *testing.T) {
				runScene(t, im, network, "server", func(s *scene) {
					s.conn, s.peer = s.pair()
					s.smallBuffers()
					s.must(unix.SetNonblock(s.byFile(), false))
					s.must(s.conn.SetDeadline(soon()))
					if _, err := s.conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
						t.Errorf("Read: %v", err)
					}
					if _, err := s.conn.Write(make([]byte, 8<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
						t.Errorf("Write: %v", err)
					}
					s.must(s.conn.SetDeadline(noDeadline))
					read := testenv.Go(func() error { _, err := s.conn.Read(make([]byte, 1)); return err })
					write := testenv.Go(func() error { _, err := s.conn.Write(make([]byte, 8<<20)); return err })
					s.must(s.conn.Close())
					for what, call := range map[string]<-chan error{"Read": read, "Write": write} {
						if err := testenv.Recv(t, call, what); !errors.Is(err, net.ErrClosed) {
							t.Errorf("%s: %v", what, err)
						}
					}
				})
			})
		}
	}
}

// impatient ends a behaviour whose conn has stopped taking what its peer sends.
// The buffers are bounded, too, for they grow with what the peer reads.
func (s *scene) impatient() {
	s.must(s.peer.SetWriteDeadline(time.Now().Add(behaviourLimit)))
	s.must(s.conn.(interface{ SetWriteBuffer(int) error }).SetWriteBuffer(64 << 10))
	s.must(s.peer.(interface{ SetReadBuffer(int) error }).SetReadBuffer(512 << 10))
}

// muchEitherWay has the conn wait in all the calls that send and receive.
func (s *scene) muchEitherWay() {
	const much = 3 << 19
	sends := []struct {
		name string
		do   func() (int64, error)
	}{
		{"Write", func() (int64, error) { n, err := s.conn.Write(pattern(much)); return int64(n), err }},
		{"io.Copy of a file", func() (int64, error) { return io.Copy(s.conn, s.file(much, 0)) }},
		{"io.Copy", func() (int64, error) { return io.Copy(s.conn, bytes.NewReader(pattern(much))) }},
	}
	for _, send := range sends {
		c := s.start(func() string {
			n, err := send.do()
			return fmt.Sprintf("%d %s", n, s.describe(err))
		})
		c.blocked(send.name)
		s.peerExpect("peer", much)
		c.result(send.name)
	}
	all := s.start(func() string {
		var b bytes.Buffer
		n, err := io.Copy(struct{ io.Writer }{&b}, s.conn)
		return fmt.Sprintf("%d %s %s", n, brief(b.Bytes()), s.describe(err))
	})
	all.blocked("io.Copy from the conn")
	s.must(writeWhole(s.peer, string(pattern(much))))
	s.must(s.peer.(interface{ CloseWrite() error }).CloseWrite())
	all.result("io.Copy from the conn")
}

// TestBehaviourFileConnGone makes conns of sockets that have no peer, or lose
// it: addresses may be missing then.
func TestBehaviourFileConnGone(t *testing.T) {
	sockets := []struct {
		name string
		make func(s *scene) *os.File
	}{
		{"reset", func(s *scene) *os.File {
			s.conn, s.peer = netPair(s)
			f := s.fileOf(s.conn)
			s.peerReset()
			return f
		}},
		{"reset with data", func(s *scene) *os.File {
			s.conn, s.peer = netPair(s)
			f := s.fileOf(s.conn)
			s.peerWrite("data")
			s.peerReset()
			return f
		}},
		{"closed by the peer", func(s *scene) *os.File {
			s.conn, s.peer = netPair(s)
			f := s.fileOf(s.conn)
			s.peerFin(true)
			return f
		}},
		{"never connected", func(s *scene) *os.File { return s.rawSocket(false, false) }},
		{"bound", func(s *scene) *os.File { return s.rawSocket(true, false) }},
		{"listening", func(s *scene) *os.File { return s.rawSocket(true, true) }},
	}
	for _, v := range sockets {
		t.Run(strings.ReplaceAll(v.name, " ", "_"), func(t *testing.T) {
			compareGears(t, "tcp4 unix", func(s *scene) {
				f := v.make(s)
				s.conn = nil
				c, err := s.impl.fileConn(f)
				s.rec("FileConn", "nil=%t %s", c == nil, s.describe(err))
				if err == nil {
					s.closeLater(c)
					s.useAll(c)
				}
				ln, err := s.impl.fileListener(f)
				s.rec("FileListener", "nil=%t %s", ln == nil, s.describe(err))
				if err == nil {
					s.closeLater(ln)
					l := s.full(ln)
					s.rec("Addr", "%s", s.addrKind(l.Addr()))
					s.must(l.SetDeadline(pastDeadline))
					s.accept("Accept", l)
					lf, err := l.File()
					s.rec("File", "nil=%t %s", lf == nil, s.describe(err))
					if err == nil {
						s.rec("its name", "%s", lf.Name())
						lf.Close()
					}
					s.err("Close", l.Close())
					s.accept("Accept closed", l)
				}
			})
		})
	}
}

// netPair is a pair of package net's conns, whatever is under test.
func netPair(s *scene) (c, peer net.Conn) {
	ln := s.listenNet()
	defer ln.Close()
	c, peer = s.listenerPair(ln)
	s.name(c.LocalAddr().String(), "$LOCAL")
	return c, peer
}

func (s *scene) rawSocket(bound, listening bool) *os.File {
	var sa unix.Sockaddr = &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}
	family := unix.AF_INET
	if s.network == "unix" {
		family, sa = unix.AF_UNIX, &unix.SockaddrUnix{Name: s.anyAddress()}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	s.must(err)
	f := os.NewFile(uintptr(fd), "socket")
	s.closeLater(f)
	if bound {
		s.must(unix.Bind(fd, sa))
		got, err := unix.Getsockname(fd)
		s.must(err)
		if in, ok := got.(*unix.SockaddrInet4); ok {
			s.name(fmt.Sprint("127.0.0.1:", in.Port), "$BOUND")
		}
	}
	if listening {
		s.must(unix.Listen(fd, 1))
	}
	return f
}

// useAll calls everything that may name an address, in its result or its error.
func (s *scene) useAll(c net.Conn) {
	s.rec("addresses", "%s %s", s.addrKind(c.LocalAddr()), s.addrKind(c.RemoteAddr()))
	s.conn = nil // so that errors show theirs
	st := c.(streamConn)
	must := func(label string, n int64, err error) { s.rec(label, "%d %s", n, s.describe(err)) }
	for i := range 3 {
		s.must(c.SetReadDeadline(pastDeadline))
		n, err := c.Read(make([]byte, 8))
		must(fmt.Sprint("Read past ", i), int64(n), err)
		s.must(c.SetDeadline(noDeadline))
		f, err := st.File()
		s.rec("File", "nil=%t %s", f == nil, s.describe(err))
		if err == nil {
			s.rec("its name", "%s", f.Name())
			f.Close()
		}
		rc, err := st.SyscallConn()
		s.err("SyscallConn", err)
		s.err("Control", rc.Control(func(uintptr) {}))
		n, err = c.Write([]byte("x"))
		must("Write", int64(n), err)
	}
	if rf, ok := c.(io.ReaderFrom); ok {
		n, err := rf.ReadFrom(strings.NewReader("x"))
		must("ReadFrom", n, err)
	}
	s.err("CloseWrite", st.CloseWrite())
	s.err("CloseRead", st.CloseRead())
	s.err("Close", c.Close())
	n, err := c.Read(make([]byte, 8))
	must("Read closed", int64(n), err)
	n, err = c.Write([]byte("x"))
	must("Write closed", int64(n), err)
	f, err := st.File()
	s.rec("File closed", "nil=%t %s", f == nil, s.describe(err))
	s.err("SetDeadline closed", c.SetDeadline(noDeadline))
	s.err("Close again", c.Close())
}
