//go:build linux

package pitfalls

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit"
	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
)

// Conns that come and go never touch a descriptor that is no longer theirs: others,
// which get the numbers as they become free, find theirs open, the same, and with
// the bytes they put there, also while rings fail.
func TestLifetimeForeignDescriptors(t *testing.T) {
	gears := map[string]quoit.Gear{"ring": quoit.GearRing, "poll": quoit.GearPoll, "auto": quoit.GearAuto}
	for _, server := range pfServers {
		t.Run(server, func(t *testing.T) {
			testenv.Watch(t, 4*testenv.Bound)
			tr, conns := testenv.Net, 300
			var e *quoit.Engine
			if server != "net" {
				if pfLong() {
					conns = 8000
				}
				enginetest.NeedRing(t)
				e = enginetest.New(t, quoit.Config{Gear: gears[server], Rings: 2})
				tr = enginetest.On(e)
			}
			others := startForeign(t)
			churn := &foreignChurn{T: t, tr: tr, ln: pfListen(t, tr)}
			churn.run(conns)
			if e != nil {
				stop := churn.begin(conns / 4)
				enginetest.Break(e)
				stop()
			}
			others.end()
			t.Logf("%d conns; %d descriptors opened and closed, with %d numbers that were a conn's, too",
				churn.conns.Load(), others.opened.Load(), others.met(churn))
		})
	}
}

// foreign opens and closes descriptors of its own, and looks whether somebody else did
// anything to them.
type foreign struct {
	*testing.T
	stop    chan struct{}
	done    sync.WaitGroup
	opened  atomic.Int64
	numbers [1 << 12]atomic.Bool // that it had
}

func startForeign(t *testing.T) *foreign {
	f := &foreign{T: t, stop: make(chan struct{})}
	for range 2 {
		f.done.Go(func() {
			var kept []foreignPair
			defer func() {
				for _, p := range kept {
					f.check(p.close())
				}
			}()
			for {
				select {
				case <-f.stop:
					return
				default:
				}
				if len(kept) == 16 {
					i := rand.N(len(kept))
					f.check(kept[i].close())
					kept[i] = kept[len(kept)-1]
					kept = kept[:len(kept)-1]
				}
				p, err := openForeign()
				if err != nil {
					f.Error(err)
					return
				}
				f.opened.Add(2)
				for _, fd := range p.fds {
					f.numbers[fd%len(f.numbers)].Store(true)
				}
				kept = append(kept, p)
				f.check(kept[rand.N(len(kept))].look())
				runtime.Gosched()
			}
		})
	}
	return f
}

func (f *foreign) check(err error) {
	if err != nil {
		f.Errorf("somebody else used a descriptor of ours: %v", err)
	}
}

func (f *foreign) end() { close(f.stop); f.done.Wait() }

// met is how many numbers both had.
func (f *foreign) met(c *foreignChurn) (n int) {
	for i := range f.numbers {
		if f.numbers[i].Load() && c.numbers[i].Load() {
			n++
		}
	}
	if n == 0 {
		f.Error("no number was a conn's and somebody else's")
	}
	return n
}

// foreignPair are two connected sockets, and how they are told from others.
type foreignPair struct {
	fds  [2]int
	inos [2]uint64
}

func openForeign() (p foreignPair, err error) {
	if p.fds, err = unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
		return p, os.NewSyscallError("socketpair", err)
	}
	for i, fd := range p.fds {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return p, os.NewSyscallError("fstat", err)
		}
		p.inos[i] = st.Ino
	}
	return p, nil
}

// look finds a descriptor that was closed, replaced, shut down, written to or read from.
func (p foreignPair) look() error {
	for i, fd := range p.fds {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return fmt.Errorf("%d: fstat: %w", fd, err)
		}
		if st.Ino != p.inos[i] {
			return fmt.Errorf("%d: inode %d, was %d", fd, st.Ino, p.inos[i])
		}
		sent := []byte{byte(rand.Uint32())}
		if _, err := unix.Write(fd, sent); err != nil {
			return fmt.Errorf("%d: write: %w", fd, err)
		}
		got := make([]byte, 2)
		n, err := unix.Read(p.fds[1-i], got)
		if err != nil || n != 1 || got[0] != sent[0] {
			return fmt.Errorf("%d to %d: sent %d, got %d, %v", fd, p.fds[1-i], sent, got[:max(n, 0)], err)
		}
	}
	return nil
}

