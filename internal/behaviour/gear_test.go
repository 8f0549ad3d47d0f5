//go:build linux

package behaviour

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
)

// allGears are the ways in which the engine of a behaviour may run. The last
// is GearAuto under a load that has made it choose the ring.
var allGears = enginetest.Gears("poll", "ring", "auto", "hot")

// gearImpl starts an engine in a gear, until the test ends.
func gearImpl(t *testing.T, gear string) *impl {
	t.Helper()
	im, _ := gearEngineImpl(t, gear)
	return im
}

func gearEngineImpl(t *testing.T, gear string) (*impl, *quoit.Engine) {
	t.Helper()
	enginetest.NeedRing(t)
	cfg := quoit.Config{Require: true}
	switch gear {
	case "poll":
		cfg.Gear = quoit.GearPoll
	case "ring":
		cfg.Gear = quoit.GearRing
	}
	e := enginetest.New(t, cfg)
	if gear == "hot" && e.Stats().Gear == quoit.GearPoll { // a forced gear stays
		keepHot(t, e)
	}
	return engineImpl(gear, e), e
}

// keepHot shifts e to the ring again whenever it has left it.
func keepHot(t *testing.T, e *quoit.Engine) {
	enginetest.Shift(e, true)
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-quit:
				return
			case <-time.After(time.Millisecond):
				enginetest.Shift(e, true)
			}
		}
	}()
	t.Cleanup(func() { close(quit); <-done })
}

// engineImpl is quoitImpl on an engine of its own.
func engineImpl(name string, e *quoit.Engine) *impl {
	im := &impl{name: name}
	im.listen = func(ctx context.Context, lc net.ListenConfig, network, address string) (net.Listener, error) {
		q := quoit.ListenConfig{Control: lc.Control, KeepAlive: lc.KeepAlive, KeepAliveConfig: lc.KeepAliveConfig, Engine: e}
		return q.Listen(ctx, network, address)
	}
	im.dial = func(ctx context.Context, d net.Dialer, network, address string) (net.Conn, error) {
		q := quoit.Dialer{
			Timeout: d.Timeout, Deadline: d.Deadline, LocalAddr: d.LocalAddr,
			FallbackDelay: d.FallbackDelay, KeepAlive: d.KeepAlive, KeepAliveConfig: d.KeepAliveConfig,
			Resolver: d.Resolver, Control: d.Control, ControlContext: d.ControlContext, Engine: e,
		}
		return q.DialContext(ctx, network, address)
	}
	im.plainListen = e.Listen
	im.plainDial = e.Dialer().Dial
	im.fileConn = e.FileConn
	im.fileListener = e.FileListener
	im.adopt = e.NewListener
	return im
}

// compareGears runs f with package net and with an engine in each gear, on
// each of the networks, and compares the traces.
func compareGears(t *testing.T, networks string, f func(*scene)) {
	t.Helper()
	compareVariants(t, networks, "", func(s *scene, _ string) { f(s) })
}

// compareGearConns is compareGears with a connected pair: the conn under test
// is new, or dialed, or has waited in a Read.
func compareGearConns(t *testing.T, networks string, f func(*scene)) {
	t.Helper()
	compareVariants(t, networks, "server client waited", func(s *scene, variant string) {
		s.side = strings.Replace(variant, "waited", "server", 1)
		s.conn, s.peer = s.pair()
		if variant == "waited" {
			s.waitOnce()
		}
		f(s)
	})
}

// compareVariants runs everything at once, for behaviours mostly wait.
func compareVariants(t *testing.T, networks, variants string, f func(s *scene, variant string)) {
	t.Helper()
	impls := []*impl{netImpl}
	for _, gear := range allGears {
		impls = append(impls, gearImpl(t, gear))
	}
	type run struct {
		name   string
		traces [][]string
	}
	var runs []*run
	var wg sync.WaitGroup
	for network := range strings.FieldsSeq(networks) {
		for _, variant := range strings.Split(variants, " ") {
			r := &run{name: strings.TrimSuffix(network+"/"+variant, "/"), traces: make([][]string, len(impls))}
			runs = append(runs, r)
			for i, im := range impls {
				wg.Go(func() {
					r.traces[i] = runScene(t, im, network, "server", func(s *scene) { f(s, variant) })
				})
			}
		}
	}
	wg.Wait()
	for _, r := range runs {
		for i, gear := range allGears {
			t.Run(gear+"/"+r.name, func(t *testing.T) { compareTraces(t, r.traces[0], r.traces[i+1]) })
		}
	}
}

