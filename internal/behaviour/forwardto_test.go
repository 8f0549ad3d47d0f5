//go:build linux

package behaviour

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// forwardFile opens a file that has something in it.
func forwardFile(flags int) func(s *scene) *os.File {
	return func(s *scene) *os.File {
		path := filepath.Join(s.dir, "to")
		s.must(os.WriteFile(path, []byte(strings.Repeat("old ", 10)), 0o600))
		f, err := os.OpenFile(path, flags, 0o600)
		s.must(err)
		s.closeLater(f)
		return f
	}
}

// forwardFiles are for TestBehaviourForwardFile.
var forwardFiles = []struct {
	name     string
	networks string // package net has other errors for its own unix conns
	file     func(s *scene) *os.File
}{
	{"start", "tcp4 unix", forwardFile(os.O_RDWR)},
	{"offset", "tcp4 unix", func(s *scene) *os.File {
		f := forwardFile(os.O_RDWR)(s)
		_, err := f.Seek(5, io.SeekStart)
		s.must(err)
		return f
	}},
	{"hole", "tcp4 unix", func(s *scene) *os.File {
		f := forwardFile(os.O_RDWR)(s)
		_, err := f.Seek(100, io.SeekStart)
		s.must(err)
		return f
	}},
	{"append", "tcp4 unix", forwardFile(os.O_RDWR | os.O_APPEND)},
	{"read only", "tcp4", forwardFile(os.O_RDONLY)},
	{"closed", "tcp4 unix", func(s *scene) *os.File {
		f := forwardFile(os.O_RDWR)(s)
		s.must(f.Close())
		return f
	}},
	{"directory", "tcp4", func(s *scene) *os.File {
		f, err := os.Open(s.dir)
		s.must(err)
		s.closeLater(f)
		return f
	}},
	{"device", "tcp4 unix", func(s *scene) *os.File {
		f, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
		s.must(err)
		s.closeLater(f)
		return f
	}},
	{"full device", "tcp4", func(s *scene) *os.File {
		f, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
		s.must(err)
		s.closeLater(f)
		return f
	}},
	{"none", "tcp4 unix", func(*scene) *os.File { return nil }},
}

// Copies to files.
func TestBehaviourForwardFile(t *testing.T) {
	for _, v := range forwardFiles {
		t.Run(v.name, func(t *testing.T) {
			compareConns(t, v.networks, func(s *scene) {
				f := v.file(s)
				s.peerWrite("hello, ")
				c := s.start(func() string {
					n, err := io.Copy(f, s.conn)
					return fmt.Sprintf("%d %s", n, s.describe(err))
				})
				go func() {
					s.peer.Write(pattern(300_000))
					s.peer.(streamConn).CloseWrite()
				}()
				c.result("copy")
				if f == nil {
					return
				}
				at, err := f.Seek(0, io.SeekCurrent)
				s.rec("offset", "%d %s", at, s.describe(err))
				if b, err := os.ReadFile(filepath.Join(s.dir, "to")); err == nil {
					s.rec("file", "%s", brief(b))
				}
			})
		})
	}
}

func TestBehaviourForwardFileLimited(t *testing.T) {
	compareConns(t, "tcp4 unix", func(s *scene) {
		f := forwardFile(os.O_RDWR)(s)
		s.peerWrite("0123456789")
		n, err := io.CopyN(f, s.conn, 7)
		s.rec("copy", "%d %s", n, s.describe(err))
		s.read("not taken", 8)
		b, err := os.ReadFile(f.Name())
		s.rec("file", "%q %v", b, err)
	})
}

func TestBehaviourForwardFileDeadline(t *testing.T) {
	compareConns(t, "tcp4", func(s *scene) {
		f := forwardFile(os.O_RDWR)(s)
		s.peerWrite("0123456789")
		s.must(s.conn.SetReadDeadline(soon()))
		n, err := io.Copy(f, s.conn)
		s.rec("copy", "%d %s", n, s.describe(err))
		c := s.start(func() string {
			n, err := io.Copy(f, s.conn)
			return fmt.Sprintf("%d %s", n, s.describe(err))
		})
		c.result("again")
		s.must(s.conn.SetReadDeadline(noDeadline))
		c = s.start(func() string {
			n, err := io.Copy(f, s.conn)
			return fmt.Sprintf("%d %s", n, s.describe(err))
		})
		c.asleep()
		s.err("Close", s.conn.Close())
		c.result("closed")
		b, err := os.ReadFile(f.Name())
		s.rec("file", "%q %v", b, err)
	})
}

