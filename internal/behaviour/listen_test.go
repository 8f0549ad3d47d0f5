//go:build linux

package behaviour

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit"
)

// badAddresses are inputs that Listen or Dial or both refuse. None of them
// needs a name server.
var badAddresses = []struct{ network, address string }{
	{"", "127.0.0.1:0"},
	{"tcp5", "127.0.0.1:0"},
	{"TCP", "127.0.0.1:0"},
	{"tcp ", "127.0.0.1:0"},
	{"unixstream", "/x"},
	{"ip", "127.0.0.1"},
	{"udp", "127.0.0.1:0"},
	{"unixgram", "/nonexistent/socket"},
	{"unixpacket", "/nonexistent/socket"},
	{"tcp", ""},
	{"tcp", "127.0.0.1"},
	{"tcp", "127.0.0.1:"},
	{"tcp", "127.0.0.1:65536"},
	{"tcp", "127.0.0.1:-1"},
	{"tcp", "127.0.0.1:99999999999999999999"},
	{"tcp", "127.0.0.1:http:"},
	{"tcp", "127.0.0.1:no-such-service"},
	{"tcp", "127.0.0.1:80:80"},
	{"tcp", "::1:80:"},
	{"tcp", "[::1]"},
	{"tcp", "[::1"},
	{"tcp", "[::1]x:80"},
	{"tcp", "::1]:80"},
	{"tcp", "[[::1]]:80"},
	{"tcp", "a]b:80"},
	{"tcp4", "[::1]:0"},
	{"tcp6", "127.0.0.1:0"},
	{"tcp", "[fe80::1%nosuchzone]:0"},
	{"tcp", "[fe80::1]:0"},
	{"tcp", "192.0.2.77:0"},
	{"tcp", "255.255.255.255:0"},
	{"tcp", "[2001:db8::77]:0"},
	{"tcp", "[ff02::1]:1"},
	{"unix", ""},
	{"unix", "/nonexistent/socket"},
	{"unix", "/dev/null"},
	{"unix", "/dev/null/socket"},
	{"unix", "/"},
	{"unix", fmt.Sprintf("/tmp/quoit-behaviour-%d\x00byte", os.Getpid())},
	{"unix", strings.Repeat("long", 30)},
	{"unix", "@" + strings.Repeat("long", 30)},
}

// quietly shortens the address for a label.
func quietly(network, address string) string {
	if len(address) > 40 {
		address = address[:8] + "..."
	}
	return fmt.Sprintf("%q %q", network, address)
}

func TestBehaviourBadListen(t *testing.T) {
	compareInTurn(t, "any", func(s *scene) {
		for _, a := range badAddresses {
			label := quietly(a.network, a.address)
			ln, err := s.impl.plainListen(a.network, a.address)
			if ln != nil {
				s.rec(label, "%s err=%v", ln.Addr().Network(), err)
				s.err(label+" Close", ln.Close())
				continue
			}
			s.err(label, err)
		}
	})
}

func TestBehaviourBadDial(t *testing.T) {
	compareInTurn(t, "any", func(s *scene) {
		for _, a := range badAddresses {
			label := quietly(a.network, a.address)
			if strings.Contains(a.address, "192.0.2.77") || strings.Contains(a.address, "2001:db8") || strings.Contains(a.address, "ff02") {
				continue // would leave the machine
			}
			c, err := s.impl.plainDial(a.network, a.address)
			if c != nil {
				s.rec(label, "%T err=%v", c, err)
				c.Close()
				continue
			}
			s.err(label, err)
		}
	})
}

func TestBehaviourInUse(t *testing.T) {
	compareImpls(t, "tcp tcp4 tcp6 unix", func(s *scene) {
		plain := s.listenNet()
		ln, err := s.impl.plainListen(s.network, plain.Addr().String())
		s.rec("by net", "nil=%t %s", ln == nil, s.describe(err))
		own := s.listen()
		ln, err = s.impl.plainListen(s.network, own.Addr().String())
		s.rec("by itself", "nil=%t %s", ln == nil, s.describe(err))
	})
}

