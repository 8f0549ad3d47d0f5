//go:build linux

package behaviour

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// msgConn is the stream part of *net.UnixConn's own methods.
type msgConn interface {
	ReadMsgUnix(b, oob []byte) (n, oobn, flags int, addr *net.UnixAddr, err error)
	WriteMsgUnix(b, oob []byte, addr *net.UnixAddr) (n, oobn int, err error)
}

func (s *scene) msgs() msgConn {
	c, ok := s.conn.(msgConn)
	if !ok {
		s.fatal(fmt.Sprintf("%T lacks ReadMsgUnix or WriteMsgUnix", s.conn))
	}
	return c
}

func (s *scene) readMsg(size, oobSize int) string {
	b, oob := make([]byte, size), make([]byte, oobSize)
	n, oobn, flags, addr, err := s.msgs().ReadMsgUnix(b, oob)
	return fmt.Sprintf("%q %d %#x %v %s", b[:max(n, 0)], oobn, flags, addr, s.describe(err))
}

func (s *scene) writeMsg(data string, oob []byte, addr *net.UnixAddr) string {
	n, oobn, err := s.msgs().WriteMsgUnix([]byte(data), oob, addr)
	return fmt.Sprintf("%d %d %s", n, oobn, s.describe(err))
}

func TestBehaviourUnixMsg(t *testing.T) {
	compareConns(t, "unix", func(s *scene) {
		s.peerWrite("plain bytes")
		s.rec("read", "%s", s.readMsg(5, 64))
		s.rec("rest", "%s", s.readMsg(64, 0))
		s.rec("write", "%s", s.writeMsg("message", nil, nil))
		s.peerExpect("peer", 7)
		s.rec("empty write", "%s", s.writeMsg("", nil, nil))
		s.rec("with address", "%s", s.writeMsg("x", nil, &net.UnixAddr{Name: "/nonexistent", Net: "unix"}))
		s.rec("with wrong address", "%s", s.writeMsg("x", nil, &net.UnixAddr{Name: "/nonexistent", Net: "unixgram"}))
		c := s.start(func() string { return s.readMsg(64, 64) })
		c.blocked("read")
		s.peerWrite("arrives")
		c.result("read")
		s.must(s.conn.SetReadDeadline(soon()))
		s.rec("timeout", "%s", s.readMsg(8, 8))
		s.must(s.conn.SetWriteDeadline(pastDeadline))
		s.rec("write timeout", "%s", s.writeMsg("x", nil, nil))
		s.must(s.conn.SetDeadline(noDeadline))
		c = s.start(func() string { return s.readMsg(64, 64) })
		c.blocked("parked")
		s.err("Close", s.conn.Close())
		c.result("parked")
		s.rec("closed", "%s", s.readMsg(8, 8))
		s.rec("write closed", "%s", s.writeMsg("x", nil, nil))
	})
	compareConns(t, "unix", func(s *scene) { // at the end
		s.peerFin(false)
		s.rec("EOF", "%s", s.readMsg(8, 8))
		s.must(s.stream().CloseWrite())
		s.rec("write", "%s", s.writeMsg("x", nil, nil))
	})
	compareConns(t, "unix", func(s *scene) { // mixed with Read
		s.peerWrite("one two three")
		s.readFull("Read", 3)
		s.rec("read", "%s", s.readMsg(4, 8))
		s.readFull("Read", 6)
	})
}

// TestBehaviourUnixRights passes a descriptor each way.
func TestBehaviourUnixRights(t *testing.T) {
	compareConns(t, "unix", func(s *scene) {
		path := filepath.Join(s.dir, "passed")
		s.must(os.WriteFile(path, []byte("contents"), 0o600))
		f, err := os.Open(path)
		s.must(err)
		s.closeLater(f)
		rights := unix.UnixRights(int(f.Fd()))

		_, _, err = s.peer.(*net.UnixConn).WriteMsgUnix([]byte("take this"), rights, nil)
		s.must(err)
		b, oob := make([]byte, 64), make([]byte, 64)
		n, oobn, flags, _, err := s.msgs().ReadMsgUnix(b, oob)
		s.rec("read", "%q %d %#x %s", b[:n], oobn, flags, s.describe(err))
		s.received("received", oob[:oobn])

		c := s.start(func() string { // while parked
			n, oobn, flags, _, err := s.msgs().ReadMsgUnix(b, oob)
			out := fmt.Sprintf("%q %d %#x %s", b[:n], oobn, flags, s.describe(err))
			oob = oob[:oobn]
			return out
		})
		c.blocked("parked")
		_, _, err = s.peer.(*net.UnixConn).WriteMsgUnix([]byte("again"), rights, nil)
		s.must(err)
		c.result("parked")
		s.received("received parked", oob)

		s.rec("write", "%s", s.writeMsg("and back", rights, nil))
		b, oob = make([]byte, 64), make([]byte, 64)
		n, oobn, _, _, err = s.peer.(*net.UnixConn).ReadMsgUnix(b, oob)
		s.must(err)
		s.rec("peer", "%q", b[:n])
		s.received("peer received", oob[:oobn])
	})
}

