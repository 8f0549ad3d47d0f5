//go:build linux

package ring

import (
	"errors"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/internal/testenv"
)

// ends fails unless err is errno.
func ends(t testing.TB, err error, errno syscall.Errno) {
	t.Helper()
	if !errors.Is(err, errno) {
		t.Errorf("got %v, want %v", err, errno)
	}
}

func TestWaitCQEs(t *testing.T) {
	eachMode(t, Params{Entries: 4}, func(t *testing.T, r *Ring) {
		ok(t, r.WaitCQEs(0, -1))
		for range 3 {
			r.NextSQE().PrepNop(1)
		}
		ok(t, r.WaitCQEs(3, -1))
		ok(t, r.WaitCQEs(3, 0)) // they are still there
		ok(t, r.WaitCQEs(2, time.Hour))
		for _, d := range []time.Duration{0, 1, 20 * time.Millisecond} {
			start := time.Now()
			ends(t, r.WaitCQEs(4, d), unix.ETIME)
			if took := time.Since(start); took < d || r.CQReady() != 3 {
				t.Errorf("%v: %v, %d ready", d, took, r.CQReady())
			}
		}
		reap(t, r, 3)
		ends(t, r.WaitCQEs(1, time.Millisecond), unix.ETIME)
		ends(t, r.WaitCQEs(r.CQEntries()+1, -1), syscall.EINVAL)
		idle(t, r)
	})
}

// A request that the kernel rejects while it reads it leaves the entries behind it,
// which are submitted all the same.
func TestWaitCQEsAfterRejected(t *testing.T) {
	r := newRing(t, Params{Entries: 8})
	for _, n := range []uint32{1, 2, 4} {
		for _, timeout := range []time.Duration{-1, 0, time.Minute} {
			for i := range 4 {
				r.NextSQE().PrepNop(UserData(i))
				if i == 0 || i == 2 {
					s := r.NextSQE()
					s.PrepNop(100)
					s.Opcode = 250
				}
			}
			ok(t, r.WaitCQEs(n, timeout))
			if r.SQPending() != 0 || r.CQReady() != 6 {
				t.Fatalf("n %d: %d pending, %d ready", n, r.SQPending(), r.CQReady())
			}
			reap(t, r, 6)
		}
	}
}

// Neither signals nor Go's own preemption end a wait.
func TestWaitCQEsSignals(t *testing.T) {
	eachMode(t, Params{Entries: 4}, func(t *testing.T, r *Ring) {
		fd := eventFD(t)
		defer storm(t, func(int) {})()

		interrupted := false // a single wait sees them
		for end := time.Now().Add(testenv.Bound); !interrupted && time.Now().Before(end); {
			_, err := r.SubmitAndWait(1, 10*time.Millisecond)
			interrupted = errors.Is(err, unix.EINTR)
		}
		if !interrupted {
			t.Fatal("no signal came: the test tests nothing")
		}
		start := time.Now()
		ends(t, r.WaitCQEs(1, 30*time.Millisecond), unix.ETIME)
		if took := time.Since(start); took < 30*time.Millisecond {
			t.Errorf("over after %v", took)
		}
		r.NextSQE().PrepPollAdd(fd, unix.POLLIN, 1)
		r.NextSQE().PrepNop(2)
		timer := time.AfterFunc(20*time.Millisecond, func() { signalEvent(t, fd) })
		defer timer.Stop()
		ok(t, r.WaitCQEs(2, -1))
		reap(t, r, 2)
	})
}

// A wait in a loop, whose completions the kernel still counts, would spin.
func TestWaitCQEsInLoop(t *testing.T) {
	r := newRing(t, Params{Entries: 4})
	queued(t, r, 1)
	misuse(t, "WaitCQEs", func() {
		for range r.CQEs() {
			ends(t, r.WaitCQEs(1, -1), syscall.EINVAL)
		}
	})
}

func TestWaitCQEsSQPoll(t *testing.T) {
	r := newRing(t, Params{Entries: 4, Flags: SetupSQPoll, SQThreadIdle: time.Millisecond})
	for i := range 20 {
		r.NextSQE().PrepNop(UserData(i))
		r.NextSQE().PrepNop(UserData(i))
		ok(t, r.WaitCQEs(2, time.Minute))
		reap(t, r, 2)
		if i%5 == 0 {
			for !r.SQNeedWakeup() {
				unix.Nanosleep(&unix.Timespec{Nsec: 100_000}, nil)
			}
		}
	}
}

func TestWaitCQEsAllocs(t *testing.T) {
	if testenv.Race {
		t.Skip("the race detector allocates")
	}
	r := newRing(t, Params{Entries: 4})
	var cqes [1]CQE
	if n := testing.AllocsPerRun(100, func() {
		r.NextSQE().PrepNop(1)
		if r.WaitCQEs(1, time.Second) != nil || r.PeekCQEs(cqes[:]) != 1 || r.WaitCQEs(1, 0) == nil {
			t.Error("no completion, or two")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