// TestBehaviourUnixFile follows the socket's file through its listener's life.
func TestBehaviourUnixFile(t *testing.T) {
	exists := func(s *scene, label, path string) {
		info, err := os.Lstat(path)
		if err != nil {
			s.err(label, err)
			return
		}
		s.rec(label, "%s", info.Mode())
	}
	compareImpls(t, "unix", func(s *scene) {
		ln := s.listen()
		path := ln.Addr().String()
		exists(s, "listening", path)
		s.err("Close", ln.Close())
		exists(s, "closed", path)
		s.must(os.WriteFile(path, nil, 0o600)) // somebody else's
		s.err("second Close", ln.Close())
		exists(s, "replaced", path)
	})
	compareImpls(t, "unix", func(s *scene) { // replaced while listening
		ln := s.listen()
		path := ln.Addr().String()
		s.must(os.Remove(path))
		s.must(os.WriteFile(path, nil, 0o600))
		s.err("Close", ln.Close())
		exists(s, "replaced", path)
	})
	compareImpls(t, "unix", func(s *scene) { // removed while listening
		ln := s.listen()
		s.must(os.Remove(ln.Addr().String()))
		s.err("Close", ln.Close())
	})
	compareImpls(t, "unix", func(s *scene) { // left behind on purpose
		ln := s.listen()
		s.keepFile(ln)
		s.err("Close", ln.Close())
		exists(s, "left", ln.Addr().String())
		_, err := s.impl.plainListen("unix", ln.Addr().String())
		s.err("listen again", err)
		_, err = s.impl.plainDial("unix", ln.Addr().String())
		s.err("dial", err)
	})
	compareImpls(t, "unix", func(s *scene) { // names of all lengths
		for n := 100; n <= 110; n++ {
			path := s.dir + "/" + strings.Repeat("x", n-len(s.dir)-1)
			s.name(path, fmt.Sprintf("$LONG%d", n))
			ln, err := s.impl.plainListen("unix", path)
			s.err(fmt.Sprint(n, " bytes"), err)
			c, derr := s.impl.plainDial("unix", path)
			s.err(fmt.Sprint(n, " bytes, dial"), derr)
			if derr == nil {
				c.Close()
			}
			if err == nil {
				s.rec("Addr", "%d", len(ln.Addr().String()))
				s.err("Close", ln.Close())
			}
		}
	})
}

// TestBehaviourAbstract uses names without a file, given and chosen.
func TestBehaviourAbstract(t *testing.T) {
	compareImpls(t, "unix", func(s *scene) {
		given := fmt.Sprintf("@quoit-behaviour-%d-%s", os.Getpid(), s.impl.name)
		s.name(given[1:], "GIVEN")
		for _, address := range []string{given, ""} {
			ln, err := s.impl.plainListen("unix", address)
			s.err("listen", err)
			s.closeLater(ln)
			at := ln.Addr().String()
			s.rec("Addr", "%s...%d", at[:1], len(strings.ReplaceAll(at, given, "")))
			peer, err := net.Dial("unix", at)
			s.must(err)
			s.closeLater(peer)
			c, err := ln.Accept()
			s.must(err)
			s.closeLater(c)
			s.rec("local", "is the listener's=%t", c.LocalAddr().String() == at)
			s.recAddr("remote", c.RemoteAddr())
			s.must(writeWhole(peer, "hello"))
			s.err("Read", readWhole(c, "hello"))
			c2, err := s.impl.plainDial("unix", at)
			s.err("dial", err)
			s.closeLater(c2)
			s.err("Close", ln.Close())
			_, err = net.Dial("unix", at)
			s.rec("gone", "%t", err != nil)
			_, err = ln.Accept()
			s.rec("Accept", "%t", err != nil)
		}
	})
}

// TestBehaviourEMFILE runs out of descriptors while conns wait to be accepted.
func TestBehaviourEMFILE(t *testing.T) {
	if !inChild(t) {
		return
	}
	quoit.Default() // has to open its descriptors before they run out
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			compareInTurn(t, network, func(s *scene) {
				ln := s.listen()
				s.accept1(ln, "before")
				peers := s.exhaust(ln)
				for i := range 3 {
					s.accept(fmt.Sprint("Accept ", i), ln)
				}
				peers.release()
				s.must(s.full(ln).SetDeadline(time.Now().Add(behaviourLimit / 4)))
				for i := range len(peers.conns) {
					s.accept(fmt.Sprint("recovered ", i), ln)
				}
				s.accept1(ln, "after")
			})
		})
	}
}

