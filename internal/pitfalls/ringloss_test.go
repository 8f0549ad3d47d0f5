//go:build linux

package pitfalls

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit"
	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
)

// lossTest is an engine with conns in all kinds of waits, whose rings fail.
type lossTest struct {
	*testing.T
	e    *quoit.Engine
	tr   testenv.Transport
	hot  bool // its conns wait on the ring
	echo string
}

// eachLoss runs f with one ring and with three, in each gear.
func eachLoss(t *testing.T, f func(t *lossTest)) {
	for _, rings := range []int{1, 3} {
		for _, gear := range []quoit.Gear{quoit.GearRing, quoit.GearPoll, quoit.GearAuto} {
			t.Run(gear.String()+map[int]string{1: "", 3: ", three rings"}[rings], func(t *testing.T) {
				testenv.Watch(t, 2*testenv.Bound)
				e := enginetest.New(t, quoit.Config{Gear: gear, Rings: rings})
				if gear == quoit.GearAuto {
					enginetest.Shift(e, true)
				}
				lt := &lossTest{T: t, e: e, tr: enginetest.On(e), hot: gear != quoit.GearPoll}
				lt.echo = lt.serve()
				f(lt)
			})
		}
	}
}

// serve echoes until the test ends.
func (t *lossTest) serve() (addr string) {
	ln := pfListen(t.T, t.tr)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.CopyBuffer(struct{ io.Writer }{c}, struct{ io.Reader }{c}, make([]byte, 4096))
			}()
		}
	}()
	return ln.Addr().String()
}

// fail has the rings fail, and waits until the engine knows it.
func (t *lossTest) fail() {
	t.Helper()
	lost := t.e.Stats().RingsLost
	rings := uint64(len(t.e.Stats().Rings))
	enginetest.Break(t.e)
	testenv.Poll(t.T, "the rings' end", func() bool { return t.e.Stats().RingsLost >= lost+rings })
}

// trip sends something on an idle conn and has it back.
func (t *lossTest) trip(c net.Conn) {
	t.Helper()
	msg, got := bytes.Repeat([]byte("around"), 50), make([]byte, 300)
	if _, err := c.Write(msg); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, msg) {
		t.Fatalf("%q, %v", got, err)
	}
}

