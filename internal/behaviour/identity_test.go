//go:build linux

package behaviour

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/quoit-go/quoit/internal/testenv"
	"golang.org/x/sys/unix"
)

// TestBehaviourUnixOnce: the server accepts one conn, closes its listener and
// removes the file. Who was accepted must know.
func TestBehaviourUnixOnce(t *testing.T) {
	compareGears(t, "unix", func(s *scene) {
		path := filepath.Join(s.dir, "once")
		failed, ghosts := 0, 0
		for range 150 {
			ln, err := net.Listen("unix", path)
			s.must(err)
			served := make(chan string, 1)
			go func() {
				c, err := ln.Accept()
				ln.Close()
				if err != nil {
					served <- err.Error()
					return
				}
				b, _ := io.ReadAll(c)
				c.Close()
				served <- string(b)
			}()
			c, err := s.impl.dial(context.Background(), net.Dialer{}, "unix", path)
			if err == nil {
				s.must(writeWhole(c, "hello"))
				s.must(c.Close())
			} else {
				failed++
				ln.Close()
			}
			if <-served != "hello" {
				ghosts++
			}
		}
		s.rec("failed", "%d, unknown to the client: %d", failed, ghosts)
	})
}

// TestBehaviourUnixBacklog: as many Dials succeed as there are places, and the
// server finds a client behind each conn.
func TestBehaviourUnixBacklog(t *testing.T) {
	for _, backlog := range []int{0, 1, 4} {
		t.Run(fmt.Sprint(backlog), func(t *testing.T) {
			compareGears(t, "unix", func(s *scene) {
				fd, address, err := s.hold("unix", 0)
				s.must(err)
				s.name(address, "$FULL")
				s.must(unix.Listen(fd, backlog))
				s.must(unix.SetNonblock(fd, true))
				good := 0
				for range backlog + 3 {
					c, err := s.impl.dial(context.Background(), net.Dialer{}, "unix", address)
					if err != nil {
						s.rec("Dial", "%s", dialTimeouts.Replace(s.describe(err)))
						continue
					}
					good++
					s.closeLater(c)
					s.must(writeWhole(c, "hello"))
				}
				s.rec("Dials", "%d", good)
				alive, accepted := 0, 0
				for {
					nfd, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
					if err != nil {
						break
					}
					accepted++
					b := make([]byte, 8)
					if n, _ := unix.Read(nfd, b); n == 5 {
						alive++
					}
					unix.Close(nfd)
				}
				s.rec("accepted", "%d, with a client %d", accepted, alive)
			})
		})
	}
}

// onThread runs f on a thread of its own.
func (s *scene) onThread(f func()) {
	s.must(testenv.OnThread(func() error { f(); return nil }))
}

// asRoot ends the test where it may not do what it is about.
func asRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root may change what this test changes")
	}
}

// setEUID changes the effective user of the calling thread alone.
func (s *scene) setEUID(uid int) {
	if _, _, e := syscall.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), uintptr(uid), ^uintptr(0)); e != 0 {
		s.must(e)
	}
}

// TestBehaviourThreadDials: Dial is the caller's: with the thread's directory,
// root, mounts, user, network and limits.
func TestBehaviourThreadDials(t *testing.T) {
	asRoot(t)
	compareGears(t, "unix", func(s *scene) {
		s.must(os.Chmod(s.dir, 0o755))
		path := filepath.Join(s.dir, "s")
		ln, err := net.Listen("unix", path)
		s.must(err)
		s.closeLater(ln)
		dial := func(label, address string) {
			c, err := s.impl.dial(context.Background(), net.Dialer{}, "unix", address)
			if err != nil {
				s.rec(label, "%s", s.cause(err))
				return
			}
			defer c.Close()
			p, err := ln.Accept()
			s.must(err)
			defer p.Close()
			s.control(p, func(fd int) {
				u, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
				s.must(err)
				s.rec(label, "uid %d ours=%t", u.Uid, int(u.Pid) == os.Getpid())
			})
		}
		s.onThread(func() {
			s.must(unix.Unshare(unix.CLONE_FS))
			s.must(unix.Chdir(s.dir))
			dial("own directory", "./s")
			dial("absolute", path)
		})
		s.onThread(func() {
			s.must(unix.Unshare(unix.CLONE_FS))
			s.must(unix.Chroot(s.dir))
			dial("own root", "/s")
			dial("outside of it", path)
		})
		for _, mode := range []os.FileMode{0o600, 0o666} {
			s.must(os.Chmod(path, mode))
			s.onThread(func() {
				s.setEUID(65534)
				dial(fmt.Sprintf("another user, mode %o", mode), path)
			})
		}
	})
}

// TestBehaviourThreadNetwork dials on a thread that is in a network of its own.
func TestBehaviourThreadNetwork(t *testing.T) {
	asRoot(t)
	compareGears(t, "tcp4", func(s *scene) {
		s.onThread(func() {
			if err := unix.Unshare(unix.CLONE_NEWNET); err == unix.EPERM {
				s.rec("no networks", "%v", err)
				return
			} else {
				s.must(err)
			}
			s.loopbackUp()
			ln, err := net.Listen("tcp4", "127.0.0.1:0")
			s.must(err)
			defer ln.Close()
			for _, d := range []net.Dialer{{}, {LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}} {
				c, err := s.impl.dial(context.Background(), d, "tcp4", ln.Addr().String())
				s.rec("Dial", "%s", s.cause(err))
				if err != nil {
					continue
				}
				p, err := ln.Accept()
				s.must(err)
				s.must(writeWhole(p, "hello"))
				s.rec("Read", "%v", readWhole(c, "hello"))
				p.Close()
				c.Close()
			}
			mine, err := s.impl.listen(context.Background(), net.ListenConfig{}, "tcp4", "127.0.0.1:0")
			s.must(err)
			p, err := net.Dial("tcp4", mine.Addr().String())
			s.must(err)
			s.accept("Accept", mine)
			p.Close()
			mine.Close()
		})
	})
}

