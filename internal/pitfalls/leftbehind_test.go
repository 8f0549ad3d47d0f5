//go:build linux

package pitfalls

import (
	"bytes"
	"errors"
	"io"
	"os/exec"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quoit-go/quoit"
	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
)

// pfThreads counts the goroutines of rings.
func pfThreads() int {
	return bytes.Count(testenv.Stacks(), []byte("engine.(*Engine).setupAndRun("))
}

// pfRetire waits until an engine without conns has no goroutine left. Who looks for those
// left behind, as go.uber.org/goleak does, does so for some 400 ms.
func pfRetire(t *testing.T) {
	t.Helper()
	testenv.Poll(t, "the rings' goroutines have ended", func() bool { return pfThreads() == 0 })
}

// Nothing of the default engine's is left to see once its conns and listeners are
// closed, and it serves the next ones.
func TestLeftBehind(t *testing.T) {
	enginetest.NeedRing(t)
	testenv.Watch(t, 2*testenv.Bound)
	e := quoit.Default()
	before := len(testenv.FDs())
	for range 3 {
		if !enginetest.Forced() {
			enginetest.Shift(e, true)
		}
		s, c := pfPair(t, enginetest.Quoit, enginetest.Quoit)
		if _, err := pfPingPong(s, c, func(i int) bool { return i == 100 }); err != nil {
			t.Fatal(err)
		}
		s.Close()
		c.Close()
		start := time.Now()
		pfRetire(t)
		t.Logf("after %v", time.Since(start))
	}
	if s := e.Stats(); s.Transport != "io_uring" || s.RingsLost > 0 || s.SetupError != nil {
		t.Errorf("Stats: %+v", s)
	}
	if n := len(testenv.FDs()); n > before {
		t.Errorf("%d descriptors, %d before", n, before)
	}
}

// An engine whose threads have ended starts them for what comes, in each gear, with
// one ring and with three, and Close finds it so.
func TestLeftBehindAndBack(t *testing.T) {
	enginetest.NeedRing(t)
	for _, gear := range []quoit.Gear{quoit.GearRing, quoit.GearPoll, quoit.GearAuto} {
		for _, rings := range []int{1, 3} {
			t.Run(gear.String(), func(t *testing.T) {
				testenv.Watch(t, 2*testenv.Bound)
				e := enginetest.New(t, quoit.Config{Gear: gear, Rings: rings})
				tr := enginetest.On(e)
				for range 3 {
					pfRetire(t)
					if gear == quoit.GearAuto {
						enginetest.Shift(e, true)
					}
					s, c := pfPair(t, tr, tr)
					if _, err := pfPingPong(s, c, func(i int) bool { return i == 100 }); err != nil {
						t.Fatal(err)
					}
					if gear == quoit.GearRing && pfThreads() == 0 {
						t.Error("nobody serves")
					}
					s.Close()
					c.Close()
				}
				pfRetire(t)
				if err := e.Close(); err != nil {
					t.Error(err)
				}
				if _, err := e.Listen("tcp", "127.0.0.1:0"); err == nil {
					t.Error("a closed engine listens")
				}
			})
		}
	}
}

// Conns that come just when the threads end are served all the same.
func TestLeftBehindRaces(t *testing.T) {
	enginetest.NeedRing(t)
	e := enginetest.New(t, quoit.Config{Gear: quoit.GearRing})
	tr := enginetest.On(e)
	ln := pfListen(t, tr)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c})
			}()
		}
	}()
	for end := time.Now().Add(pfStress(t)); time.Now().Before(end); {
		for d := 97 * time.Millisecond; d < 104*time.Millisecond; d += 700 * time.Microsecond {
			c := pfDial(t, tr, ln.Addr().String())
			if err := pfTrip(c); err != nil {
				t.Fatal(err)
			}
			c.Close()
			testenv.Pace(d)
		}
	}
}

func pfTrip(c io.ReadWriter) error {
	_, err := c.Write([]byte("x"))
	if err == nil {
		_, err = io.ReadFull(c, make([]byte, 1))
	}
	return err
}

// In a bubble of testing/synctest, whose goroutines have to end with it, the thread
// begins outside.
func TestLeftBehindBubble(t *testing.T) {
	enginetest.NeedRing(t)
	e := enginetest.New(t, quoit.Config{Gear: quoit.GearRing})
	tr := enginetest.On(e)
	for range 2 {
		pfRetire(t)
		synctest.Test(t, func(t *testing.T) {
			s, c := pfPair(t, tr, tr)
			if _, err := pfPingPong(s, c, func(i int) bool { return i == 10 }); err != nil {
				t.Error(err)
			}
		})
	}
}

// pfCat starts a process that answers what it is sent, and that Linux ends when the
// calling thread ends.
func pfCat(t *testing.T) io.ReadWriter {
	cmd := exec.Command("cat")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	out, oerr := cmd.StdoutPipe()
	if err := errors.Join(err, oerr, cmd.Start()); err != nil {
		t.Error(err)
		return nil
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	return struct {
		io.Writer
		io.Reader
	}{in, out}
}

// Children that were started with a Pdeathsig live on when rings end: a ring may run on
// any of Go's threads, which would end with it.
func TestLeftBehindChildren(t *testing.T) {
	enginetest.NeedRing(t)
	testenv.Watch(t, 2*testenv.Bound)
	children := make([]io.ReadWriter, 16)
	testenv.OnThreads(len(children), func(i int) { children[i] = pfCat(t) })
	for _, cfg := range []quoit.Config{{Gear: quoit.GearRing, Rings: 2}, {Gear: quoit.GearPoll}, {Affinity: []int{rgCPUs(t)[0]}}} {
		for range 15 {
			e := enginetest.New(t, cfg)
			s, c := pfPair(t, enginetest.On(e), enginetest.On(e))
			if _, err := pfPingPong(s, c, func(i int) bool { return i == 10 }); err != nil {
				t.Fatal(err)
			}
			e.Close()
			quoit.Probe()
		}
	}
	enginetest.New(t, quoit.Config{})
	pfRetire(t)
	for i, c := range children {
		if c == nil {
			continue
		}
		if err := pfTrip(c); err != nil {
			t.Errorf("child %d: %v", i, err)
		}
	}
}