func (p foreignPair) close() error {
	err := p.look()
	for _, fd := range p.fds {
		err = errors.Join(err, os.NewSyscallError("close", unix.Close(fd)))
	}
	return err
}

// The test of descriptors sees what it is for.
func TestLifetimeForeignDescriptorsSeen(t *testing.T) {
	for name, harm := range map[string]func(fd, other int) error{
		"closed":    func(fd, _ int) error { return unix.Close(fd) },
		"replaced":  func(fd, other int) error { return unix.Dup3(other, fd, unix.O_CLOEXEC) },
		"shut down": func(fd, _ int) error { return unix.Shutdown(fd, unix.SHUT_WR) },
		"written":   func(fd, _ int) error { _, err := unix.Write(fd, []byte("x")); return err },
	} {
		t.Run(name, func(t *testing.T) {
			p, err := openForeign()
			if err != nil {
				t.Fatal(err)
			}
			if err := p.look(); err != nil {
				t.Error(err)
			}
			if err := harm(p.fds[0], p.fds[1]); err != nil {
				t.Fatal(err)
			}
			if p.look() == nil {
				t.Error("not seen")
			}
			p.close()
		})
	}
}

// foreignChurn has conns that end in each way that a conn can.
type foreignChurn struct {
	*testing.T
	tr      testenv.Transport
	ln      net.Listener
	conns   atomic.Int64
	numbers [1 << 12]atomic.Bool
}

func (c *foreignChurn) run(conns int) { c.begin(conns)() }

// begin has so many conns come and go; wait returns when the last has.
func (c *foreignChurn) begin(conns int) (wait func()) {
	var wg sync.WaitGroup
	var left atomic.Int64
	left.Store(int64(conns))
	for range 8 {
		wg.Go(func() {
			for left.Add(-1) >= 0 && !c.Failed() {
				ctx, cancel := context.WithTimeout(context.Background(), testenv.Bound)
				client, err := c.tr.Dial(ctx, "tcp", c.ln.Addr().String())
				cancel()
				// A conn that another worker had and reset is in the queue no more, but that
				// worker's is.
				if err != nil && !errors.Is(err, unix.ECONNRESET) {
					c.Error(err)
					return
				}
				server, err := c.ln.Accept()
				if err != nil {
					c.Error(err)
					return
				}
				c.conns.Add(2)
				var ends sync.WaitGroup
				ends.Go(func() { c.use(server.(pfStream)) })
				if client != nil {
					ends.Go(func() { c.use(client.(pfStream)) })
				}
				ends.Wait()
			}
		})
	}
	return wg.Wait
}

// use talks on one end, and closes it.
func (c *foreignChurn) use(s pfStream) {
	defer s.Close()
	s.SetDeadline(time.Now().Add(testenv.Bound))
	b := make([]byte, 100)
	for range rand.N(4) {
		if _, err := s.Write(b[:1+rand.N(99)]); err != nil {
			return
		}
	}
	var closers sync.WaitGroup
	defer closers.Wait()
	switch rand.N(9) {
	case 0: // the other end, or nobody, has read
	case 1:
		s.SetLinger(0)
	case 2:
		s.CloseWrite()
		io.Copy(io.Discard, struct{ io.Reader }{s})
	case 3: // a deadline ends it
		s.SetReadDeadline(time.Now().Add(time.Duration(rand.N(300)) * time.Microsecond))
		for err := error(nil); err == nil; _, err = s.Read(b) {
		}
	case 4: // Close meets a Read, and another Close
		for range 2 {
			closers.Go(func() { s.Close() })
		}
		s.Read(b)
	case 5: // Close meets a Write
		closers.Go(func() { s.Close() })
		for err := error(nil); err == nil; _, err = s.Write(b) {
		}
	case 6:
		s.CloseRead()
		s.Write(b)
	case 7: // the copy outlives it
		f, err := s.File()
		if err == nil {
			s.Close()
			f.Write(b[:1])
			err = f.Close()
		}
		if err != nil {
			c.Error(err)
		}
	case 8:
		raw, err := s.SyscallConn()
		if err == nil {
			err = raw.Control(func(fd uintptr) { c.numbers[fd%uintptr(len(c.numbers))].Store(true) })
		}
		if err != nil {
			c.Error(err)
		}
	}
}