// Copies to a pipe that its reader leaves full, or closes.
func TestBehaviourForwardPipe(t *testing.T) {
	pipe := func(s *scene) (r, w *os.File) {
		r, w, err := os.Pipe()
		s.must(err)
		s.closeLater(r)
		s.closeLater(w)
		return r, w
	}
	start := func(s *scene, w *os.File) *call {
		return s.start(func() string {
			n, err := io.Copy(w, s.conn)
			return fmt.Sprintf("%d %s", n, s.describe(err))
		})
	}
	compareConns(t, "tcp4 unix", func(s *scene) {
		r, w := pipe(s)
		c := start(s, w)
		b := make([]byte, 10)
		for range 20 {
			s.peerWrite("0123456789")
			_, err := io.ReadFull(r, b)
			s.must(err)
		}
		data := pattern(3 << 20)
		go func() { s.peer.Write(data); s.peer.Close() }()
		got := make([]byte, len(data))
		_, err := io.ReadFull(r, got)
		s.rec("pipe", "%t %v", bytes.Equal(got, data), err)
		c.result("copy")
	})
	compareConns(t, "tcp4", func(s *scene) { // its reader goes
		r, w := pipe(s)
		c := start(s, w)
		c.asleep()
		s.must(r.Close())
		s.peerWrite("lost")
		c.result("copy")
	})
	compareConns(t, "tcp4", func(s *scene) { // it is closed
		_, w := pipe(s)
		c := start(s, w)
		c.asleep()
		s.must(w.Close())
		s.peerWrite("lost")
		c.result("copy")
	})
	compareConns(t, "tcp4", func(s *scene) { // its deadline passes while it is full
		_, w := pipe(s)
		c := start(s, w)
		go s.peer.Write(pattern(3 << 20))
		c.asleep()
		s.until("full", func() bool {
			fds := []unix.PollFd{{Fd: int32(s.number(w)), Events: unix.POLLOUT}}
			n, err := unix.Poll(fds, 0)
			return n == 0 && err == nil
		})
		s.must(w.SetWriteDeadline(pastDeadline))
		_, err, _ := strings.Cut(c.wait(), " ")
		s.rec("copy", "%s", err)
		s.must(s.conn.Close())
	})
}

// Copies to what cannot be waited for, such as a standard output that is a pipe: its
// reader begins late.
func TestBehaviourForwardBlocking(t *testing.T) {
	kinds := []struct {
		name string
		ways []string
		make func(fds []int) error
	}{
		{"pipe", []string{"Copy", "ReadFrom", "WriteTo"}, func(fds []int) error { return unix.Pipe2(fds, unix.O_CLOEXEC) }},
		{"socket", []string{"Copy"}, func(fds []int) error {
			pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			fds[0], fds[1] = pair[0], pair[1]
			return err
		}},
	}
	for _, kind := range kinds {
		for _, way := range kind.ways {
			t.Run(kind.name+"/"+way, func(t *testing.T) {
				compareConns(t, "tcp4", func(s *scene) {
					var fds [2]int
					s.must(kind.make(fds[:]))
					r, w := os.NewFile(uintptr(fds[0]), "reader"), os.NewFile(uintptr(fds[1]), "writer")
					s.closeLater(r)
					data := pattern(2 << 20)
					go func() { s.peer.Write(data); s.peer.Close() }()
					c := s.start(func() string {
						defer w.Close()
						n, err := int64(0), error(nil)
						switch way {
						case "Copy":
							n, err = io.Copy(w, s.conn)
						case "ReadFrom":
							n, err = w.ReadFrom(s.conn)
						case "WriteTo":
							n, err = s.conn.(io.WriterTo).WriteTo(w)
						}
						return fmt.Sprintf("%d %s", n, s.describe(err))
					})
					s.still() // it is full by then
					got, err := io.ReadAll(r)
					s.rec("reader", "%t %v", bytes.Equal(got, data), err)
					c.result("copy")
				})
			})
		}
	}
}

