//go:build linux

package ring

import (
	"errors"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/internal/testenv"
)

func TestWaitFor(t *testing.T) {
	eachMode(t, Params{Entries: 4}, func(t *testing.T, r *Ring) {
		const d = 20 * time.Millisecond
		start := time.Now()
		if _, err := unbroken(func() (int, error) { return r.SubmitAndWaitFor(&WaitOptions{N: 1, Timeout: d}) }); !errors.Is(err, unix.ETIME) || time.Since(start) < d {
			t.Errorf("timeout: %v after %v", err, time.Since(start))
		}
		r.NextSQE().PrepNop(1)
		if n, err := r.SubmitAndWaitFor(&WaitOptions{N: 1}); n != 1 || err != nil {
			t.Errorf("without: %d, %v", n, err)
		}
		reap(t, r, 1)
		for _, o := range []WaitOptions{{Timeout: -1}, {MinWait: -time.Second, Timeout: 1}, {Timeout: 1, Deadline: &Timespec{}}} {
			if r.Features()&FeatMinTimeout == 0 {
				continue
			}
			if _, err := r.SubmitAndWaitFor(&o); !errors.Is(err, syscall.EINVAL) {
				t.Errorf("%+v: %v", o, err)
			}
		}
	})
}

func TestWaitDeadline(t *testing.T) {
	testenv.NeedKernel(t, "6.12")
	for _, clock := range []int32{unix.CLOCK_MONOTONIC, unix.CLOCK_BOOTTIME} {
		r := newRing(t, Params{Entries: 4})
		if err := r.RegisterClock(clock); err != nil {
			t.Fatal(err)
		}
		var now unix.Timespec
		start := time.Now()
		if err := unix.ClockGettime(clock, &now); err != nil {
			t.Fatal(err)
		}
		at := NewTimespec(time.Duration(now.Nano()) + 20*time.Millisecond)
		_, err := unbroken(func() (int, error) { return r.SubmitAndWaitFor(&WaitOptions{N: 1, Deadline: &at}) })
		if d := time.Since(start); !errors.Is(err, unix.ETIME) || d < 15*time.Millisecond || d > 5*time.Second {
			t.Errorf("clock %d: %v after %v", clock, err, d)
		}
		if err := r.RegisterClock(unix.CLOCK_REALTIME); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("CLOCK_REALTIME: %v", err)
		}
	}
}

// A minimal wait gathers completions that come one by one; one is enough
// after it.
func TestWaitMin(t *testing.T) {
	testenv.NeedKernel(t, "6.12")
	eachMode(t, Params{Entries: 4}, func(t *testing.T, r *Ring) {
		const d = 30 * time.Millisecond
		var all unix.Sigset_t // the runtime's own signals would end the wait
		all.Val[0] = ^all.Val[0]
		r.NextSQE().PrepNop(1)
		start := time.Now()
		_, err := r.SubmitAndWaitFor(&WaitOptions{N: 4, MinWait: d, Timeout: time.Minute, Sigmask: &all})
		if took := time.Since(start); err != nil || took < d || took > 10*time.Second {
			t.Errorf("%v after %v", err, took)
		}
		reap(t, r, 1)
	})
}

// A signal that is masked for the wait does not end it.
func TestWaitSigmask(t *testing.T) {
	sigs := make(chan os.Signal, 1)
	signal.Notify(sigs, syscall.SIGUSR2)
	defer signal.Stop(sigs)
	r := newRing(t, Params{Entries: 4})
	tid, fd := unix.Gettid(), eventFD(t)
	r.NextSQE().PrepPollAdd(fd, unix.POLLIN, 1)
	if _, err := r.Submit(); err != nil {
		t.Fatal(err)
	}
	for _, masked := range []bool{false, true} {
		var o WaitOptions
		o.N, o.Timeout = 1, time.Minute
		if masked {
			o.Sigmask = new(unix.Sigset_t)
			o.Sigmask.Val[0] = ^o.Sigmask.Val[0]
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			awaitSleep(t, tid)
			if err := unix.Tgkill(os.Getpid(), tid, unix.SIGUSR2); err != nil {
				t.Error(err)
			}
			if masked {
				time.Sleep(50 * time.Millisecond) // in which nothing should happen
				signalEvent(t, fd)
			}
		}()
		_, err := r.SubmitAndWaitFor(&o)
		if want := map[bool]error{false: unix.EINTR, true: nil}[masked]; !errors.Is(err, want) {
			t.Errorf("masked %v: %v, want %v", masked, err, want)
		}
		<-done
		<-sigs // it came, at the latest after the wait
	}
	reap(t, r, 1)
}

