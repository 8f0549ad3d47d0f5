//go:build linux

package ring

import (
	"cmp"
	"errors"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/internal/testenv"
)

func TestNop(t *testing.T) {
	eachMode(t, Params{Entries: 4}, func(t *testing.T, r *Ring) {
		ud := NewUserData(3, 1<<24-1, 1<<32-1)
		r.NextSQE().PrepNop(ud)
		if r.SQPending() != 1 {
			t.Errorf("pending = %d", r.SQPending())
		}
		if n, err := r.Submit(); n != 1 || err != nil {
			t.Fatalf("Submit = %d, %v", n, err)
		}
		if n, err := r.Submit(); n != 0 || err != nil || r.SQPending() != 0 {
			t.Fatalf("second Submit = %d, %v, pending %d", n, err, r.SQPending())
		}
		if c := reap(t, r, 1)[0]; c.UserData != ud || c.Res != 0 || c.Flags != 0 {
			t.Errorf("got %+v", c)
		}
		idle(t, r)
	})
}

func TestBatches(t *testing.T) {
	eachMode(t, Params{Entries: 8, CQEntries: 16}, func(t *testing.T, r *Ring) {
		var next, seen UserData
		for round := range 100 {
			n := 1 + round%8
			for range n {
				r.NextSQE().PrepNop(next)
				next++
			}
			if got, err := r.SubmitAndGet(); got != n || err != nil {
				t.Fatalf("SubmitAndGet = %d, %v; want %d", got, err, n)
			}
			for _, c := range reap(t, r, n) {
				if c.UserData != seen {
					t.Fatalf("got %d, want %d", c.UserData, seen)
				}
				seen++
			}
		}
	})
}

func TestSQFull(t *testing.T) {
	eachMode(t, Params{Entries: 4}, func(t *testing.T, r *Ring) {
		for range 3 {
			for i := range UserData(4) {
				r.NextSQE().PrepNop(i)
			}
			if r.NextSQE() != nil || r.SQPending() != 4 {
				t.Fatalf("a fifth entry, or %d pending", r.SQPending())
			}
			if n, err := r.Submit(); n != 4 || err != nil {
				t.Fatalf("Submit = %d, %v", n, err)
			}
			reap(t, r, 4)
		}
	})
}

// Requests linked behind a bad one: without SUBMIT_ALL the batch ends there,
// and the next call sends the rest.
func TestShortSubmit(t *testing.T) {
	r := newRing(t, Params{Entries: 8})
	r.NextSQE().PrepNop(0)
	s := r.NextSQE()
	*s = SQE{Opcode: 255, UserData: 1}
	r.NextSQE().PrepNop(2)
	if n, err := r.Submit(); n != 2 || err != nil || r.SQPending() != 1 {
		t.Fatalf("Submit = %d, %v, pending %d", n, err, r.SQPending())
	}
	if n, err := r.Submit(); n != 1 || err != nil || r.SQPending() != 0 {
		t.Fatalf("Submit = %d, %v, pending %d", n, err, r.SQPending())
	}
	cqes := reap(t, r, 3)
	if !testenv.HaveKernel(t, "6.2") { // the bad one's is posted at once, before those of its batch
		slices.SortFunc(cqes, func(a, b CQE) int { return cmp.Compare(a.UserData, b.UserData) })
	}
	for i, c := range cqes {
		if c.UserData != UserData(i) || (c.Err() != nil) != (i == 1) {
			t.Errorf("completion %d: %+v", i, c)
		}
	}
}

