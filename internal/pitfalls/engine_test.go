//go:build linux

package pitfalls

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit"
	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
)

func TestEngineConfig(t *testing.T) {
	for _, cfg := range []*quoit.Config{
		nil, {}, {Entries: 17}, {Entries: 32768}, &pfTiny,
		{Gear: quoit.GearRing}, {Gear: quoit.GearPoll, BusyPoll: time.Millisecond}, {Gear: quoit.GearRing, BusyPoll: 100 * time.Microsecond},
	} {
		e, err := quoit.New(cfg)
		if err != nil {
			t.Errorf("%+v: %v", cfg, err)
			continue
		}
		if err := errors.Join(pfTraffic(e), e.Close()); err != nil {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
	fields := []struct {
		name     string
		min, max int
		set      func(*quoit.Config, int)
	}{
		{"Entries", 16, 32768, func(c *quoit.Config, n int) { c.Entries = n }},
	}
	for _, cfg := range []quoit.Config{{Gear: -1}, {Gear: 3}, {BusyPoll: -1}, {BusyPoll: time.Second}} {
		if e, err := quoit.New(&cfg); e != nil || !errors.As(err, new(*quoit.ConfigError)) {
			t.Errorf("%+v: %v, %v", cfg, e, err)
		}
	}
	for _, f := range fields {
		for _, n := range []int{-1, 1, f.min - 1, f.max + 1} {
			var cfg quoit.Config
			f.set(&cfg, n)
			e, err := quoit.New(&cfg)
			var ce *quoit.ConfigError
			if e != nil || !errors.As(err, &ce) || *ce != (quoit.ConfigError{Field: f.name, Value: n, Min: f.min, Max: f.max}) {
				t.Errorf("%s %d: %v, %v", f.name, n, e, err)
				continue
			}
			for _, s := range []string{f.name, fmt.Sprint(n), fmt.Sprint(f.min), fmt.Sprint(f.max)} {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("%q does not name %s", err, s)
				}
			}
		}
	}
}

func TestEngineClosed(t *testing.T) {
	e, err := quoit.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	ln := pfListen(t, testenv.Net)
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if err := e.Close(); !errors.Is(err, quoit.ErrEngineClosed) {
		t.Errorf("second Close: %v", err)
	}
	for _, network := range []string{"tcp", "tcp4", "unix"} {
		var oe *net.OpError
		if ln, err := e.Listen(network, "127.0.0.1:0"); ln != nil || !errors.As(err, &oe) || oe.Op != "listen" || !errors.Is(err, quoit.ErrEngineClosed) {
			t.Errorf("Listen %s: %v, %v", network, ln, err)
		}
		if c, err := e.Dialer().Dial(network, ln.Addr().String()); c != nil || !errors.As(err, &oe) || oe.Op != "dial" || !errors.Is(err, quoit.ErrEngineClosed) {
			t.Errorf("Dial %s: %v, %v", network, c, err)
		}
	}
	e.Stats() // must not panic
}

// Conns that the engine's Close ends are named by what calls return then, as those that
// are closed by themselves are, though nobody has asked for their addresses before.
func TestEngineClosedNames(t *testing.T) {
	enginetest.NeedRing(t)
	for _, at := range []struct{ network, address string }{
		{"tcp4", "127.0.0.1:0"}, {"tcp", ":0"}, {"unix", filepath.Join(t.TempDir(), "s")},
	} {
		t.Run(at.network+" "+filepath.Base(at.address), func(t *testing.T) {
			testenv.Watch(t, 2*testenv.Bound)
			e := enginetest.New(t, quoit.Config{})
			ln, err := e.Listen(at.network, at.address)
			if err != nil {
				t.Fatal(err)
			}
			const n = 8
			var servers, clients [n]net.Conn
			var reads [n]<-chan error
			for i := range n {
				if clients[i], err = net.Dial(at.network, ln.Addr().String()); err != nil {
					t.Fatal(err)
				}
				defer clients[i].Close()
				if servers[i], err = ln.Accept(); err != nil {
					t.Fatal(err)
				}
				if i%2 == 0 {
					reads[i] = testenv.Go(func() error { _, err := servers[i].Read(make([]byte, 1)); return err })
				}
			}
			if err := e.Close(); err != nil {
				t.Error(err)
			}
			for i, c := range servers {
				var got error
				if reads[i] != nil {
					got = testenv.Recv(t, reads[i], "Read")
				} else {
					_, got = c.Write([]byte("x"))
				}
				want := clients[i].RemoteAddr().String()
				var oe *net.OpError
				if !errors.As(got, &oe) || oe.Source.String() != want || !errors.Is(got, net.ErrClosed) {
					t.Errorf("%v does not name %s", got, want)
				}
				if local := c.LocalAddr(); local.String() != want || local != c.LocalAddr() {
					t.Errorf("LocalAddr is %v and %v, the peer has %s", local, c.LocalAddr(), want)
				}
			}
		})
	}
}

// pfBlackhole returns an address whose queue is full: dials to it wait.
func pfBlackhole(t *testing.T) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", sa.(*unix.SockaddrInet4).Port)
	testenv.Dial(t, addr)
	testenv.Poll(t, "the queue is full", func() bool { return testenv.QueueFull(fd) })
	return addr
}