func TestRegisteredWaits(t *testing.T) {
	testenv.NeedKernel(t, "6.13")
	r := newRing(t, Params{Entries: 4, Flags: SetupRDisabled})
	if err := r.RegisterWaits(0); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("no waits: %v", err)
	}
	if err := r.RegisterWaits(100); err != nil {
		t.Fatal(err)
	}
	if err := r.RegisterWaits(1); !errors.Is(err, syscall.EBUSY) {
		t.Errorf("second: %v", err)
	}
	if err := r.Enable(); err != nil {
		t.Fatal(err)
	}
	const d = 20 * time.Millisecond
	r.Waits()[99] = RegWait{TS: NewTimespec(d), Flags: RegWaitTS}
	start := time.Now()
	if _, err := unbroken(func() (int, error) { return r.SubmitAndWaitReg(1, 99) }); !errors.Is(err, unix.ETIME) || time.Since(start) < d {
		t.Errorf("%v after %v", err, time.Since(start))
	}
	r.NextSQE().PrepNop(5)
	if n, err := r.SubmitAndWaitReg(1, 0); n != 1 || err != nil { // without a timeout
		t.Errorf("%d, %v", n, err)
	}
	reap(t, r, 1)
	if _, err := r.SubmitAndWaitReg(1, 1<<20); !errors.Is(err, syscall.EFAULT) {
		t.Errorf("no such index: %v", err)
	}
	cqes := make([]CQE, 4)
	if n := testing.AllocsPerRun(20, func() {
		r.NextSQE().PrepNop(5)
		r.SubmitAndWaitReg(1, 0)
		r.PeekCQEs(cqes)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	enabled := newRing(t, Params{Entries: 4})
	if err := enabled.RegisterWaits(1); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("on an enabled ring: %v", err)
	}
}

func TestPeekSeenIterate(t *testing.T) {
	eachMode(t, Params{Entries: 8, CQEntries: 8}, func(t *testing.T, r *Ring) {
		if r.PeekCQE() != nil {
			t.Error("a completion in an empty queue")
		}
		r.SeenCQEs(3) // of none
		var ud UserData
		for range 30 {
			for i := range UserData(7) {
				r.NextSQE().PrepNop(ud + i)
			}
			if _, err := r.SubmitAndWait(7, -1); err != nil {
				t.Fatal(err)
			}
			for range 2 { // peeking leaves it
				if c := r.PeekCQE(); c == nil || c.UserData != ud {
					t.Fatalf("PeekCQE = %+v, want %d", c, ud)
				}
			}
			r.SeenCQEs(2)
			ud += 2
			for c := range r.CQEs() {
				if c.UserData != ud {
					t.Fatalf("got %+v, want %d", c, ud)
				}
				if ud++; ud%7 == 4 {
					break
				}
			}
			if r.CQReady() != 3 {
				t.Fatalf("%d left", r.CQReady())
			}
			for c := range r.CQEs() {
				if c.UserData != ud {
					t.Fatalf("got %+v, want %d", c, ud)
				}
				ud++
			}
			if r.CQReady() != 0 || r.cq.head.loadAcquire() != r.cq.next {
				t.Fatalf("%d left", r.CQReady())
			}
		}
	})
}

func TestFlushOverflow(t *testing.T) {
	eachMode(t, Params{Entries: 4, CQEntries: 4}, func(t *testing.T, r *Ring) {
		if err := r.FlushOverflow(); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			for i := range UserData(4) {
				r.NextSQE().PrepNop(i)
			}
			if _, err := r.SubmitAndGet(); err != nil {
				t.Fatal(err)
			}
		}
		var got int
		cqes := make([]CQE, 4)
		for got = r.PeekCQEs(cqes); got < 12; got += r.PeekCQEs(cqes) {
			if !r.CQOverflowed() {
				t.Fatalf("no overflow after %d", got)
			}
			if err := r.FlushOverflow(); err != nil && !errors.Is(err, unix.EBUSY) {
				t.Fatal(err)
			}
		}
		if got != 12 || r.CQOverflowed() {
			t.Errorf("%d completions, overflowed %v", got, r.CQOverflowed())
		}
	})
}

func TestIterationAllocs(t *testing.T) {
	r := newRing(t, Params{Entries: 8})
	var sum UserData
	if n := testing.AllocsPerRun(50, func() {
		for i := range UserData(4) {
			r.NextSQE().PrepNop(i)
		}
		r.SubmitAndWaitFor(&WaitOptions{N: 4, Timeout: time.Second})
		for c := range r.CQEs() {
			sum += c.UserData
		}
		r.SeenCQEs(1)
		r.FlushOverflow()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