func TestCQOverflow(t *testing.T) {
	eachMode(t, Params{Entries: 4, CQEntries: 4}, func(t *testing.T, r *Ring) {
		const total = 40
		for i := range UserData(total) {
			s := r.NextSQE()
			if s == nil {
				if n, err := r.SubmitAndGet(); n != 4 || err != nil {
					t.Fatalf("SubmitAndGet = %d, %v", n, err)
				}
				s = r.NextSQE()
			}
			s.PrepNop(i)
		}
		if n, err := r.SubmitAndGet(); n != 4 || err != nil {
			t.Fatalf("SubmitAndGet = %d, %v", n, err)
		}
		if !r.CQOverflowed() || r.CQReady() != 4 {
			t.Errorf("overflowed %v, ready %d", r.CQOverflowed(), r.CQReady())
		}
		for i, c := range reap(t, r, total) {
			if c.UserData != UserData(i) {
				t.Fatalf("completion %d is %d's", i, c.UserData)
			}
		}
		if r.CQOverflowed() || r.CQOverflowCount() != 0 {
			t.Errorf("overflowed %v, lost %d", r.CQOverflowed(), r.CQOverflowCount())
		}
		r.NextSQE().PrepNop(99)
		if c := reap(t, r, 1)[0]; c.UserData != 99 {
			t.Errorf("after recovery: %+v", c)
		}
	})
}

func TestTimeout(t *testing.T) {
	eachMode(t, Params{Entries: 4}, func(t *testing.T, r *Ring) {
		for _, d := range []time.Duration{0, 1, 20 * time.Millisecond} {
			start := time.Now()
			n, err := unbroken(func() (int, error) { return r.SubmitAndWait(1, d) })
			if n != 0 || !errors.Is(err, unix.ETIME) || time.Since(start) < d {
				t.Errorf("%v: %d, %v after %v", d, n, err, time.Since(start))
			}
		}
		if n, err := r.SubmitAndWait(0, -1); n != 0 || err != nil {
			t.Errorf("waiting for nothing: %d, %v", n, err)
		}
		// What was consumed hides the timeout.
		r.NextSQE().PrepNop(1)
		if n, err := r.SubmitAndWait(2, time.Millisecond); n != 1 || err != nil {
			t.Errorf("wait for 2 of 1: %d, %v", n, err)
		}
		reap(t, r, 1)
	})
}

func TestWaitForMany(t *testing.T) {
	eachMode(t, Params{Entries: 4}, func(t *testing.T, r *Ring) {
		for i := range UserData(3) {
			r.NextSQE().PrepNop(i)
		}
		if n, err := r.SubmitAndWait(3, -1); n != 3 || err != nil || r.CQReady() != 3 {
			t.Errorf("%d, %v, ready %d", n, err, r.CQReady())
		}
		reap(t, r, 3)
	})
}

func TestRegisteredRingFD(t *testing.T) {
	eachMode(t, Params{Entries: 4}, func(t *testing.T, r *Ring) {
		roundTrip := func(ud UserData) {
			t.Helper()
			r.NextSQE().PrepNop(ud)
			if c := reap(t, r, 1)[0]; c.UserData != ud {
				t.Errorf("got %+v", c)
			}
		}
		for range 2 {
			if err := r.RegisterRingFD(); err != nil {
				t.Fatal(err)
			}
		}
		roundTrip(1)
		if _, err := unbroken(func() (int, error) { return r.SubmitAndWait(1, time.Millisecond) }); !errors.Is(err, unix.ETIME) {
			t.Errorf("wait: %v", err)
		}
		for range 2 {
			if err := r.UnregisterRingFD(); err != nil {
				t.Fatal(err)
			}
		}
		roundTrip(2)
	})
}

func TestTaskrunPending(t *testing.T) {
	r := newRing(t, Params{Entries: 4, Flags: SetupSingleIssuer | SetupDeferTaskrun | SetupTaskrunFlag})
	fd := eventFD(t)
	r.NextSQE().PrepPollAdd(fd, unix.POLLIN, 1)
	if _, err := r.Submit(); err != nil {
		t.Fatal(err)
	}
	if r.TaskrunPending() {
		t.Error("task work before the event")
	}
	signalEvent(t, fd)
	if !r.TaskrunPending() || r.CQReady() != 0 {
		t.Errorf("pending %v, ready %d", r.TaskrunPending(), r.CQReady())
	}
	reap(t, r, 1)
	if r.TaskrunPending() {
		t.Error("task work after the completion")
	}
}

