//go:build linux

package ring

import (
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/internal/testenv"
)

func TestNopFlags(t *testing.T) {
	testenv.NeedKernel(t, "6.10")
	r := newRing(t, Params{Entries: 4})
	want(t, r, -7, func(s *SQE) { s.PrepNopFlags(-7, NopInjectResult, 1) })
	want(t, r, 42, func(s *SQE) { s.PrepNopFlags(42, NopInjectResult, 1) })
	want(t, r, syscall.EINVAL, func(s *SQE) { s.PrepNopFlags(0, 1<<20, 1) })
}

// byUD returns the completions of n requests by their user data.
func byUD(t testing.TB, r *Ring, n int) map[UserData]CQE {
	t.Helper()
	m := make(map[UserData]CQE)
	for _, c := range reap(t, r, n) {
		if _, twice := m[c.UserData]; twice {
			t.Fatalf("two completions of %d", c.UserData)
		}
		m[c.UserData] = c
	}
	return m
}

// expect compares results, errnos as negative numbers.
func expect(t testing.TB, got map[UserData]CQE, want map[UserData]int32) {
	t.Helper()
	for ud, res := range want {
		if c, ok := got[ud]; !ok || c.Res != res {
			t.Errorf("request %d: res %d (%v), want %d", ud, c.Res, c.Err(), res)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d completions, want %d", len(got), len(want))
	}
}

const (
	eCanceled = -int32(syscall.ECANCELED)
	eTime     = -int32(syscall.ETIME)
	eNoent    = -int32(syscall.ENOENT)
)

func TestPollUpdate(t *testing.T) {
	r := newRing(t, Params{Entries: 8})
	fd := eventFD(t)
	r.NextSQE().PrepPollAdd(fd, unix.POLLPRI, 1)
	want(t, r, 0, func(s *SQE) {
		s.PrepPollUpdate(1, PollUpdate{Events: unix.POLLIN, UserData: 2, NewEvents: true, NewUserData: true}, 9)
	})
	want(t, r, syscall.ENOENT, func(s *SQE) { s.PrepPollRemove(1, 9) })
	signalEvent(t, fd)
	if c := reap(t, r, 1)[0]; c.UserData != 2 || c.Res != unix.POLLIN {
		t.Errorf("got %+v", c)
	}
	r.NextSQE().PrepPollAdd(fd, unix.POLLPRI, 3)
	r.NextSQE().PrepPollRemove(3, 4)
	expect(t, byUD(t, r, 2), map[UserData]int32{3: eCanceled, 4: 0})
}

// A multishot poll says each change.
func TestPollMultishot(t *testing.T) {
	r := newRing(t, Params{Entries: 8})
	fd := eventFD(t)
	r.NextSQE().PrepPollMultishot(fd, unix.POLLIN, 1)
	for range 3 {
		signalEvent(t, fd)
		if c := reap(t, r, 1)[0]; c.Res&unix.POLLIN == 0 || !c.More() {
			t.Fatalf("got %+v", c)
		}
		idle(t, r)
	}
	cancel(t, r, 1)
}

func TestTimeouts(t *testing.T) {
	eachMode(t, Params{Entries: 8}, func(t *testing.T, r *Ring) {
		const d = 20 * time.Millisecond
		after := func(clock int32, d time.Duration) *Timespec {
			var now unix.Timespec
			if err := unix.ClockGettime(clock, &now); err != nil {
				t.Fatal(err)
			}
			ts := NewTimespec(time.Duration(now.Nano()) + d)
			return kept(t, &ts)
		}
		span := NewTimespec(d)
		if span.Duration() != d {
			t.Errorf("%v of %v", span.Duration(), d)
		}
		for name, prep := range map[string]func(s *SQE){
			"relative":  func(s *SQE) { s.PrepTimeout(&span, 0, 0, 1) },
			"absolute":  func(s *SQE) { s.PrepTimeout(after(unix.CLOCK_MONOTONIC, d), 0, TimeoutAbs, 1) },
			"boottime":  func(s *SQE) { s.PrepTimeout(after(unix.CLOCK_BOOTTIME, d), 0, TimeoutAbs|TimeoutBoottime, 1) },
			"realtime":  func(s *SQE) { s.PrepTimeout(after(unix.CLOCK_REALTIME, d), 0, TimeoutAbs|TimeoutRealtime, 1) },
			"rel. boot": func(s *SQE) { s.PrepTimeout(&span, 0, TimeoutBoottime|TimeoutETimeSuccess, 1) },
		} {
			start := time.Now()
			if c := do(t, r, prep); c.Err() != syscall.ETIME || time.Since(start) < d-5*time.Millisecond {
				t.Errorf("%s: %v after %v", name, c.Err(), time.Since(start))
			}
		}
		// A count ends one before its time.
		long := NewTimespec(time.Minute)
		kept(t, &long)
		kept(t, &span)
		r.NextSQE().PrepTimeout(&long, 2, 0, 1)
		r.NextSQE().PrepNop(2)
		r.NextSQE().PrepNop(3)
		expect(t, byUD(t, r, 3), map[UserData]int32{1: 0, 2: 0, 3: 0})
		if testenv.HaveKernel(t, "6.1") { // requests submitted before it count, too
			pr, pw := pipePair(t)
			r.NextSQE().PrepPollAdd(pr, unix.POLLIN, 2)
			r.NextSQE().PrepTimeout(&long, 1, 0, 1)
			_, err := r.Submit()
			ok(t, err)
			_, _ = unix.Write(int(pw), []byte("data"))
			expect(t, byUD(t, r, 2), map[UserData]int32{1: 0, 2: unix.POLLIN})
		}

		r.NextSQE().PrepTimeout(&long, 0, 0, 1)
		r.NextSQE().PrepTimeoutRemove(1, 2)
		expect(t, byUD(t, r, 2), map[UserData]int32{1: eCanceled, 2: 0})
		want(t, r, syscall.ENOENT, func(s *SQE) { s.PrepTimeoutRemove(1, 2) })

		r.NextSQE().PrepTimeout(&long, 0, 0, 1)
		r.NextSQE().PrepTimeoutUpdate(1, &span, 0, 2)
		expect(t, byUD(t, r, 2), map[UserData]int32{1: eTime, 2: 0})
	})
}

func TestTimeoutMultishot(t *testing.T) {
	testenv.NeedKernel(t, "6.4")
	r := newRing(t, Params{Entries: 8})
	ms := NewTimespec(time.Millisecond)
	kept(t, &ms)
	r.NextSQE().PrepTimeout(&ms, 3, TimeoutMultishot, 1)
	for i, c := range reap(t, r, 3) {
		if c.Err() != syscall.ETIME || c.More() != (i < 2) {
			t.Errorf("completion %d: %+v", i, c)
		}
	}
	idle(t, r)
}

// A timeout limits what it is linked to; one that is not linked does not.
func TestLinkTimeout(t *testing.T) {
	eachMode(t, Params{Entries: 8}, func(t *testing.T, r *Ring) {
		fd := eventFD(t)
		short, long := NewTimespec(10*time.Millisecond), NewTimespec(time.Minute)
		link := func(ts *Timespec) {
			s := r.NextSQE()
			s.PrepPollAdd(fd, unix.POLLIN, 1)
			s.SetFlags(SQEIOLink)
			r.NextSQE().PrepLinkTimeout(ts, 0, 2)
		}
		link(&short)
		expect(t, byUD(t, r, 2), map[UserData]int32{1: eCanceled, 2: eTime})

		link(&long)
		r.NextSQE().PrepLinkTimeoutUpdate(2, &short, 0, 3)
		expect(t, byUD(t, r, 3), map[UserData]int32{1: eCanceled, 2: eTime, 3: 0})

		r.NextSQE().PrepPollAdd(fd, unix.POLLIN, 1)
		r.NextSQE().PrepTimeout(&short, 0, 0, 2)
		expect(t, byUD(t, r, 1), map[UserData]int32{2: eTime})
		cancel(t, r, 1)

		link(&long)
		signalEvent(t, fd)
		expect(t, byUD(t, r, 2), map[UserData]int32{1: unix.POLLIN, 2: eCanceled})
		want(t, r, syscall.EINVAL, func(s *SQE) { s.PrepLinkTimeout(&long, 0, 2) })
	})
}

// What comes after a request that failed is cancelled, unless the link is hard.
func TestLinks(t *testing.T) {
	eachMode(t, Params{Entries: 8}, func(t *testing.T, r *Ring) {
		chain := func(flags SQEFlags) map[UserData]CQE {
			for ud := range UserData(5) {
				s := r.NextSQE()
				s.PrepNop(ud)
				if ud == 2 {
					s.PrepRead(-1, nil, 0, ud) // fails as it runs, not as it is read
				}
				if ud < 4 {
					s.SetFlags(flags)
				}
			}
			return byUD(t, r, 5)
		}
		const bad = -int32(syscall.EBADF)
		expect(t, chain(SQEIOLink), map[UserData]int32{0: 0, 1: 0, 2: bad, 3: eCanceled, 4: eCanceled})
		expect(t, chain(SQEIOHardlink), map[UserData]int32{0: 0, 1: 0, 2: bad, 3: 0, 4: 0})
		expect(t, chain(0), map[UserData]int32{0: 0, 1: 0, 2: bad, 3: 0, 4: 0})
		expect(t, chain(SQEIODrain), map[UserData]int32{0: 0, 1: 0, 2: bad, 3: 0, 4: 0})
		expect(t, chain(SQEAsync|SQEIOLink), map[UserData]int32{0: 0, 1: 0, 2: bad, 3: eCanceled, 4: eCanceled})
	})
}

// A short read breaks a link like an error.
func TestLinkShortRead(t *testing.T) {
	r := newRing(t, Params{Entries: 8})
	fd := tempFile(t, "abc")
	s := r.NextSQE()
	s.PrepRead(fd, kept(t, make([]byte, 10)), 0, 1)
	s.SetFlags(SQEIOLink)
	r.NextSQE().PrepNop(2)
	expect(t, byUD(t, r, 2), map[UserData]int32{1: 3, 2: eCanceled})
}

// Drain waits for what was submitted before, Skip says nothing of success.
func TestDrainAndSkip(t *testing.T) {
	r := newRing(t, Params{Entries: 8})
	ms := NewTimespec(10 * time.Millisecond)
	kept(t, &ms)
	r.NextSQE().PrepTimeout(&ms, 0, 0, 1)
	s := r.NextSQE()
	s.PrepNop(2)
	s.SetFlags(SQEIODrain)
	if c := reap(t, r, 2); c[0].UserData != 1 || c[1].UserData != 2 {
		t.Errorf("order %d, %d", c[0].UserData, c[1].UserData)
	}
	for _, fd := range []int32{tempFile(t, ""), -1} {
		s := r.NextSQE()
		s.PrepFsync(fd, 0, 3)
		s.SetFlags(SQECQESkipSuccess)
		if fd == -1 {
			expect(t, byUD(t, r, 1), map[UserData]int32{3: -int32(syscall.EBADF)})
		}
		idle(t, r)
	}
}

// Each way to say what a cancellation is for.
func TestCancels(t *testing.T) {
	eachMode(t, Params{Entries: 8}, func(t *testing.T, r *Ring) {
		a, b := eventFD(t), eventFD(t)
		if err := r.RegisterFiles([]int32{a, b}); err != nil {
			t.Fatal(err)
		}
		tests := []struct {
			name, kernel string
			prep         func(s *SQE)
			gone         []UserData // of polls 1, 2 on a, 3 on b, 3 on file 1, and read 4 of file 0
			res          int32
		}{
			{"user data", "5.5", func(s *SQE) { s.PrepCancel(2, 0, 9) }, []UserData{2}, 0},
			{"none", "5.5", func(s *SQE) { s.PrepCancel(77, 0, 9) }, nil, eNoent},
			{"all of user data", "5.19", func(s *SQE) { s.PrepCancel(3, CancelAll, 9) }, []UserData{3, 3}, 2},
			{"fd", "5.19", func(s *SQE) { s.PrepCancelFD(b, 0, 9) }, []UserData{3}, 0},
			{"all of fd", "5.19", func(s *SQE) { s.PrepCancelFD(a, CancelAll, 9) }, []UserData{1, 2, 4}, 3},
			{"registered file", "6.0", func(s *SQE) { s.PrepCancelFDFixed(1, CancelAll, 9) }, []UserData{3, 3}, 2},
			{"operation", "6.6", func(s *SQE) { s.PrepCancelOp(OpPollAdd, 0, CancelAll, 9) }, []UserData{1, 2, 3, 3}, 4},
			{"operation and user data", "6.6", func(s *SQE) { s.PrepCancelOp(OpPollAdd, 1, CancelAll|CancelUserData, 9) }, []UserData{1}, 1},
			{"any", "5.19", func(s *SQE) { s.PrepCancel(0, CancelAny, 9) }, []UserData{1, 2, 3, 3, 4}, 5},
		}
		for _, tt := range tests {
			if !testenv.HaveKernel(t, tt.kernel) {
				continue
			}
			r.NextSQE().PrepPollAdd(a, unix.POLLIN, 1)
			r.NextSQE().PrepPollAdd(a, unix.POLLIN, 2)
			r.NextSQE().PrepPollAdd(b, unix.POLLIN, 3)
			s := r.NextSQE()
			s.PrepPollAdd(1, unix.POLLIN, 3)
			s.SetFlags(SQEFixedFile)
			s = r.NextSQE()
			s.PrepPollMultishot(0, unix.POLLIN, 4)
			s.SetFlags(SQEFixedFile)
			if tt.name == "operation" { // leaves another one
				s.PrepTimeout(kept(t, &Timespec{Sec: 60}), 0, 0, 4)
				s.Flags = 0
			}
			tt.prep(r.NextSQE())
			count := map[UserData]int{}
			for _, c := range reap(t, r, len(tt.gone)+1) {
				if c.UserData == 9 && c.Res != tt.res {
					t.Errorf("%s: res %d, want %d", tt.name, c.Res, tt.res)
				} else if c.UserData != 9 && c.Err() != syscall.ECANCELED {
					t.Errorf("%s: request %d: %v", tt.name, c.UserData, c.Err())
				}
				count[c.UserData]++
			}
			for _, ud := range tt.gone {
				count[ud]--
			}
			for ud, n := range count {
				if n != 0 && ud != 9 {
					t.Errorf("%s: request %d: %+d completions", tt.name, ud, n)
				}
			}
			left := 5 - len(tt.gone)
			r.NextSQE().PrepCancel(0, CancelAny, 9)
			reap(t, r, left+1)
			idle(t, r)
		}
	})
}

func TestMsgRingAll(t *testing.T) {
	a, b := newRing(t, Params{Entries: 8}), newRing(t, Params{Entries: 8})
	to := int32(b.FD())
	want(t, a, 0, func(s *SQE) { s.PrepMsgRing(to, 5, 6, 1) })
	if c := reap(t, b, 1)[0]; c.Res != 5 || c.UserData != 6 {
		t.Errorf("got %+v", c)
	}
	want(t, a, syscall.EBADFD, func(s *SQE) { s.PrepMsgRing(eventFD(t), 5, 6, 1) })
	testenv.NeedKernel(t, "6.3")
	want(t, a, 0, func(s *SQE) { s.PrepMsgRingFlags(to, 5, 6, CQEMore, 1) })
	if c := reap(t, b, 1)[0]; !c.More() {
		t.Errorf("got %+v", c)
	}
	if err := a.RegisterFiles([]int32{tempFile(t, "given")}); err != nil {
		t.Fatal(err)
	}
	want(t, a, syscall.ENXIO, func(s *SQE) { s.PrepMsgRingFD(to, 0, 2, 6, 0, 1) })
	if err := b.RegisterFilesSparse(3); err != nil {
		t.Fatal(err)
	}
	want(t, a, 0, func(s *SQE) { s.PrepMsgRingFD(to, 0, 2, 6, 0, 1) })
	if c := reap(t, b, 1)[0]; c.UserData != 6 || c.Res != 0 {
		t.Errorf("got %+v", c)
	}
	want(t, a, 0, func(s *SQE) { s.PrepMsgRingFD(to, 0, FileIndexAlloc, 6, MsgRingCQESkip, 1) })
	idle(t, b)
	buf := make([]byte, 8)
	for _, file := range []int32{0, 2} {
		want(t, b, 5, func(s *SQE) { s.PrepRead(file, buf, 0, 1); s.SetFlags(SQEFixedFile) })
	}
	want(t, a, syscall.EBADF, func(s *SQE) { s.PrepMsgRingFD(to, 7, 2, 6, 0, 1) })
	testenv.NeedKernel(t, "6.13")
	if err := SendMsgRing(to, 8, 9); err != nil {
		t.Fatal(err)
	}
	if c := reap(t, b, 1)[0]; c.Res != 8 || c.UserData != 9 {
		t.Errorf("got %+v", c)
	}
	if err := SendMsgRing(-1, 8, 9); err == nil {
		t.Error("a message to no ring")
	}
}

func TestEpoll(t *testing.T) {
	r := newRing(t, Params{Entries: 8})
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	epfd, fd := closeLater(t, ep), eventFD(t)
	ev := &unix.EpollEvent{Events: unix.EPOLLIN, Fd: 77}
	want(t, r, 0, func(s *SQE) { s.PrepEpollCtl(epfd, fd, unix.EPOLL_CTL_ADD, ev, 1) })
	want(t, r, syscall.EEXIST, func(s *SQE) { s.PrepEpollCtl(epfd, fd, unix.EPOLL_CTL_ADD, ev, 1) })
	signalEvent(t, fd)
	evs := make([]unix.EpollEvent, 4)
	if n, err := unix.EpollWait(ep, evs, 0); n != 1 || err != nil {
		t.Fatalf("epoll_wait: %d, %v", n, err)
	}
	if testenv.HaveKernel(t, "6.15") {
		clear(evs)
		want(t, r, 1, func(s *SQE) { s.PrepEpollWait(epfd, evs, 1) })
		if evs[0].Fd != 77 || evs[0].Events != unix.EPOLLIN {
			t.Errorf("got %+v", evs[0])
		}
	}
	want(t, r, 0, func(s *SQE) { s.PrepEpollCtl(epfd, fd, unix.EPOLL_CTL_DEL, nil, 1) })
	want(t, r, syscall.ENOENT, func(s *SQE) { s.PrepEpollCtl(epfd, fd, unix.EPOLL_CTL_DEL, nil, 1) })
}

func TestFutex(t *testing.T) {
	testenv.NeedKernel(t, "6.7")
	r := newRing(t, Params{Entries: 8})
	const flags = Futex32 | FutexPrivate
	words := kept(t, make([]uint32, 2))
	words[0], words[1] = 7, 8
	want(t, r, syscall.EAGAIN, func(s *SQE) { s.PrepFutexWait(&words[0], 6, FutexAny, flags, 1) })
	r.NextSQE().PrepFutexWait(&words[0], 7, 1, flags, 1)
	want(t, r, 0, func(s *SQE) { s.PrepFutexWake(&words[0], 1, 2, flags, 2) }) // another bit
	r.NextSQE().PrepFutexWake(&words[0], 5, FutexAny, flags, 2)
	expect(t, byUD(t, r, 2), map[UserData]int32{1: 0, 2: 1})

	ws := kept(t, []FutexWaitV{{Val: 7, Flags: flags}, {Val: 8, Flags: flags}})
	ws[0].SetWord(&words[0])
	ws[1].SetWord(&words[1])
	r.NextSQE().PrepFutexWaitV(ws, 1)
	r.NextSQE().PrepFutexWake(&words[1], 1, FutexAny, flags, 2)
	expect(t, byUD(t, r, 2), map[UserData]int32{1: 1, 2: 1})
	ws[1].Val = 9
	want(t, r, syscall.EAGAIN, func(s *SQE) { s.PrepFutexWaitV(ws, 1) })
}

func TestWaitID(t *testing.T) {
	testenv.NeedKernel(t, "6.7")
	r := newRing(t, Params{Entries: 8})
	cmd := exec.Command("sh", "-c", "exit 3")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	info := new(unix.Siginfo)
	want(t, r, 0, func(s *SQE) {
		s.PrepWaitID(unix.P_PID, int32(cmd.Process.Pid), info, unix.WEXITED|unix.WNOWAIT, 1)
	})
	if info.Signo != int32(syscall.SIGCHLD) || info.Code != 1 { // CLD_EXITED
		t.Errorf("got %+v", info)
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != 3 {
		t.Errorf("wait: %v", err)
	}
	want(t, r, syscall.ECHILD, func(s *SQE) { s.PrepWaitID(unix.P_PID, 1<<22, nil, unix.WEXITED, 1) })
}

// A file system's command arrives, with or without someone who knows it.
func TestURingCmd(t *testing.T) {
	r := newRing(t, Params{Entries: 8})
	want(t, r, syscall.EOPNOTSUPP, func(s *SQE) { s.PrepURingCmd(eventFD(t), 1, 1) })
	want(t, r, syscall.EOPNOTSUPP, func(s *SQE) { s.PrepBlockDiscard(eventFD(t), 0, 4096, 1) })
}

func TestPersonality(t *testing.T) {
	r := newRing(t, Params{Entries: 8})
	id, err := r.RegisterPersonality()
	if err != nil || id == 0 {
		t.Fatal(id, err)
	}
	want(t, r, 0, func(s *SQE) { s.PrepNop(1); s.SetPersonality(id) })
	if err := r.UnregisterPersonality(id); err != nil {
		t.Fatal(err)
	}
	if err := r.UnregisterPersonality(id); err == nil {
		t.Error("unregistered twice")
	}
	want(t, r, syscall.EINVAL, func(s *SQE) { s.PrepNop(1); s.SetPersonality(id) })
}
