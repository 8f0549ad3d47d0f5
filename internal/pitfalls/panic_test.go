//go:build linux

package pitfalls

import (
	"context"
	"log/slog"
	"net"
	"syscall"
	"testing"

	"github.com/quoit-go/quoit"
	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
)

// panicking is a Steering with a method that panics.
type panicking struct {
	quoit.Steering
	in string
}

func (p *panicking) at(method string) {
	if method == p.in {
		panic("on purpose, in " + method)
	}
}

func (p *panicking) Attach(sockets, cpus []int) error {
	p.at("Attach")
	return p.Steering.Attach(sockets, cpus)
}
func (p *panicking) Load(int, uint32) { p.at("Load") }
func (p *panicking) Accepted(int)     { p.at("Accepted") }
func (p *panicking) Drained(int)      { p.at("Drained") }
func (p *panicking) Hold(int, bool)   { p.at("Hold") }
func (p *panicking) Detach()          { p.at("Detach") }

// A panic in a Steering ends no call, no ring and no listener, and leaves no lock held.
// Load is called with one, and on a ring's thread.
func TestPanicSteering(t *testing.T) {
	enginetest.NeedRing(t)
	for _, gear := range []quoit.Gear{quoit.GearRing, quoit.GearPoll} {
		for _, method := range []string{"Load", "Accepted", "Drained", "Hold", "Detach"} {
			t.Run(gear.String()+"/"+method, func(t *testing.T) {
				testenv.Watch(t, 2*testenv.Bound)
				var log recorder
				e := enginetest.New(t, quoit.Config{Rings: 3, Entries: 64, Gear: gear, Logger: slog.New(slog.NewTextHandler(&log, nil))})
				lc := quoit.ListenConfig{Engine: e, Steering: &panicking{quoit.SteerByHash(), method}}
				ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				rgServe(t, ln)
				var conns []net.Conn
				for range 30 {
					conns = append(conns, rgTouch(t, ln.Addr().String()))
				}
				for _, c := range conns {
					c.Close()
				}
				testenv.Poll(t, "no conns", func() bool { return e.Stats().Conns == 0 })
				if err := ln.Close(); err != nil {
					t.Error(err)
				}
				if err := pfTraffic(e); err != nil {
					t.Error(err)
				}
				if s := e.Stats(); s.RingsLost > 0 || s.Listeners != 0 || s.Accepted < 30 {
					t.Errorf("afterwards: %+v", s)
				}
				if !log.has("a Steering panicked", "in "+method, "panic_test.go") {
					t.Errorf("nothing in the log: %s", log.String())
				}
			})
		}
	}
}

// panics calls f and wants a panic.
func panics(t *testing.T, what string, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s: no panic", what)
		}
	}()
	f()
}

// A panic in what Listen and Dial call is their caller's, and leaves neither a lock held
// nor, but for the socket that package net was about to open, anything open.
func TestPanicHooks(t *testing.T) {
	enginetest.NeedRing(t)
	testenv.Watch(t, 2*testenv.Bound)
	e := enginetest.New(t, quoit.Config{Rings: 3, Entries: 64})
	ln := pfListen(t, enginetest.On(e))
	before := len(testenv.FDs())
	panics(t, "Attach", func() {
		lc := quoit.ListenConfig{Engine: e, Steering: &panicking{quoit.SteerByHash(), "Attach"}}
		lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	})
	if n := len(testenv.FDs()); n > before {
		t.Errorf("%d descriptors, %d after a panic in Attach", before, n)
	}
	type sockets []int // that package net leaves to their numbers
	var left sockets
	control := func(calls int) func(_, _ string, c syscall.RawConn) error {
		return func(_, _ string, c syscall.RawConn) error {
			if calls--; calls > 0 {
				return nil
			}
			c.Control(func(fd uintptr) { left = append(left, int(fd)) })
			panic("on purpose, in Control")
		}
	}
	panics(t, "Control", func() {
		lc := quoit.ListenConfig{Engine: e, Control: control(1)}
		lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	})
	panics(t, "Control of the third socket", func() {
		lc := quoit.ListenConfig{Engine: e, Steering: quoit.SteerByHash(), Control: control(3)}
		lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	})
	panics(t, "Control of a dial", func() {
		d := quoit.Dialer{Engine: e, Control: control(1)}
		d.Dial("tcp4", ln.Addr().String())
	})
	if n := len(testenv.FDs()); n > before+len(left) {
		t.Errorf("%d descriptors, %d after panics that leave %d", before, n, len(left))
	}
	for _, fd := range left {
		syscall.Close(fd)
	}
	if err := pfTraffic(e); err != nil {
		t.Error(err)
	}
}

// A panic in what SyscallConn's methods call leaves the conn as it was.
func TestPanicRaw(t *testing.T) {
	pfEach(t, quoit.Config{Gear: quoit.GearRing}, func(t *testing.T, server, client testenv.Transport) {
		s, c := pfPair(t, server, client)
		rc, err := s.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		panics(t, "Control", func() { rc.Control(func(uintptr) { panic("on purpose") }) })
		panics(t, "Read", func() { rc.Read(func(uintptr) bool { panic("on purpose") }) })
		panics(t, "Write", func() { rc.Write(func(uintptr) bool { panic("on purpose") }) })
		done := testenv.Go(func() error { return pfExpect(c, 1, 1000) })
		if err := pfSend(s, 1, 1000); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		testenv.Wait(t, done, "what was sent")
	})
}

// noHandler panics at every record.
type noHandler struct{ slog.Handler }

func (noHandler) Enabled(context.Context, slog.Level) bool  { return true }
func (noHandler) Handle(context.Context, slog.Record) error { panic("on purpose, in Handle") }
func (h noHandler) WithAttrs([]slog.Attr) slog.Handler      { return h }

// A panic in a Logger loses the record and nothing else, also on the engine's own
// goroutines, when a ring fails and another one comes in its place.
func TestPanicLogger(t *testing.T) {
	enginetest.NeedRing(t)
	testenv.Watch(t, 2*testenv.Bound)
	e := enginetest.New(t, quoit.Config{Logger: slog.New(noHandler{})})
	if err := pfTraffic(e); err != nil {
		t.Error(err)
	}
	enginetest.Break(e)
	testenv.Poll(t, "another ring", func() bool {
		if err := pfTraffic(e); err != nil {
			t.Error(err)
		}
		return e.Stats().SetupRetries > 0
	})
}
