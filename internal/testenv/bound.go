package testenv

import (
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"
)

// Bound is the longest that one step of a test may take. It is a guard
// against hangs, not an expectation: a machine that is slow has a longer one in
// QUOIT_TEST_BOUND.
var Bound = bound(os.Getenv("QUOIT_TEST_BOUND"))

func bound(s string) time.Duration {
	if s == "" {
		return 30 * time.Second
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		panic("QUOIT_TEST_BOUND: " + err.Error())
	}
	return d
}

// Watch ends the process with all stacks if the test, its cleanup included,
// is not over after d.
func Watch(t *testing.T, d time.Duration) {
	t.Helper()
	name := t.Name()
	timer := time.AfterFunc(d, func() {
		panic(fmt.Sprintf("%s: hung for %v\n%s", name, d, Stacks()))
	})
	t.Cleanup(func() { timer.Stop() })
}

// Stacks returns the stacks of all goroutines.
func Stacks() []byte {
	buf := make([]byte, 4<<20)
	return buf[:runtime.Stack(buf, true)]
}

// NoRing skips a test that needs io_uring, for there is none. It fails if
// QUOIT_TEST_REQUIRE says that there must be.
func NoRing(t testing.TB, why error) {
	t.Helper()
	if os.Getenv("QUOIT_TEST_REQUIRE") == "1" {
		t.Fatalf("no io_uring here: %v", why)
	}
	t.Skipf("no io_uring here: %v", why)
}

// Poll waits until cond holds.
func Poll(t *testing.T, what string, cond func() bool) {
	t.Helper()
	if !Eventually(cond) {
		t.Fatalf("not after %v: %s\n%s", Bound, what, Stacks())
	}
}

// Eventually waits until cond holds, and reports whether it came to that.
func Eventually(cond func() bool) bool { return Within(Bound, cond) }

// Within is Eventually with a bound of its own.
func Within(d time.Duration, cond func() bool) bool {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(d); time.Now().Before(end); <-tick.C {
		if cond() {
			return true
		}
	}
	return cond()
}

// Pace lets time pass on a peer that is slow on purpose.
func Pace(d time.Duration) { <-time.After(d) }

// Recv takes a value from c within the bound.
func Recv[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(Bound):
		t.Fatalf("not after %v: %s\n%s", Bound, what, Stacks())
		panic("unreachable")
	}
}

// Go runs f and returns a channel with its result.
func Go(f func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	return done
}

// Wait wants f, started by Go, to have ended well.
func Wait(t *testing.T, done <-chan error, what string) {
	t.Helper()
	if err := Recv(t, done, what); err != nil {
		t.Errorf("%s: %v", what, err)
	}
}
