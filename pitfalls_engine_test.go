//go:build linux

package quoit_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit"
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
	ln := pfListen(t, htNet)
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
	htDial(t, addr)
	htPoll(t, "the queue is full", func() bool { return queueFull(fd) })
	return addr
}

// Close of an engine ends whatever waits on it.
func TestEngineCloseUnderTraffic(t *testing.T) {
	pfNeedRing(t)
	htWatch(t, 2*htBound)
	hole := pfBlackhole(t)
	before := len(pfFDs())
	e := pfEngine(t, quoit.Config{})
	tr := pfOn(e)
	ln, idle := pfListen(t, tr), pfListen(t, tr)
	calls := map[string]<-chan error{
		"Accept": pfGo(func() error { _, err := idle.Accept(); return err }),
		"Dial":   pfGo(func() error { _, err := tr.dial(context.Background(), "tcp", hole); return err }),
	}
	var readers []<-chan error // one may see its peer's end first
	for i := range 20 {
		c := pfDial(t, tr, ln.Addr().String())
		s := pfAccept(t, ln)
		name := func(what string) string { return fmt.Sprintf("%s %d", what, i) }
		switch i % 4 {
		case 0: // nobody reads
			calls[name("full Write")] = pfGo(func() error { return pfSend(c, 1, 1<<40) })
		case 1: // nobody writes
			calls[name("Read")] = pfGo(func() error { _, err := s.Read(make([]byte, 1)); return err })
			calls[name("WriteTo")] = pfGo(func() error { _, err := c.WriteTo(io.Discard); return err })
		case 2: // both busy
			calls[name("busy Write")] = pfGo(func() error { return pfSend(c, 1, 1<<40) })
			readers = append(readers, pfGo(func() error { return pfExpect(s, 1, 1<<40) }))
		case 3:
			calls[name("ReadFrom")] = pfGo(func() error { _, err := c.ReadFrom(htStream(1, 1<<40)); return err })
			readers = append(readers, pfGo(func() error { return pfExpect(s, 1, 1<<40) }))
		}
	}
	htPoll(t, "traffic flows", func() bool { s := e.Stats(); return s.BytesReceived+s.DirectReads<<10 > 1<<20 })
	pfWait(t, pfGo(e.Close), "engine's Close")
	for name, c := range calls {
		err := htRecv(t, c, name)
		// A WriteTo whose peer was closed first ends at the end of file.
		if err == nil && !strings.HasPrefix(name, "WriteTo") {
			t.Errorf("%s returned no error", name)
		}
		t.Logf("%s: %v", name, err)
	}
	for _, r := range readers {
		htRecv(t, r, "reader")
	}
	if _, err := ln.Accept(); err == nil {
		t.Error("Accept after the engine's Close returned no error")
	}
	htPoll(t, fmt.Sprintf("%d descriptors as before", before), func() bool { return len(pfFDs()) <= before })
	if s := e.Stats(); s.Conns != 0 || s.Listeners != 0 {
		t.Errorf("after Close: %+v", s)
	}
}

func TestEngineTwo(t *testing.T) {
	htWatch(t, 2*htBound)
	a, b := pfEngine(t, quoit.Config{}), pfEngine(t, pfTiny)
	s, c := pfPair(t, pfOn(a), pfOn(b))
	back := pfGo(func() error { return errors.Join(pfSend(s, 2, 1<<20), s.CloseWrite()) })
	forth := pfGo(func() error { return errors.Join(pfSend(c, 1, 1<<20), c.CloseWrite()) })
	got := pfGo(func() error { return pfExpect(c, 2, 1<<20) })
	if err := pfExpect(s, 1, 1<<20); err != nil {
		t.Error(err)
	}
	pfWait(t, back, "back")
	pfWait(t, forth, "forth")
	pfWait(t, got, "client")
	if err := a.Close(); err != nil { // b goes on
		t.Error(err)
	}
	if err := pfTraffic(b); err != nil {
		t.Error(err)
	}
}

