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

// Main is testenv.Main for tests that use the default engine, which it closes
// in the end.
func Main(m *testing.M, lasting ...string) int {
	return testenv.Main(func() int {
		defer quoit.Default().Close()
		defer startFlipping()()
		return m.Run()
	}, lasting...)
}

// startFlipping has the default engine change its gear every now and then,
// where that is asked for.
func startFlipping() (stop func()) {
	e := quoit.Default()
	if testGear != "flip" || e.Stats().Transport != "io_uring" {
		return func() {}
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for hot := true; ; hot = !hot {
			select {
			case <-quit:
				return
			case <-time.After(time.Duration(rand.Int64N(int64(2 * time.Millisecond)))):
				Shift(e, hot)
			}
		}
	}()
	return func() { close(quit); <-done }
}

// Shift changes the gear of all of e's rings, where e is in GearAuto, until
// they have cause to change it themselves. e must be on io_uring.
func Shift(e *quoit.Engine, hot bool) { forced.Shift(e, hot) }

// Break has all rings of e fail, which must be on io_uring.
func Break(e *quoit.Engine) error { return forced.Break(e) }

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
	s := quoit.Probe()
	switch {
	case s.IOUring:
	case os.Getenv("QUOIT_TEST_REQUIRE") == "1":
		t.Fatalf("no io_uring here: %v", s.Err)
	default:
		t.Skipf("no io_uring here: %v", s.Err)
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