// A wait under a storm of signals loses no request and no completion.
func TestEINTR(t *testing.T) {
	eachMode(t, Params{Entries: 8}, func(t *testing.T, r *Ring) {
		sigs := make(chan os.Signal, 1)
		signal.Notify(sigs, syscall.SIGUSR1)
		defer signal.Stop(sigs)
		tid, fd := unix.Gettid(), eventFD(t)
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if err := unix.Tgkill(os.Getpid(), tid, unix.SIGUSR1); err != nil {
					t.Error(err)
				}
				if i%8 == 0 {
					signalEvent(t, fd)
				}
				time.Sleep(50 * time.Microsecond)
			}
		}()
		defer func() { close(stop); <-stopped }()

		var submitted, completed, interrupted, events int
		var ev [8]byte
		cqes := make([]CQE, 16)
		seen := make(map[UserData]int)
		begun := time.Now()
		for d := time.Duration(0); d < 150*time.Millisecond || interrupted == 0 && d < 30*time.Second; d = time.Since(begun) {
			r.NextSQE().PrepNop(UserData(submitted))
			r.NextSQE().PrepPollAdd(fd, unix.POLLIN, UserData(submitted+1))
			submitted += 2
			for completed < submitted {
				switch _, err := r.SubmitAndWait(1, -1); {
				case err == nil:
				case errors.Is(err, unix.EINTR):
					interrupted++
				default:
					t.Fatal(err)
				}
				for _, c := range cqes[:r.PeekCQEs(cqes)] {
					completed++
					seen[c.UserData]++
					if c.Res > 0 {
						events++
					}
				}
			}
			unix.Read(int(fd), ev[:])
		}
		idle(t, r)
		if len(seen) != submitted || r.SQPending() != 0 {
			t.Errorf("%d of %d requests completed, %d pending", len(seen), submitted, r.SQPending())
		}
		for ud, n := range seen {
			if n != 1 {
				t.Errorf("request %d completed %d times", ud, n)
			}
		}
		if interrupted == 0 || events == 0 {
			t.Errorf("%d interruptions, %d events: the test tested nothing", interrupted, events)
		}
	})
}

// A wait does not stop the collector or the scheduler.
func TestGCDuringWait(t *testing.T) {
	fd := eventFD(t)
	tid, done := make(chan int), make(chan error, 1)
	testenv.NeedKernel(t, "6.1")
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		r, err := New(&Params{Entries: 4, Flags: SetupSingleIssuer | SetupDeferTaskrun})
		if err != nil {
			tid <- -1
			done <- err
			return
		}
		defer r.Close()
		r.NextSQE().PrepPollAdd(fd, unix.POLLIN, 1)
		tid <- unix.Gettid()
		for r.CQReady() == 0 {
			if _, err := r.SubmitAndWait(1, -1); err != nil && !errors.Is(err, unix.EINTR) {
				done <- err
				return
			}
		}
		done <- nil
	}()
	if id := <-tid; id >= 0 {
		awaitSleep(t, id)
	}
	collected := make(chan struct{})
	go func() { runtime.GC(); close(collected) }()
	select {
	case <-collected:
	case <-time.After(30 * time.Second):
		t.Error("runtime.GC did not return")
	}
	signalEvent(t, fd)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestAllocs(t *testing.T) {
	eachMode(t, Params{Entries: 8}, func(t *testing.T, r *Ring) {
		cqes := make([]CQE, 8)
		b := make([]byte, 8)
		check := func(name string, f func()) {
			t.Helper()
			if n := testing.AllocsPerRun(50, f); n != 0 && !testenv.Race { // whose checks allocate
				t.Errorf("%s: %v allocations", name, n)
			}
		}
		check("submit and reap", func() {
			r.NextSQE().PrepNop(1)
			r.NextSQE().PrepSend(-1, b, 0, 2)
			r.Submit()
			r.SubmitAndGet()
			r.SubmitAndWait(2, -1)
			r.PeekCQEs(cqes)
		})
		check("timeout", func() { r.SubmitAndWait(1, 1) })
	})
}
