// Package enginetest has what the tests of several packages do with quoit's
// engines, each in the gear and with the rings that the environment asks for:
//
//	QUOIT_TEST_GEAR      auto, ring or poll for every engine; or flip, and the
//	                     default engine changes it all the time
//	QUOIT_TEST_RINGS     rings of an engine that has the default's number
//	QUOIT_TEST_STEERING  hash: what listens by [Listen] has a socket for each ring
//	QUOIT_TEST_ANYARCH   1: the ring is tried on every architecture
//	QUOIT_TEST_REQUIRE   1: tests fail where package net serves
package enginetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/quoit-go/quoit"
	"github.com/quoit-go/quoit/internal/forced"
	"github.com/quoit-go/quoit/internal/testenv"
)

var testGear = os.Getenv("QUOIT_TEST_GEAR")

func init() {
	switch testGear {
	case "", "auto", "flip":
	case "ring":
		forced.Gear = int(quoit.GearRing)
	case "poll":
		forced.Gear = int(quoit.GearPoll)
	default:
		panic(fmt.Sprintf("QUOIT_TEST_GEAR=%q", testGear))
	}
	if n := os.Getenv("QUOIT_TEST_RINGS"); n != "" {
		var err error
		if forced.Rings, err = strconv.Atoi(n); err != nil {
			panic(err)
		}
	}
	forced.AnyArch = os.Getenv("QUOIT_TEST_ANYARCH") == "1"
}

// Forced reports whether the environment asks for a gear, or a number of rings.
func Forced() bool { return testGear != "" || forced.Rings > 0 }

// Gears are those of all that a test has to go through: the one that the environment
// asks for, which all engines are in then.
func Gears(all ...string) []string {
	if forced.Gear != 0 {
		return []string{testGear}
	}
	return all
}

// Main is testenv.Main for tests that use the default engine, which it closes
// in the end.
func Main(m *testing.M, lasting ...string) int {
	return testenv.Main(func() int {
		defer quoit.Default().Close()
		defer startFlipping()()
		return max(m.Run(), oneGear())
	}, lasting...)
}

// oneGear returns 1 if the default engine was to change its gear all the time, and no
// Read of very many has waited on the ring.
func oneGear() int {
	st := quoit.Default().Stats()
	if testGear != "flip" || st.GearChanges < 100 || st.DirectReads < 2000 || st.RingReads > 0 {
		return 0
	}
	fmt.Fprintf(os.Stderr, "%d changes of the gear, and none of %d Reads has waited on the ring\n", st.GearChanges, st.DirectReads)
	return 1
}

// startFlipping has the default engine change its gear every now and then,
// where that is asked for.
func startFlipping() (stop func()) {
	e := quoit.Default()
	if testGear != "flip" || e.Stats().Transport != "io_uring" {
		return func() {}
	}
	return Flip(e)
}

const (
	flipTime = 2 * time.Millisecond  // at most until a change, where Reads come
	idleTime = 16 * time.Millisecond // and twice as long at most where none come
)

// Flip changes the gear of e, which is in GearAuto and on io_uring, every now and then
// until stop is called. A gear stays until a Read has ended in it, for a while: on one
// processor the changes come faster than a Read that waits for the ring.
func Flip(e *quoit.Engine) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	pause := func(d time.Duration) bool {
		select {
		case <-quit:
			return false
		case <-time.After(d):
			return true
		}
	}
	go func() {
		defer close(done)
		for hot := true; ; hot = !hot {
			Shift(e, hot)
			began, before := time.Now(), reads(e, hot)
			if !pause(time.Duration(rand.Int64N(int64(flipTime)))) {
				return
			}
			// More and more rarely: to look takes longer than a Read.
			for d := flipTime / 4; reads(e, hot) == before && time.Since(began) < idleTime; d *= 2 {
				if !pause(d) {
					return
				}
			}
		}
	}()
	return func() { close(quit); <-done }
}

// reads counts the Reads of a gear.
func reads(e *quoit.Engine, ring bool) uint64 {
	if st := e.Stats(); ring {
		return st.RingReads
	} else {
		return st.DirectReads
	}
}

// Shift changes the gear of all of e's rings, where e is in GearAuto, until
// they have cause to change it themselves. e must be on io_uring.
func Shift(e *quoit.Engine, hot bool) { forced.Shift(e, hot) }

// Break has all rings of e fail, which must be on io_uring.
func Break(e *quoit.Engine) { forced.Break(e) }

// Hold has the threads of e's rings do nothing until release is called, once. e must
// be on io_uring.
func Hold(e *quoit.Engine) (release func()) { return forced.Hold(e) }

// Quoit is the default engine.
var Quoit = testenv.Transport{Name: "quoit", Listen: Listen, Dial: quoit.DialContext}

// Steering is what QUOIT_TEST_STEERING=hash asks for: that listeners have a
// socket for each ring.
func Steering(network string) quoit.Steering {
	if network == "unix" || os.Getenv("QUOIT_TEST_STEERING") != "hash" {
		return nil
	}
	return quoit.SteerByHash()
}

// Listen is quoit.Listen, but for Steering.
func Listen(network, address string) (net.Listener, error) {
	s := Steering(network)
	if s == nil {
		return quoit.Listen(network, address)
	}
	lc := quoit.ListenConfig{Steering: s}
	return lc.Listen(context.Background(), network, address)
}

// Each runs f once on net, which says what is right, and once on quoit.
func Each(t *testing.T, f func(t *testing.T, tr testenv.Transport)) {
	t.Helper()
	for _, tr := range []testenv.Transport{testenv.Net, Quoit} {
		t.Run(tr.Name, func(t *testing.T) {
			testenv.Watch(t, 2*testenv.Bound)
			f(t, tr)
		})
	}
}

// NeedRing skips a test that makes no sense where package net serves. It
// fails if QUOIT_TEST_REQUIRE says that the ring must be there.
func NeedRing(t *testing.T) {
	t.Helper()
	if s := quoit.Probe(); !s.IOUring {
		testenv.NoRing(t, s.Err)
	}
}

// New starts an engine for the test.
func New(t *testing.T, cfg quoit.Config) *quoit.Engine {
	t.Helper()
	e, err := quoit.New(&cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil && !errors.Is(err, quoit.ErrEngineClosed) {
			t.Errorf("closing the engine: %v", err)
		}
	})
	return e
}

// On listens and dials on e.
func On(e *quoit.Engine) testenv.Transport {
	return testenv.Transport{Name: "engine", Listen: e.Listen, Dial: e.Dialer().DialContext}
}

// Counts wants the default engine to accept and to dial, or adopt, that many
// conns at least until the test ends. Where package net serves there is nothing to
// count.
func Counts(t *testing.T, accepted, adopted uint64) {
	t.Helper()
	before := quoit.Default().Stats()
	if before.Transport != "io_uring" {
		if os.Getenv("QUOIT_TEST_REQUIRE") == "1" {
			t.Errorf("QUOIT_TEST_REQUIRE=1, and package net serves: %v", before.Reason)
		}
		return
	}
	t.Cleanup(func() {
		after := quoit.Default().Stats()
		if n := after.Accepted - before.Accepted; n < accepted {
			t.Errorf("quoit accepted %d conns, want %d", n, accepted)
		}
		if n := after.Adopted - before.Adopted; n < adopted {
			t.Errorf("quoit dialed or adopted %d conns, want %d", n, adopted)
		}
	})
}