// loopbackUp switches lo on in the calling thread's network.
func (s *scene) loopbackUp() {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	s.must(err)
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	s.must(err)
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	s.must(unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr))
}

// TestBehaviourSIGPIPE: who asked for the signal gets it from a Write that no
// peer can receive.
func TestBehaviourSIGPIPE(t *testing.T) {
	gearsInTurn(t, "tcp4 unix", func(s *scene) {
		got := make(chan os.Signal, 16)
		signal.Notify(got, syscall.SIGPIPE)
		defer signal.Stop(got)
		patience := 5 * time.Second
		signalled := func(label string) {
			select {
			case sig := <-got:
				s.rec(label, "%v", sig)
			case <-time.After(patience):
				s.rec(label, "no signal")
				patience = stillWindow // the behaviour has failed already
			}
		}
		sends := []struct {
			name string
			do   func() error
		}{
			{"Write", func() error { _, err := s.conn.Write([]byte("x")); return err }},
			{"large Write", func() error { _, err := s.conn.Write(make([]byte, 1<<20)); return err }},
			{"io.Copy", func() error { _, err := io.Copy(s.conn, strings.NewReader("x")); return err }},
			{"net.Buffers", func() error {
				b := net.Buffers{[]byte("x"), []byte("y")}
				_, err := b.WriteTo(s.conn)
				return err
			}},
			{"WriteBuffers", func() error {
				b := net.Buffers{[]byte("x"), []byte("y")}
				_, err := writeBuffers(s.conn, &b)
				return err
			}},
		}
		if s.network == "unix" {
			sends = append(sends, struct {
				name string
				do   func() error
			}{"WriteMsgUnix", func() error { _, _, err := s.msgs().WriteMsgUnix([]byte("x"), nil, nil); return err }})
		}
		for _, send := range sends {
			s.conn, s.peer = s.pair()
			s.must(s.stream().CloseWrite())
			s.rec(send.name+" after CloseWrite", "%s", s.cause(send.do()))
			signalled(send.name + " after CloseWrite")
			s.conn.Close()
			s.peer.Close()

			s.conn, s.peer = s.pair()
			s.waitOnce()
			if tc, ok := s.peer.(*net.TCPConn); ok {
				s.must(tc.SetLinger(0))
			}
			s.must(s.peer.Close())
			s.read("Read", 8)
			s.rec(send.name+" after the end", "%s", s.cause(send.do()))
			signalled(send.name + " after the end")
			s.conn.Close()
		}
	})
}

// TestBehaviourLastDescriptor: calls that need one descriptor do with one.
func TestBehaviourLastDescriptor(t *testing.T) {
	gearsInTurn(t, "tcp4 unix", func(s *scene) {
		ln := s.listen()
		plain := s.listenNet()
		s.conn, s.peer = s.pair()
		s.waitOnce()
		f := s.fileOf(s.conn)
		calls := []struct {
			name string
			do   func() (io.Closer, error)
		}{
			{"Dial", func() (io.Closer, error) {
				return s.impl.dial(context.Background(), net.Dialer{}, s.network, plain.Addr().String())
			}},
			{"Accept", func() (io.Closer, error) { return ln.Accept() }},
			{"FileConn", func() (io.Closer, error) { return s.impl.fileConn(f) }},
			{"File", func() (io.Closer, error) { return s.stream().File() }},
			{"File of a listener", func() (io.Closer, error) { return s.full(ln).File() }},
			{"Listen", func() (io.Closer, error) {
				return s.impl.listen(context.Background(), net.ListenConfig{}, s.network, s.anyAddress())
			}},
		}
		for _, call := range calls {
			for free := range 3 {
				s.dialPlain(ln)
				give := s.takeAll(free)
				c, err := call.do()
				if err == nil {
					c.Close()
				}
				cause := s.cause(err)
				if call.name == "File" {
					cause = s.describe(err)
				}
				give()
				s.rec(fmt.Sprint(call.name, " with ", free), "%s", cause)
			}
		}
		// A conn that waits needs none.
		give := s.takeAll(0)
		c := s.start(func() string { return s.doRead(8) })
		c.blocked("Read")
		_, err := io.WriteString(s.peer, "hello")
		got := c.wait()
		n, werr := s.conn.Write([]byte("x"))
		give()
		s.must(err)
		s.rec("Read at the limit", "%s", got)
		s.rec("Write at the limit", "%d %s", n, s.describe(werr))
	})
}

// takeAll takes all descriptors up to a limit but some. give undoes it.
func (s *scene) takeAll(free int) (give func()) {
	var limit unix.Rlimit
	s.must(unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	s.must(syscall.Setrlimit(unix.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 128, Max: limit.Max}))
	var taken []int
	for {
		fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			break
		}
		taken = append(taken, fd)
	}
	for range free {
		unix.Close(taken[len(taken)-1])
		taken = taken[:len(taken)-1]
	}
	return func() {
		for _, fd := range taken {
			unix.Close(fd)
		}
		s.must(syscall.Setrlimit(unix.RLIMIT_NOFILE, &syscall.Rlimit{Cur: limit.Cur, Max: limit.Max}))
	}
}