// Close of an engine ends whatever waits on it.
func TestEngineCloseUnderTraffic(t *testing.T) {
	enginetest.NeedRing(t)
	testenv.Watch(t, 2*testenv.Bound)
	hole := pfBlackhole(t)
	before := len(testenv.FDs())
	e := enginetest.New(t, quoit.Config{})
	tr := enginetest.On(e)
	ln, idle := pfListen(t, tr), pfListen(t, tr)
	calls := map[string]<-chan error{
		"Accept": testenv.Go(func() error { _, err := idle.Accept(); return err }),
		"Dial":   testenv.Go(func() error { _, err := tr.Dial(context.Background(), "tcp", hole); return err }),
	}
	var readers []<-chan error // one may see its peer's end first
	for i := range 20 {
		c := pfDial(t, tr, ln.Addr().String())
		s := pfAccept(t, ln)
		name := func(what string) string { return fmt.Sprintf("%s %d", what, i) }
		switch i % 4 {
		case 0: // nobody reads
			calls[name("full Write")] = testenv.Go(func() error { return pfSend(c, 1, 1<<40) })
		case 1: // nobody writes
			calls[name("Read")] = testenv.Go(func() error { _, err := s.Read(make([]byte, 1)); return err })
			calls[name("WriteTo")] = testenv.Go(func() error { _, err := c.WriteTo(io.Discard); return err })
		case 2: // both busy
			calls[name("busy Write")] = testenv.Go(func() error { return pfSend(c, 1, 1<<40) })
			readers = append(readers, testenv.Go(func() error { return pfExpect(s, 1, 1<<40) }))
		case 3:
			calls[name("ReadFrom")] = testenv.Go(func() error { _, err := c.ReadFrom(testenv.Stream(1, 1<<40)); return err })
			readers = append(readers, testenv.Go(func() error { return pfExpect(s, 1, 1<<40) }))
		}
	}
	testenv.Poll(t, "traffic flows", func() bool { return e.Stats().BytesReceived > 1<<20 })
	testenv.Wait(t, testenv.Go(e.Close), "engine's Close")
	for name, c := range calls {
		err := testenv.Recv(t, c, name)
		// A WriteTo whose peer was closed first ends at the end of file.
		if err == nil && !strings.HasPrefix(name, "WriteTo") {
			t.Errorf("%s returned no error", name)
		}
		t.Logf("%s: %v", name, err)
	}
	for _, r := range readers {
		testenv.Recv(t, r, "reader")
	}
	if _, err := ln.Accept(); err == nil {
		t.Error("Accept after the engine's Close returned no error")
	}
	testenv.Poll(t, fmt.Sprintf("%d descriptors as before", before), func() bool { return len(testenv.FDs()) <= before })
	if s := e.Stats(); s.Conns != 0 || s.Listeners != 0 {
		t.Errorf("after Close: %+v", s)
	}
}

func TestEngineTwo(t *testing.T) {
	testenv.Watch(t, 2*testenv.Bound)
	a, b := enginetest.New(t, quoit.Config{}), enginetest.New(t, pfTiny)
	s, c := pfPair(t, enginetest.On(a), enginetest.On(b))
	back := testenv.Go(func() error { return errors.Join(pfSend(s, 2, 1<<20), s.CloseWrite()) })
	forth := testenv.Go(func() error { return errors.Join(pfSend(c, 1, 1<<20), c.CloseWrite()) })
	got := testenv.Go(func() error { return pfExpect(c, 2, 1<<20) })
	if err := pfExpect(s, 1, 1<<20); err != nil {
		t.Error(err)
	}
	testenv.Wait(t, back, "back")
	testenv.Wait(t, forth, "forth")
	testenv.Wait(t, got, "client")
	if err := a.Close(); err != nil { // b goes on
		t.Error(err)
	}
	if err := pfTraffic(b); err != nil {
		t.Error(err)
	}
}

func TestEngineStats(t *testing.T) {
	enginetest.NeedRing(t)
	testenv.Watch(t, 2*testenv.Bound)
	e := enginetest.New(t, quoit.Config{})
	tr := enginetest.On(e)
	ln := pfListen(t, tr)
	c := pfDial(t, tr, ln.Addr().String())
	s := pfAccept(t, ln)
	done := testenv.Go(func() error { return pfExpect(s, 1, 1<<20) })
	st := e.Stats()
	if st.Transport != "io_uring" || st.Reason != nil || st.Conns != 2 || st.Listeners != 1 || st.Accepted != 1 || st.Adopted != 1 {
		t.Errorf("while open: %+v", st)
	}
	if err := errors.Join(pfSend(c, 1, 1<<20), c.CloseWrite()); err != nil {
		t.Error(err)
	}
	testenv.Wait(t, done, "read")
	st = e.Stats()
	if st.BytesReceived != 1<<20 || st.BytesSent != 1<<20 || st.DirectReads+st.RingReads == 0 {
		t.Errorf("after 1 MB: %+v", st)
	}
	c.Close()
	s.Close()
	ln.Close()
	testenv.Poll(t, "nothing open", func() bool {
		st = e.Stats()
		return st.Conns == 0 && st.Listeners == 0
	})
	ring := enginetest.New(t, quoit.Config{Gear: quoit.GearRing})
	for range 10 {
		if err := errors.Join(pfTraffic(e), pfTraffic(ring)); err != nil {
			t.Error(err)
		}
	}
	if st = ring.Stats(); st.Enters == 0 || st.Completions == 0 {
		t.Errorf("in gear ring: %+v", st)
	}
	if p := quoit.Probe(); !p.IOUring || p.Err != nil || p.Kernel == "" || len(p.Features) == 0 {
		t.Errorf("Probe: %+v", p)
	}
}