// The reader of such a pipe goes: that is an error of the splice, and no Write's, which for a
// standard output would end the process.
func TestBehaviourForwardBlockingEnd(t *testing.T) {
	compareConns(t, "tcp4", func(s *scene) {
		var fds [2]int
		s.must(unix.Pipe2(fds[:], unix.O_CLOEXEC))
		r, w := os.NewFile(uintptr(fds[0]), "reader"), os.NewFile(uintptr(fds[1]), "writer")
		s.closeLater(w)
		go s.peer.Write(pattern(2 << 20))
		c := s.start(func() string {
			_, err := io.Copy(w, s.conn)
			return s.describe(err)
		})
		_, err := io.ReadFull(r, make([]byte, 1000))
		s.must(err)
		s.still() // it is full by then
		s.must(r.Close())
		c.result("copy")
		s.must(s.conn.Close())
	})
}

// Urgent data in the stream.
func TestBehaviourForwardUrgent(t *testing.T) {
	compareWays(t, "tcp_tcp", func(w *way) {
		w.begin()
		w.message([]byte("before"))
		w.control(w.from, func(fd int) { w.must(unix.Send(fd, []byte("!"), unix.MSG_OOB)) })
		w.copy.blocked("copy")
		w.send("after")
		w.copy.blocked("copy")
		w.must(w.from.Close())
		_, err, _ := strings.Cut(w.copy.wait(), " ")
		w.rec("copy", "%s", err)
		// What comes behind it splice(2) never moves. Read, and a relay, do.
		w.must(w.dst.Close())
		data, end := drain(w.to)
		w.rec("far end", "%t %v", len(data) == 0 || string(data) == "after", end)
	})
}

// There is no descriptor left for a pipe.
func TestBehaviourForwardNoPipe(t *testing.T) {
	gearsInTurn(t, "tcp4 unix", func(s *scene) {
		w := &way{scene: s, warmup: &warmups[0]}
		w.dst, w.to = s.pair()
		w.src, w.from = s.pair()
		s.conn, s.peer = w.src, w.from
		w2 := &way{scene: s, warmup: &warmups[0]}
		w2.dst, w2.to = s.pair()
		w2.src, w2.from = s.pair()
		give := s.takeAll(0)
		for _, w := range []*way{w, w2} {
			w.start(func() (int64, error) { return io.Copy(w.dst, w.src) })
			w.messages(20, 10)
			w.pass(pattern(2 << 20))
			w.messages(20, 10)
		}
		give()
		w.finish()
		w2.pass(pattern(2 << 20))
		w2.must(w2.from.Close())
		w2.copy.result("copy")
		w2.far()
	})
}

// A conn that is copied to itself.
func TestBehaviourForwardEcho(t *testing.T) {
	compareConns(t, "tcp4 unix", func(s *scene) {
		w := &way{scene: s, from: s.peer, src: s.conn, dst: s.conn, to: s.peer, warmup: &warmups[0]}
		w.begin()
		w.messages(20, 10)
		w.pass(pattern(3 << 20))
		w.messages(40, 10)
		w.copy.blocked("copy")
		s.must(s.stream().SetWriteBuffer(1 << 16))
		w.pass(pattern(1 << 20))
		w.must(w.from.(streamConn).CloseWrite())
		w.copy.result("copy")
		w.far()
	})
	compareConns(t, "tcp4 unix", func(s *scene) {
		w := &way{scene: s, from: s.peer, src: s.conn, dst: s.conn, to: s.peer, warmup: &warmups[0]}
		w.begin()
		w.messages(20, 10)
		w.copy.asleep()
		s.err("Close", s.conn.Close())
		w.copy.result("copy")
	})
}
