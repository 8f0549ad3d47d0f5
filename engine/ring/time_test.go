//go:build linux

package ring

import (
	"fmt"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/internal/testenv"
)

// aheadEnv has TestMain run the tests where the clocks are so many seconds ahead.
const aheadEnv = "QUOIT_TEST_RING_AHEAD"

// enterTimeNamespace does what aheadEnv asks for.
func enterTimeNamespace() {
	seconds, err := strconv.ParseInt(os.Getenv(aheadEnv), 10, 64)
	if err != nil {
		return
	}
	if err := testenv.EnterTimeNamespace(seconds); err != nil {
		fmt.Println("none:", err)
		os.Exit(0)
	}
}

// In a time namespace spans are spans, and points in time those of the initial one's
// clocks, which time.Now and clock_gettime(2) do not show there: so it is before Linux 7.1,
// and from there on they are the namespace's.
func TestTimeNamespace(t *testing.T) {
	const ahead = 1_000_000 * time.Second
	if os.Getenv(aheadEnv) == "" {
		if os.Getuid() != 0 {
			t.Skip("only root can make a time namespace")
		}
		testenv.Watch(t, 2*testenv.Bound)
		cmd, stderr := testenv.Command(t, fmt.Sprintf("%s=%d", aheadEnv, int(ahead.Seconds())))
		cmd.Args = append(cmd.Args, "-test.run=^TestTimeNamespace$")
		out, err := cmd.Output()
		if string(out[:min(5, len(out))]) == "none:" {
			testenv.Lacks(t, "no time namespaces here: %s", out)
		}
		if err != nil {
			t.Errorf("%v\n%s%s", err, out, stderr)
		}
		return
	}
	testenv.Watch(t, testenv.Bound)
	r := newRing(t, Params{Entries: 8})
	const d = 50 * time.Millisecond
	shift := ahead
	if testenv.HaveKernel(t, "7.1") {
		shift = 0
	}
	for name, timeout := range map[string]func() (Timespec, TimeoutFlags){
		"span": func() (Timespec, TimeoutFlags) { return NewTimespec(d), 0 },
		"monotonic": func() (Timespec, TimeoutFlags) {
			return NewTimespec(testenv.Clock(unix.CLOCK_MONOTONIC) - shift + d), TimeoutAbs
		},
		"boottime": func() (Timespec, TimeoutFlags) {
			return NewTimespec(testenv.Clock(unix.CLOCK_BOOTTIME) - shift + d), TimeoutAbs | TimeoutBoottime
		},
		"realtime": func() (Timespec, TimeoutFlags) {
			return NewTimespec(testenv.Clock(unix.CLOCK_REALTIME) + d), TimeoutAbs | TimeoutRealtime
		},
	} {
		start := time.Now()
		ts, flags := timeout()
		kept(t, &ts)
		c := do(t, r, func(s *SQE) { s.PrepTimeout(&ts, 0, flags, 1) })
		if took := time.Since(start); c.Err() != syscall.ETIME || took < d-5*time.Millisecond {
			t.Errorf("%s: %v after %v", name, c.Err(), took)
		}
	}
	if r.Features()&FeatMinTimeout != 0 {
		start := time.Now()
		at := NewTimespec(testenv.Clock(unix.CLOCK_MONOTONIC) - shift + d)
		_, err := unbroken(func() (int, error) { return r.SubmitAndWaitFor(&WaitOptions{N: 1, Deadline: &at}) })
		if took := time.Since(start); took < d-5*time.Millisecond {
			t.Errorf("a wait with a deadline: %v after %v", err, took)
		}
	}
}