// Thousands of conns leave neither descriptors nor memory behind.
func TestEngineChurn(t *testing.T) {
	testenv.Watch(t, 2*testenv.Bound)
	total := 5000
	if testing.Short() {
		total = 500
	}
	e := enginetest.New(t, quoit.Config{})
	tr := enginetest.On(e)
	ln := pfListen(t, tr)
	server := testenv.Go(func() error {
		for {
			c, err := ln.Accept()
			if err != nil {
				return err
			}
			go func() {
				defer c.Close()
				io.Copy(c, c)
			}()
		}
	})
	churn := func(n int) {
		var wg sync.WaitGroup
		for w := range 8 {
			tr := []testenv.Transport{tr, testenv.Net}[w%2]
			wg.Go(func() {
				for range n / 8 {
					if err := pfEchoOnce(t.Context(), tr, ln.Addr().String()); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
	}
	settled := func() (fds int, heap uint64) {
		testenv.Poll(t, "all conns gone", func() bool { return e.Stats().Conns == 0 })
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return len(testenv.FDs()), m.HeapInuse + m.StackInuse
	}
	churn(400)
	fds, heap := settled()
	churn(total)
	testenv.Poll(t, fmt.Sprintf("%d descriptors as before", fds), func() bool { return len(testenv.FDs()) <= fds+2 })
	if _, after := settled(); after > heap+16<<20 {
		t.Errorf("memory grew from %d to %d bytes over %d conns", heap, after, total)
	}
	ln.Close()
	if err := testenv.Recv(t, server, "Accept"); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

// pfEchoOnce opens a conn and has a few bytes echoed.
func pfEchoOnce(ctx context.Context, tr testenv.Transport, addr string) error {
	c, err := tr.Dial(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(testenv.Bound))
	return errors.Join(pfSend(c, 5, 100), c.(pfStream).CloseWrite(), pfExpect(c, 5, 100))
}

// Reading and writing allocate nothing, whoever of the two waits.
func TestEngineAllocs(t *testing.T) {
	enginetest.NeedRing(t)
	if testenv.Race {
		t.Skip("the race detector allocates")
	}
	pfEach(t, quoit.Config{}, func(t *testing.T, server, client testenv.Transport) {
		for _, size := range []int{1, 1000, 100_000} {
			s, c := pfPair(t, server, client)
			b, echo := make([]byte, size), make([]byte, size)
			go func() {
				for {
					if _, err := io.ReadFull(s, echo); err != nil {
						return
					}
					if _, err := s.Write(echo); err != nil {
						return
					}
				}
			}()
			n := testing.AllocsPerRun(300, func() {
				if _, err := c.Write(b); err != nil {
					t.Error(err)
				}
				if _, err := io.ReadFull(c, b); err != nil {
					t.Error(err)
				}
			})
			if n != 0 {
				t.Errorf("%d bytes: %v allocations a round trip", size, n)
			}
			s.Close()
			c.Close()
		}
	})
}

// An engine with nothing to do does nothing.
func TestEngineIdle(t *testing.T) {
	enginetest.NeedRing(t)
	testenv.Watch(t, 2*testenv.Bound)
	for _, cfg := range []quoit.Config{{}, pfTiny} {
		e := enginetest.New(t, cfg)
		tr := enginetest.On(e)
		ln := pfListen(t, tr)
		accepting := testenv.Go(func() error { _, err := ln.Accept(); return err })
		for range 10 { // parked reads, a full socket, idle conns
			s, _ := pfPair(t, tr, testenv.Net)
			testenv.Go(func() error { return pfExpect(s, 1, 0) })
			_, c := pfPair(t, tr, tr)
			testenv.Go(func() error { return pfSend(c, 1, 1<<40) })
		}
		var st quoit.Stats
		var cpu time.Duration
		testenv.Poll(t, "nothing done for 300 ms", func() bool { // some conns still fill up
			st, cpu = e.Stats(), pfCPU()
			testenv.Pace(300 * time.Millisecond)
			after := e.Stats()
			cpu = pfCPU() - cpu
			return after.Enters-st.Enters < 10 && after.Completions-st.Completions < 10 && cpu < 100*time.Millisecond
		})
		ln.Close()
		if err := testenv.Recv(t, accepting, "Accept"); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		e.Close()
	}
}