// A ring that fails must not take the service with it: whoever waits goes on, the
// listener accepts, and dials succeed.
func TestPitfallRingFails(t *testing.T) {
	eachLoss(t, func(t *lossTest) {
		var conns []net.Conn // the client's and the server's ends wait on the engine
		for range 20 {
			c := pfDial(t.T, t.tr, t.echo)
			t.trip(c)
			conns = append(conns, c)
		}
		parked := pfDial(t.T, t.tr, t.echo)
		got := testenv.Go(func() error {
			_, err := io.ReadFull(parked, make([]byte, 1))
			return err
		})
		t.fail()
		for _, c := range conns {
			t.trip(c)
		}
		if _, err := parked.Write([]byte("x")); err != nil {
			t.Error(err)
		}
		testenv.Wait(t.T, got, "a Read that was parked on the ring")
		t.trip(pfDial(t.T, t.tr, t.echo))
		t.trip(pfDial(t.T, testenv.Net, t.echo))
		for _, c := range conns {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

// Deadlines of calls that wait come without the ring, those that were set before it
// failed, and those after.
func TestPitfallRingFailsDeadlines(t *testing.T) {
	eachLoss(t, func(t *lossTest) {
		expire := func(c net.Conn) <-chan error {
			if err := c.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			return testenv.Go(func() error {
				if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
					return errors.Join(errors.New("no deadline"), err)
				}
				return nil
			})
		}
		before, after := pfDial(t.T, t.tr, t.echo), pfDial(t.T, t.tr, t.echo)
		done := expire(before)
		t.fail()
		testenv.Wait(t.T, done, "a deadline from before")
		testenv.Wait(t.T, expire(after), "a deadline from after")
		ln := pfListen(t.T, t.tr)
		if err := ln.(interface{ SetDeadline(time.Time) error }).SetDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if _, err := ln.Accept(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Accept: %v", err)
		}
	})
}

// io.Copy between conns goes on, in both directions, with not a byte less.
func TestPitfallRingFailsForward(t *testing.T) {
	eachLoss(t, func(t *lossTest) {
		near, a := pfPair(t.T, t.tr, testenv.Net)
		far := pfDial(t.T, t.tr, t.echo)
		out := testenv.Go(func() error { _, err := io.Copy(far, near); return errors.Join(err, far.CloseWrite()) })
		back := testenv.Go(func() error { _, err := io.Copy(near, far); return err })
		t.trip(a)
		t.trip(a)
		t.fail()
		t.trip(a)
		t.trip(a)
		a.CloseWrite()
		testenv.Wait(t.T, out, "the copy there")
		testenv.Wait(t.T, back, "the copy back")
	})
}

// Another ring is set up in place of one that failed, and serves new conns; Stats
// says so, and loses no count.
func TestPitfallRingReplaced(t *testing.T) {
	eachLoss(t, func(t *lossTest) {
		old := pfDial(t.T, t.tr, t.echo)
		t.trip(old)
		before := t.e.Stats()
		t.fail()
		if err := t.e.Stats().SetupError; err == nil {
			t.Error("Stats does not say why the ring failed")
		}
		for c := pfDial(t.T, t.tr, t.echo); t.e.Stats().SetupRetries < uint64(len(before.Rings)); {
			t.trip(c)
			c.Close()
			c = pfDial(t.T, t.tr, t.echo)
		}
		if t.hot {
			served := t.e.Stats().RingReads
			testenv.Poll(t.T, "a Read that waits on a new ring", func() bool {
				if t.e.Stats().Gear == quoit.GearPoll {
					enginetest.Shift(t.e, true)
				}
				c := pfDial(t.T, t.tr, t.echo)
				defer c.Close()
				t.trip(c)
				return t.e.Stats().RingReads > served
			})
		}
		t.trip(old)
		after := t.e.Stats()
		if after.RingsLost != uint64(len(before.Rings)) {
			t.Errorf("%d rings lost, of %d", after.RingsLost, len(before.Rings))
		}
		if after.Accepted <= before.Accepted || after.BytesReceived <= before.BytesReceived || after.Transport != "io_uring" {
			t.Errorf("before: %+v\nafter: %+v", before, after)
		}
	})
}

// Package net does not serve for life because there was a lack of something in the
// moment when the engine started.
func TestPitfallSetupRetried(t *testing.T) {
	testenv.Watch(t, 2*testenv.Bound)
	enginetest.NeedRing(t)
	t.Log(pfRun(t, "descriptors-back"))
}

// pfChildDescriptorsBack has New find no descriptor for its ring, and then enough.
func pfChildDescriptorsBack([]string) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	warm, err := quoit.New(nil) // for what a process opens once
	if err != nil {
		return err
	}
	if err := warm.Close(); err != nil {
		return err
	}
	free, err := pfHoldDescriptors()
	if err != nil {
		return err
	}
	e, err := quoit.New(nil)
	if err != nil {
		return err
	}
	if s := e.Stats(); s.Transport != "net" || !errors.Is(s.Reason, unix.EMFILE) {
		return fmt.Errorf("with no descriptor left: %s serves, reason %v", s.Transport, s.Reason)
	}
	free()
	ok := testenv.Eventually(func() bool {
		c, derr := e.Dialer().Dial("tcp", ln.Addr().String())
		if err = derr; err != nil {
			return true
		}
		_, ours := c.(*quoit.Conn)
		err = c.Close()
		return ours || err != nil
	})
	s := e.Stats()
	fmt.Printf("%d tries, ok %v, now %s, last error: %v\n", s.SetupRetries, ok, s.Transport, s.SetupError)
	if !ok || s.SetupRetries == 0 || s.Transport != "io_uring" || s.Reason != nil {
		err = errors.Join(err, fmt.Errorf("%+v", s))
	}
	return errors.Join(err, pfTraffic(e), e.Close(), ln.Close())
}

// pfHoldDescriptors leaves the process none, until free.
func pfHoldDescriptors() (free func(), err error) {
	if err := pfLimit(unix.RLIMIT_NOFILE, 100); err != nil {
		return nil, err
	}
	var held []int
	for {
		fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == unix.EMFILE {
			break
		}
		if err != nil {
			return nil, err
		}
		held = append(held, fd)
	}
	return func() {
		for _, fd := range held {
			unix.Close(fd)
		}
	}, nil
}