// received reads the one file that a control message carries.
func (s *scene) received(label string, oob []byte) {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(msgs) != 1 {
		s.rec(label, "%d messages, %v", len(msgs), err)
		return
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil || len(fds) != 1 {
		s.rec(label, "%d descriptors, %v", len(fds), err)
		return
	}
	flags, err := unix.FcntlInt(uintptr(fds[0]), unix.F_GETFD, 0)
	f := os.NewFile(uintptr(fds[0]), "passed")
	defer f.Close()
	f.Seek(0, io.SeekStart)
	data, rerr := io.ReadAll(f)
	s.rec(label, "%q %v CLOEXEC=%t %v", data, rerr, flags&unix.FD_CLOEXEC != 0, err)
}

// TestBehaviourUnixCredentials asks for the peer's credentials.
func TestBehaviourUnixCredentials(t *testing.T) {
	compareConns(t, "unix", func(s *scene) {
		s.control(s.conn, func(fd int) {
			cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
			s.must(err)
			s.rec("ours", "%t", int(cred.Pid) == os.Getpid() && int(cred.Uid) == os.Getuid())
		})
	})
}

// TestBehaviourBubble uses the library from inside a synctest bubble. It runs
// in a process of its own, so that the bubble sees the engine's first use.
func TestBehaviourBubble(t *testing.T) {
	if !inChild(t) {
		return
	}
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			var traces [2][]string
			for i, im := range []*impl{netImpl, quoitImpl} {
				dir := shortDir(t)
				defer os.RemoveAll(dir)
				s := &scene{t: t, impl: im, network: network, dir: dir}
				s.name(dir, "$DIR")
				synctest.Test(t, func(t *testing.T) { s.bubble() })
				s.clean()
				traces[i] = s.trace()
			}
			want, got := strings.Join(traces[0], "\n"), strings.Join(traces[1], "\n")
			if os.Getenv("QUOIT_TRACE") != "" {
				t.Logf("net's trace:\n%s", want)
			}
			if want != got {
				t.Errorf("net:\n%s\nquoit:\n%s", want, got)
			}
		})
	}
}

// bubble is a life of a listener and its conns in which everything happens
// inside the bubble. Waiting on a socket does not block the bubble durably,
// so its clock stands still meanwhile.
func (s *scene) bubble() {
	ln, err := s.impl.listen(context.Background(), net.ListenConfig{}, s.network, s.anyAddress())
	s.must(err)
	s.name(ln.Addr().String(), "$LISTENER")
	served := make(chan string, 1)
	go func() {
		c, err := ln.Accept()
		if err != nil {
			served <- s.describe(err)
			return
		}
		n, err := io.Copy(c, c)
		served <- fmt.Sprintf("%d %s %s", n, s.describe(err), s.describe(c.Close()))
	}()
	c, err := s.impl.dial(context.Background(), net.Dialer{Timeout: time.Minute}, s.network, ln.Addr().String())
	s.must(err)
	s.conn = c
	if s.network != "unix" {
		s.name(c.LocalAddr().String(), "$LOCAL")
	}
	s.write("Write", "hello")
	s.readFull("Read", 5)
	s.must(c.SetReadDeadline(pastDeadline))
	s.read("Read past deadline", 5)
	s.must(c.SetDeadline(time.Now().Add(time.Hour)))
	s.write("Write again", "with a deadline")
	s.readFull("Read again", 15)

	s.must(c.SetReadDeadline(soon()))
	s.read("Read past a short deadline", 1)
	s.must(c.SetReadDeadline(distant()))

	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			_, err := c.Read(make([]byte, 1))
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				s.err("parked Read", err)
			}
		})
	}
	wg.Go(func() { c.SetReadDeadline(pastDeadline) })
	wg.Wait()
	s.must(c.SetReadDeadline(noDeadline))
	s.err("CloseWrite", s.stream().CloseWrite())
	s.read("Read at EOF", 1)
	s.rec("served", "%s", <-served)
	s.err("Close", c.Close())
	s.read("closed", 1)

	s.must(s.full(ln).SetDeadline(pastDeadline))
	s.accept("Accept past deadline", ln)
	s.must(s.full(ln).SetDeadline(noDeadline))
	var parked string
	wg.Go(func() { parked = s.doAccept(ln) })
	s.err("Close listener", ln.Close())
	wg.Wait()
	s.rec("parked Accept", "%s", parked)
	_, err = s.impl.dial(context.Background(), net.Dialer{}, s.network, ln.Addr().String())
	s.err("dial", err)
	synctest.Wait()
}

// TestBehaviourBubbleAcross makes a conn outside and uses it inside a bubble.
func TestBehaviourBubbleAcross(t *testing.T) {
	compareConns(t, allStreams, func(s *scene) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			synctest.Test(s.t, func(*testing.T) {
				s.write("Write", "inside")
				s.peerExpect("peer", 6)
				s.must(writeWhole(s.peer, "to the bubble"))
				s.readFull("Read", 13)
				s.must(s.conn.SetReadDeadline(pastDeadline))
				s.read("past", 1)
				s.must(s.conn.SetReadDeadline(noDeadline))
				go s.peer.Close()
				s.read("parked Read", 1)
				s.err("Close", s.conn.Close())
			})
		}()
		<-done
	})
}