// gearsInTurn is compareGears for what changes the process, or may end it: in
// a process of its own for each gear, and with package net first.
func gearsInTurn(t *testing.T, networks string, f func(*scene)) {
	t.Helper()
	for _, gear := range allGears {
		t.Run(gear, func(t *testing.T) {
			if !inChild(t) {
				return
			}
			want := map[string][]string{}
			for network := range strings.FieldsSeq(networks) {
				want[network] = runScene(t, netImpl, network, "server", f)
			}
			im := gearImpl(t, gear) // whose ring, once idle, gives its descriptors back
			for network := range strings.FieldsSeq(networks) {
				t.Run(network, func(t *testing.T) {
					compareTraces(t, want[network], runScene(t, im, network, "server", f))
				})
			}
		})
	}
}

// busy keeps the engine of the implementation awake until the scene ends: n
// conns play ping-pong.
func (s *scene) busy(n int) {
	ln, err := s.impl.plainListen("tcp", "127.0.0.1:0")
	s.must(err)
	defer ln.Close()
	var wg sync.WaitGroup
	play := func(c net.Conn) {
		b := make([]byte, 64)
		for {
			n, err := c.Read(b)
			if err == nil {
				_, err = c.Write(b[:n])
			}
			if err != nil {
				c.Close()
				return
			}
		}
	}
	for range n {
		p, err := net.Dial("tcp", ln.Addr().String())
		s.must(err)
		c, err := ln.Accept()
		s.must(err)
		wg.Go(func() { play(c) })
		wg.Go(func() { play(p) })
		_, err = io.WriteString(p, "ball")
		s.must(err)
		s.closeLater(p)
	}
	first := len(s.cleanups) - n
	s.cleanups = slices.Insert(s.cleanups, first, wg.Wait) // after the Closes: they run backwards
}

// own is the row of the conn under test, which is of network tcp4.
func (s *scene) own() (tcpRow, bool) {
	return s.row(s.conn.LocalAddr().String(), s.conn.RemoteAddr().String())
}

// waiting is how many conns nobody has accepted from ln yet.
func (s *scene) waiting(ln net.Listener) int {
	r, ok := s.row(ln.Addr().String(), noRemote)
	if !ok {
		s.fatal("no listening socket on ", ln.Addr())
	}
	return r.queue
}

// gone waits until the peer's reset, or its end, has reached the conn under
// test.
func (s *scene) gone(state uint8) {
	s.until("TCP state", func() bool {
		r, ok := s.own()
		return !ok && state == unix.BPF_TCP_CLOSE || ok && r.state == state
	})
}

// looking is held for reading by who closes a descriptor and looks at what is left
// of it. Who reads the links of /proc/self/fd holds the file of each for a moment, so
// that close(2) is not its end: package net's conns stay established, too.
var looking sync.RWMutex

// holders counts the process's descriptors of the socket with this inode.
func (s *scene) holders(inode string) (n int) {
	looking.Lock()
	defer looking.Unlock()
	entries, err := os.ReadDir("/proc/self/fd")
	s.must(err)
	for _, e := range entries {
		if to, _ := os.Readlink(filepath.Join("/proc/self/fd", e.Name())); to == "socket:["+inode+"]" {
			n++
		}
	}
	return n
}

// peek is what a recv(2) of fd would take.
func (s *scene) peek(fd int) string {
	b := make([]byte, 64)
	n, _, err := unix.Recvfrom(fd, b, unix.MSG_PEEK|unix.MSG_DONTWAIT)
	if err != nil {
		return s.describe(err)
	}
	return brief(b[:n])
}

// dup copies fd; the copy is closed at the end.
func (s *scene) dup(fd int) int {
	d, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	s.must(err)
	s.later(func() { unix.Close(d) })
	return d
}

// file returns a File of c, which is closed at the end.
func (s *scene) fileOf(c any) *os.File {
	f, err := c.(interface{ File() (*os.File, error) }).File()
	s.must(err)
	s.closeLater(f)
	return f
}
