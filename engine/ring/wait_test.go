//go:build linux

package ring

import (
	"errors"
	"os"
	"os/signal"
	"runtime"
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

// storm sends signals to the calling thread until end, and calls each after each.
func storm(t *testing.T, each func(i int)) (end func()) {
	sigs := make(chan os.Signal, 1)
	signal.Notify(sigs, syscall.SIGUSR1)
	tid := unix.Gettid()
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
			each(i)
			time.Sleep(50 * time.Microsecond)
		}
	}()
	return func() {
		close(stop)
		<-stopped
		signal.Stop(sigs)
	}
}

// A wait under a storm of signals loses no request and no completion.
func TestEINTR(t *testing.T) {
	eachMode(t, Params{Entries: 8}, func(t *testing.T, r *Ring) {
		fd := eventFD(t)
		defer storm(t, func(i int) {
			if i%8 == 0 {
				signalEvent(t, fd)
			}
		})()

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
