//go:build linux

package pitfalls

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"runtime/pprof"
	"runtime/trace"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit"
	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
)

// recorder keeps what is logged.
type recorder struct {
	mu    sync.Mutex
	lines []string
}

func (r *recorder) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, string(b))
	return len(b), nil
}

// has reports whether a line has all of the words.
func (r *recorder) has(words ...string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range r.lines {
		n := 0
		for _, w := range words {
			if strings.Contains(l, w) {
				n++
			}
		}
		if n == len(words) {
			return true
		}
	}
	return false
}

func (r *recorder) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.lines, "")
}

// What an operator should read in the log is there: that an engine started, that a ring
// failed, why, and that there is another one.
func TestLogger(t *testing.T) {
	testenv.Watch(t, 2*testenv.Bound)
	var log recorder
	e := enginetest.New(t, quoit.Config{Rings: 1, Gear: quoit.GearRing, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if !log.has("level=INFO", "an engine started: io_uring serves", "rings=1", "gear=ring") {
		t.Errorf("at the start:\n%s", &log)
	}
	lt := &lossTest{T: t, e: e, tr: enginetest.On(e)}
	lt.echo = lt.serve()
	lt.fail()
	testenv.Poll(t, "the failure in the log", func() bool { return log.has("level=ERROR", "a ring failed", "ring=0", "error=") })
	testenv.Poll(t, "the new ring in the log", func() bool {
		pfDial(t, lt.tr, lt.echo).Close()
		return log.has("level=INFO", "another ring", "ring=0")
	})
}

// asking is a handler that asks the engine with each record.
type asking struct {
	slog.Handler
	ask func()
}

func (h asking) Handle(ctx context.Context, r slog.Record) error {
	h.ask()
	return h.Handler.Handle(ctx, r)
}

func (h asking) WithAttrs(a []slog.Attr) slog.Handler { return asking{h.Handler.WithAttrs(a), h.ask} }

// A Logger may ask the engine, whatever it is told of: a ring that failed, the one in its
// place, and an Accept that failed, whose listener it may close.
func TestLoggerAsks(t *testing.T) {
	testenv.Watch(t, 2*testenv.Bound)
	var log recorder
	var engine atomic.Pointer[quoit.Engine]
	var shut atomic.Pointer[net.Listener]
	ask := func() {
		if e := engine.Load(); e != nil {
			_ = e.Stats()
		}
		if ln := shut.Load(); ln != nil {
			(*ln).Close()
		}
	}
	e := enginetest.New(t, quoit.Config{Rings: 1, Gear: quoit.GearRing, Logger: slog.New(asking{slog.NewTextHandler(&log, nil), ask})})
	engine.Store(e)
	lt := &lossTest{T: t, e: e, tr: enginetest.On(e)}
	lt.echo = lt.serve()
	lt.fail()
	testenv.Poll(t, "the new ring in the log", func() bool {
		pfDial(t, lt.tr, lt.echo).Close()
		return log.has("level=INFO", "another ring", "ring=0")
	})
	ln, err := e.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	shut.Store(&ln)
	c := testenv.Dial(t, ln.Addr().String())
	defer c.Close()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
	if _, err := ln.Accept(); !errors.Is(err, unix.EMFILE) {
		t.Errorf("Accept without descriptors: %v", err)
	}
	if !log.has("level=WARN", "an Accept failed") {
		t.Errorf("not in the log:\n%s", &log)
	}
}

var labelled = regexp.MustCompile(`(?m)^(\d+) @ .*\n# labels: \{"quoit":"ring"\}$`)

// A profile tells the rings' threads from the rest by a label, and a trace has a region
// for each of their turns.
func TestLabelAndRegion(t *testing.T) {
	testenv.Watch(t, 2*testenv.Bound)
	e := enginetest.New(t, quoit.Config{Rings: 3, Gear: quoit.GearRing})
	var out bytes.Buffer
	if err := trace.Start(&out); err != nil {
		t.Skip(err) // by -trace
	}
	err := pfTraffic(e)
	trace.Stop()
	if err != nil {
		t.Error(err)
	}
	if !bytes.Contains(out.Bytes(), []byte("quoit turn")) {
		t.Errorf("no region in a trace of %d bytes", out.Len())
	}
	var profile bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil {
		t.Fatal(err)
	}
	threads := 0
	for _, m := range labelled.FindAllStringSubmatch(profile.String(), -1) {
		n, _ := strconv.Atoi(m[1])
		threads += n
	}
	if threads < 3 {
		t.Errorf("%d threads have the label, want 3 or more:\n%s", threads, &profile)
	}
}

// A silent engine formats nothing.
func TestLoggerSilent(t *testing.T) {
	var calls int
	h := &counting{Handler: slog.DiscardHandler, calls: &calls}
	e, err := quoit.New(&quoit.Config{Logger: slog.New(h)})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if calls > 0 {
		t.Errorf("%d records for a handler that wants none", calls)
	}
}

// counting counts records.
type counting struct {
	slog.Handler
	calls *int
}

func (c *counting) Handle(context.Context, slog.Record) error { *c.calls++; return nil }

// An Accept that fails is in the log, but not each time that a server tries again.
func TestLoggerAccept(t *testing.T) {
	testenv.Watch(t, 2*testenv.Bound)
	enginetest.NeedRing(t)
	pfRun(t, "accept-log")
}

// pfChildAcceptLog has no descriptor for a conn.
func pfChildAcceptLog([]string) error {
	var log recorder
	e, err := quoit.New(&quoit.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		return err
	}
	ln, err := e.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		return err
	}
	free, err := pfHoldDescriptors()
	if err != nil {
		return err
	}
	start := time.Now()
	for range 20 {
		if _, err := ln.Accept(); !errors.Is(err, unix.EMFILE) {
			return fmt.Errorf("Accept: %w", err)
		}
	}
	most := 1 + int(time.Since(start)/time.Second)
	free()
	if n := strings.Count(log.String(), "level=WARN msg=\"quoit: an Accept failed\""); n < 1 || n > most {
		return fmt.Errorf("%d lines for 20 failures, want 1 to %d:\n%s", n, most, &log)
	}
	s, err := ln.Accept()
	if err != nil {
		return err
	}
	return errors.Join(s.Close(), c.Close(), ln.Close(), e.Close())
}