// compareInTurn runs f with one implementation after the other, where it
// changes what the process has only once.
func compareInTurn(t *testing.T, network string, f func(*scene)) {
	t.Helper()
	want := runScene(t, netImpl, network, "", f)
	compareTraces(t, want, runScene(t, quoitImpl, network, "", f))
}

// accept1 connects and accepts one conn.
func (s *scene) accept1(ln net.Listener, label string) {
	p, err := net.Dial(s.network, ln.Addr().String())
	s.must(err)
	defer p.Close()
	s.accept(label, ln)
}

type exhausted struct {
	s     *scene
	limit unix.Rlimit
	conns []net.Conn
	files []*os.File
}

// exhaust queues two conns at ln and takes all descriptors that are left.
func (s *scene) exhaust(ln net.Listener) *exhausted {
	x := &exhausted{s: s}
	s.must(unix.Getrlimit(unix.RLIMIT_NOFILE, &x.limit))
	for range 2 {
		p, err := net.Dial(s.network, ln.Addr().String())
		s.must(err)
		x.conns = append(x.conns, p)
		s.closeLater(p)
	}
	low := unix.Rlimit{Cur: 64, Max: x.limit.Max}
	s.must(syscall.Setrlimit(unix.RLIMIT_NOFILE, &syscall.Rlimit{Cur: low.Cur, Max: low.Max}))
	for {
		f, err := os.Open("/dev/null")
		if err != nil {
			return x
		}
		x.files = append(x.files, f)
	}
}

func (x *exhausted) release() {
	for _, f := range x.files {
		x.s.must(f.Close())
	}
	x.s.must(syscall.Setrlimit(unix.RLIMIT_NOFILE, &syscall.Rlimit{Cur: x.limit.Cur, Max: x.limit.Max}))
}

// TestBehaviourUnprivileged does what only root may, as somebody else.
func TestBehaviourUnprivileged(t *testing.T) {
	if !inChild(t) {
		return
	}
	quoit.Default()
	dir := shortDir(t)
	defer os.RemoveAll(dir) // fails unless the directory is the user's
	if os.Getuid() == 0 {
		if err := os.Chown(dir, 65534, 65534); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Setgroups(nil); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Setgid(65534); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Setuid(65534); err != nil {
			t.Fatal(err)
		}
	}
	compareInTurn(t, "any", func(s *scene) {
		_, err := s.impl.plainListen("tcp", "127.0.0.1:7")
		s.err("port 7", err)
		_, err = s.impl.plainListen("tcp", ":1023")
		s.err("port 1023", err)
		_, err = s.impl.plainListen("unix", "/proc/socket")
		s.err("/proc", err)
		_, err = s.impl.plainListen("unix", "/etc/socket")
		s.err("/etc", err)
		path := filepath.Join(dir, "s")
		ln, err := net.Listen("unix", path)
		s.must(err)
		s.closeLater(ln)
		s.name(path, "$CLOSED")
		s.must(os.Chmod(path, 0))
		_, err = s.impl.plainDial("unix", path)
		s.err("no permission on the socket", err)
		s.must(os.Chmod(path, 0o700))
		s.must(os.Chmod(dir, 0))
		_, err = s.impl.plainDial("unix", path)
		s.err("no permission on the directory", err)
		s.must(os.Chmod(dir, 0o700))
		bind := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9}
		_, err = s.impl.dial(context.Background(), net.Dialer{LocalAddr: bind}, "tcp", "127.0.0.1:1")
		s.err("from a low port", err)
	})
}

// TestBehaviourManyAccepts accepts from several goroutines while dialers come
// and go; each conn must reach exactly one of them.
func TestBehaviourManyAccepts(t *testing.T) {
	compareImpls(t, "tcp4 unix", func(s *scene) {
		ln := s.listen()
		const conns = 60
		for range 4 {
			go func() {
				for {
					c, err := ln.Accept()
					if err != nil {
						return
					}
					go func() { defer c.Close(); io.Copy(c, c) }()
				}
			}()
		}
		results := make(chan error, conns)
		for i := range conns {
			go func() {
				c, err := net.Dial(s.network, ln.Addr().String())
				if err == nil {
					defer c.Close()
					msg := fmt.Sprintf("conn %d", i)
					if err = writeWhole(c, msg); err == nil {
						err = readWhole(c, msg)
					}
				}
				results <- err
			}()
		}
		good := 0
		for range conns {
			if err := <-results; err == nil {
				good++
			}
		}
		s.rec("echoed", "%d", good)
	})
}