func TestEngineStats(t *testing.T) {
	pfNeedRing(t)
	htWatch(t, 2*htBound)
	e := pfEngine(t, quoit.Config{})
	tr := pfOn(e)
	ln := pfListen(t, tr)
	c := pfDial(t, tr, ln.Addr().String())
	s := pfAccept(t, ln)
	done := pfGo(func() error { return pfExpect(s, 1, 1<<20) })
	st := e.Stats()
	if st.Transport != "io_uring" || st.Reason != nil || st.Conns != 2 || st.Listeners != 1 || st.Accepted != 1 || st.Adopted != 1 {
		t.Errorf("while open: %+v", st)
	}
	if err := errors.Join(pfSend(c, 1, 1<<20), c.CloseWrite()); err != nil {
		t.Error(err)
	}
	pfWait(t, done, "read")
	st = e.Stats()
	if st.BytesReceived == 0 && st.DirectReads == 0 {
		t.Errorf("after 1 MB: %+v", st)
	}
	c.Close()
	s.Close()
	ln.Close()
	htPoll(t, "nothing open", func() bool {
		st = e.Stats()
		return st.Conns == 0 && st.Listeners == 0
	})
	ring := pfEngine(t, quoit.Config{Gear: quoit.GearRing})
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
	htWatch(t, 2*htBound)
	total := 5000
	if testing.Short() {
		total = 500
	}
	e := pfEngine(t, quoit.Config{})
	tr := pfOn(e)
	ln := pfListen(t, tr)
	server := pfGo(func() error {
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
			tr := []htTransport{tr, htNet}[w%2]
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
		htPoll(t, "all conns gone", func() bool { return e.Stats().Conns == 0 })
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return len(pfFDs()), m.HeapInuse + m.StackInuse
	}
	churn(400)
	fds, heap := settled()
	churn(total)
	htPoll(t, fmt.Sprintf("%d descriptors as before", fds), func() bool { return len(pfFDs()) <= fds+2 })
	if _, after := settled(); after > heap+16<<20 {
		t.Errorf("memory grew from %d to %d bytes over %d conns", heap, after, total)
	}
	ln.Close()
	if err := htRecv(t, server, "Accept"); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

// pfEchoOnce opens a conn and has a few bytes echoed.
func pfEchoOnce(ctx context.Context, tr htTransport, addr string) error {
	c, err := tr.dial(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(htBound))
	return errors.Join(pfSend(c, 5, 100), c.(pfStream).CloseWrite(), pfExpect(c, 5, 100))
}

// Reading and writing allocate nothing, whoever of the two waits.
func TestEngineAllocs(t *testing.T) {
	pfNeedRing(t)
	if pfRace {
		t.Skip("the race detector allocates")
	}
	pfEach(t, quoit.Config{}, func(t *testing.T, server, client htTransport) {
		s, c := pfPair(t, server, client)
		for _, size := range []int{1, 1000, 100_000} {
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
			s, c = pfPair(t, server, client)
		}
	})
}

// An engine with nothing to do does nothing.
func TestEngineIdle(t *testing.T) {
	pfNeedRing(t)
	htWatch(t, 2*htBound)
	for _, cfg := range []quoit.Config{{}, pfTiny} {
		e := pfEngine(t, cfg)
		tr := pfOn(e)
		ln := pfListen(t, tr)
		accepting := pfGo(func() error { _, err := ln.Accept(); return err })
		for range 10 { // parked reads, a full socket, idle conns
			s, _ := pfPair(t, tr, htNet)
			pfGo(func() error { return pfExpect(s, 1, 0) })
			_, c := pfPair(t, tr, tr)
			pfGo(func() error { return pfSend(c, 1, 1<<40) })
		}
		var st quoit.Stats
		var cpu time.Duration
		htPoll(t, "nothing done for 300 ms", func() bool { // some conns still fill up
			st, cpu = e.Stats(), pfCPU()
			htPace(300 * time.Millisecond)
			after := e.Stats()
			cpu = pfCPU() - cpu
			return after.Enters-st.Enters < 10 && after.Completions-st.Completions < 10 && cpu < 100*time.Millisecond
		})
		ln.Close()
		if err := htRecv(t, accepting, "Accept"); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		e.Close()
	}
}
