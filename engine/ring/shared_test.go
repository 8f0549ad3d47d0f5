//go:build linux

package ring

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/internal/testenv"
)

func newShared(t testing.TB, p Params) *Shared {
	t.Helper()
	testenv.NeedKernel(t, "6.1")
	s, err := NewShared(&p)
	ok(t, err)
	t.Cleanup(func() {
		if err := s.Close(); err != nil && err != ErrClosed {
			t.Error(err)
		}
	})
	return s
}

// collect waits for n completions.
func collect(t testing.TB, s *Shared, n int) []Completion {
	t.Helper()
	var all []Completion
	dst := make([]Completion, 8)
	for len(all) < n {
		got, err := s.Wait(dst, 30*time.Second)
		if err != nil {
			t.Fatalf("%v after %d of %d completions", err, len(all), n)
		}
		all = append(all, dst[:got]...)
	}
	return all
}

func add(t testing.TB, s *Shared, prep func(*SQE), keep any) UserData {
	t.Helper()
	for {
		id, err := s.Add(prep, keep)
		if err == nil {
			return id
		}
		if !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.EAGAIN) {
			t.Error(err)
			return 0
		}
		runtime.Gosched()
	}
}

func TestSharedRefuses(t *testing.T) {
	for bit := range len(setupNames) {
		if f := SetupFlags(1) << bit; f&notShared != 0 {
			_, err := NewShared(&Params{Entries: 4, Flags: f})
			if !errors.Is(err, syscall.EINVAL) || !strings.Contains(err.Error(), f.String()) {
				t.Errorf("%v: %v", f, err)
			}
		}
	}
	s := newShared(t, Params{Entries: 4})
	if _, err := s.Add(func(e *SQE) { e.PrepNop(1); e.SetFlags(SQECQESkipSuccess) }, nil); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("CQE_SKIP_SUCCESS: %v", err)
	}
	if err := s.AddAll(make([]Request, 5)); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("5 of 4 entries: %v", err)
	}
	func() {
		defer func() { recover() }()
		s.AddAll([]Request{{Prep: func(e *SQE) { e.PrepNop(1) }}, {Prep: func(*SQE) { panic("no") }}})
	}()
	if n, err := s.Wait(nil, 0); n != 0 || err != nil {
		t.Errorf("into nothing: %d, %v", n, err)
	}
	if n, err := s.Wait(make([]Completion, 4), 0); n != 0 || !errors.Is(err, unix.ETIME) {
		t.Errorf("after what was refused: %d, %v", n, err)
	}
	if st := s.Stats(); st.Ops != 0 || st.InFlight != 0 {
		t.Errorf("counters %+v", st)
	}
	add(t, s, func(e *SQE) { e.PrepNop(1) }, nil)
	collect(t, s, 1)
}

// Reads of a file at more depth than the ring has, and all else on files.
func TestSharedFiles(t *testing.T) {
	for _, flags := range []SetupFlags{0, SetupSQPoll, SetupCQE32 | SetupSQE128} {
		t.Run(flags.String(), func(t *testing.T) {
			s := newShared(t, Params{Entries: 8, Flags: flags})
			const blocks, block = 100, 512
			content := make([]byte, blocks*block)
			for i := range content {
				content[i] = byte(rand.Uint32())
			}
			fd := tempFile(t, "")
			runAll := func(n int, op func(i int) (func(*SQE), any), check func(c Completion) bool) {
				t.Helper()
				var wg sync.WaitGroup
				for i := range n {
					wg.Go(func() {
						prep, keep := op(i)
						add(t, s, prep, keep)
					})
				}
				for _, c := range collect(t, s, n) {
					if !check(c) {
						t.Fatalf("request %d: %d, %v", c.UserData, c.Res, c.Err())
					}
				}
				wg.Wait()
			}
			runAll(1, func(int) (func(*SQE), any) {
				return func(e *SQE) { e.PrepFallocate(fd, 0, 0, uint64(len(content)), 0) }, nil
			}, func(c Completion) bool { return c.Res == 0 })
			runAll(blocks, func(i int) (func(*SQE), any) {
				part := bytes.Clone(content[i*block : (i+1)*block])
				if i%2 == 0 {
					return func(e *SQE) { e.PrepWrite(fd, part, uint64(i*block), UserData(i)) }, part
				}
				iov := iovecs(part[:100], part[100:])
				return func(e *SQE) { e.PrepWriteV(fd, iov, uint64(i*block), 0, UserData(i)) }, iov
			}, func(c Completion) bool { return c.Res == block })
			runAll(1, func(int) (func(*SQE), any) { return func(e *SQE) { e.PrepFsync(fd, 0, 0) }, nil },
				func(c Completion) bool { return c.Res == 0 })
			runAll(blocks, func(i int) (func(*SQE), any) {
				if i%2 == 0 {
					b := make([]byte, block)
					return func(e *SQE) { e.PrepRead(fd, b, uint64(i*block), UserData(i)) }, b
				}
				iov := iovecs(make([]byte, 7), make([]byte, block-7))
				return func(e *SQE) { e.PrepReadV(fd, iov, uint64(i*block), 0, UserData(i)) }, iov
			}, func(c Completion) bool {
				want := content[int(c.UserData)*block:][:block]
				switch b := c.Keep.(type) {
				case []byte:
					return c.Res == block && bytes.Equal(b, want)
				case []unix.Iovec:
					return c.Res == block && bytes.Equal(unsafe.Slice(b[0].Base, 7), want[:7]) &&
						bytes.Equal(unsafe.Slice(b[1].Base, block-7), want[7:])
				}
				return false
			})
			if st := s.Stats(); st.Ops != 2*blocks+2 || st.Completions != 2*blocks+2 || st.InFlight != 0 || st.Enters == 0 {
				t.Errorf("counters %+v", st)
			}
		})
	}
}

// Three times more requests than entries and places for completions, before
// anybody waits.
func TestSharedOvercommit(t *testing.T) {
	s := newShared(t, Params{Entries: 16, CQEntries: 16})
	fd := eventFD(t)
	for i := range UserData(48) {
		add(t, s, func(e *SQE) { e.PrepPollAdd(fd, unix.POLLIN, i) }, nil)
	}
	for i := range UserData(48) {
		add(t, s, func(e *SQE) { e.PrepNop(1000 + i) }, nil)
	}
	signalEvent(t, fd)
	seen := map[UserData]bool{}
	for _, c := range collect(t, s, 96) {
		if seen[c.UserData] || c.Err() != nil {
			t.Errorf("%d twice, or %v", c.UserData, c.Err())
		}
		seen[c.UserData] = true
	}
}

// A kernel that says EBUSY and EAGAIN: a wait reaps first and goes on, an Add
// leaves its request to the next call, or says so if there is no room.
func TestSharedBusy(t *testing.T) {
	s := newShared(t, Params{Entries: 4})
	var refusals, calls atomic.Int32
	s.enter = func(submit, wait, flags uint32, arg unsafe.Pointer, n uintptr) (int, error) {
		calls.Add(1)
		if k := refusals.Add(-1); k >= 0 {
			return 0, []error{errBusy, errAgain, errInterrupted}[k%3]
		}
		return s.r.enter(submit, wait, flags, arg, n)
	}
	refusals.Store(5)
	for i := range UserData(4) {
		add(t, s, func(e *SQE) { e.PrepNop(i) }, nil)
	}
	if c := collect(t, s, 4); c[3].UserData != 3 {
		t.Errorf("got %+v", c)
	}
	refusals.Store(1 << 20)
	for i := range UserData(4) { // of which k%3 decides the error, all left over
		add(t, s, func(e *SQE) { e.PrepNop(i) }, nil)
	}
	_, err := s.Add(func(e *SQE) { e.PrepNop(9) }, nil)
	for range 3 {
		if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EAGAIN) {
			break
		}
		_, err = s.Add(func(e *SQE) { e.PrepNop(9) }, nil)
	}
	if !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.EAGAIN) {
		t.Errorf("Add to a full queue: %v", err)
	}
	if n, err := s.Wait(make([]Completion, 4), time.Millisecond); n != 0 || !errors.Is(err, unix.ETIME) {
		t.Errorf("Wait: %d, %v", n, err)
	}
	refusals.Store(0)
	collect(t, s, 4)
	if calls.Load() == 0 {
		t.Error("the test tested nothing")
	}
}

func TestSharedZero(t *testing.T) {
	s := newShared(t, Params{Entries: 4})
	fd, err := unix.Open("/dev/zero", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	ok(t, err)
	closeLater(t, fd)
	add(t, s, func(e *SQE) { e.PrepPollAdd(int32(fd), unix.POLLIN, 5) }, nil)
	if c := collect(t, s, 1)[0]; c.UserData != 5 || c.Res&unix.POLLIN == 0 {
		t.Errorf("got %+v", c)
	}
}

func TestSharedWake(t *testing.T) {
	s := newShared(t, Params{Entries: 4})
	for range 20 {
		tid, done := make(chan int), make(chan error)
		go func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			tid <- unix.Gettid()
			n, err := s.Wait(make([]Completion, 4), -1)
			if n != 0 && err == nil {
				err = fmt.Errorf("%d completions", n)
			}
			done <- err
		}()
		awaitSleep(t, <-tid)
		ok(t, s.Wake())
		ok(t, <-done)
	}
	if st := s.Stats(); st.Ops != 0 || st.Completions != 0 || st.InFlight != 0 {
		t.Errorf("counters %+v", st)
	}
}

// As many calls of Wake as waiters end all of their waits: none takes two.
func TestSharedWakeEach(t *testing.T) {
	s := newShared(t, Params{Entries: 16})
	const waiters = 7
	tid, done := make(chan int), make(chan error, waiters)
	for range waiters {
		go func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			tid <- unix.Gettid()
			_, err := s.Wait(make([]Completion, 4), 30*time.Second)
			done <- err
		}()
		awaitSleep(t, <-tid)
	}
	for range waiters {
		ok(t, s.Wake())
	}
	for range waiters {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// Links, cancellation by ID, multishot requests, and messages.
func TestSharedRequests(t *testing.T) {
	s := newShared(t, Params{Entries: 8})
	fd := tempFile(t, "")
	msg, b := []byte("linked"), make([]byte, 10)
	reqs := []Request{
		{Prep: func(e *SQE) { e.PrepWrite(fd, msg, 0, 1); e.SetFlags(SQEIOLink) }, Keep: msg},
		{Prep: func(e *SQE) { e.PrepRead(fd, b, 0, 2) }, Keep: b},
	}
	ok(t, s.AddAll(reqs))
	if c := collect(t, s, 2); c[0].UserData != 1 || c[1].Res != 6 || c[1].ID != reqs[1].ID || string(b[:6]) != "linked" {
		t.Errorf("got %+v", c)
	}
	ev := eventFD(t)
	id := add(t, s, func(e *SQE) { e.PrepPollMultishot(ev, unix.POLLIN, 7) }, &b)
	for range 3 {
		signalEvent(t, ev)
		if c := collect(t, s, 1)[0]; c.UserData != 7 || c.ID != id || c.Keep != any(&b) || !c.More() {
			t.Errorf("got %+v", c)
		}
	}
	add(t, s, func(e *SQE) { e.PrepCancel(id, 0, 8) }, nil)
	for _, c := range collect(t, s, 2) {
		if c.UserData == 7 && c.Err() != syscall.ECANCELED || c.UserData == 8 && c.Res != 0 {
			t.Errorf("got %+v", c)
		}
	}
	other := newRing(t, Params{Entries: 4})
	for _, data := range []uint64{1, uint64(id)} { // also what was an ID
		want(t, other, 0, func(e *SQE) { e.PrepMsgRing(int32(s.Ring().FD()), 3, data, 1) })
		if c := collect(t, s, 1)[0]; c.UserData != UserData(data) || c.ID != 0 || c.Res != 3 {
			t.Errorf("message: %+v", c)
		}
	}
}

// What a request uses lives as long as it does, and not longer.
func TestSharedKeep(t *testing.T) {
	s := newShared(t, Params{Entries: 4})
	var freed atomic.Bool
	pr, pw := pipePair(t)
	func() {
		b := new([512]byte)
		runtime.AddCleanup(b, func(f *atomic.Bool) { f.Store(true) }, &freed)
		add(t, s, func(e *SQE) { e.PrepRead(pr, b[:], CurrentOffset, 1) }, b)
	}()
	for range 3 {
		runtime.GC()
	}
	if freed.Load() {
		t.Fatal("freed in flight")
	}
	unix.Write(int(pw), []byte("data"))
	func() {
		c := collect(t, s, 1)[0]
		if b := c.Keep.(*[512]byte); string(b[:c.Res]) != "data" {
			t.Errorf("read %q", b[:c.Res])
		}
	}()
	for end := time.Now().Add(30 * time.Second); !freed.Load(); runtime.GC() {
		if time.Now().After(end) {
			t.Fatal("not freed after the completion")
		}
	}
}

// The ring and an eventfd say by poll and epoll that there are completions.
func TestSharedPoll(t *testing.T) {
	s := newShared(t, Params{Entries: 4})
	ev := eventFD(t)
	ok(t, s.Ring().RegisterEventFD(int(ev)))
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	ok(t, err)
	closeLater(t, ep)
	for _, fd := range []int32{int32(s.Ring().FD()), ev} {
		ok(t, unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, int(fd), &unix.EpollEvent{Events: unix.EPOLLIN, Fd: fd}))
	}
	readable := func(timeout int) []int32 {
		evs := make([]unix.EpollEvent, 4)
		n, err := unix.EpollWait(ep, evs, timeout)
		for errors.Is(err, unix.EINTR) {
			n, err = unix.EpollWait(ep, evs, timeout)
		}
		ok(t, err)
		var fds []int32
		for _, e := range evs[:n] {
			fds = append(fds, e.Fd)
		}
		slices.Sort(fds)
		return fds
	}
	if fds := readable(0); len(fds) != 0 {
		t.Errorf("readable before: %v", fds)
	}
	add(t, s, func(e *SQE) { e.PrepNop(1) }, nil)
	if fds := readable(1000); len(fds) != 2 {
		t.Errorf("readable: %v", fds)
	}
	p := []unix.PollFd{{Fd: int32(s.Ring().FD()), Events: unix.POLLIN}}
	if n, err := unix.Poll(p, 0); n != 1 || err != nil {
		t.Errorf("poll: %d, %v", n, err)
	}
	collect(t, s, 1)
	readEvent(t, ev)
	if fds := readable(0); len(fds) != 0 {
		t.Errorf("readable after: %v", fds)
	}
}

func TestSharedClose(t *testing.T) {
	for _, flags := range []SetupFlags{0, SetupSQPoll} {
		t.Run(flags.String(), func(t *testing.T) { closeBusy(t, newShared(t, Params{Entries: 8, Flags: flags})) })
	}
}

// closeBusy closes s with requests in flight and goroutines that wait.
func closeBusy(t *testing.T, s *Shared) {
	pr, _ := pipePair(t)
	ev := eventFD(t)
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			dst := make([]Completion, 1)
			for {
				if _, err := s.Wait(dst, -1); err != nil {
					if err != ErrClosed {
						t.Error(err)
					}
					return
				}
			}
		})
	}
	for i := range 20 {
		add(t, s, func(e *SQE) { e.PrepPollAdd(ev, unix.POLLIN, 1) }, nil)
		b := make([]byte, 8+i)
		add(t, s, func(e *SQE) { e.PrepRead(pr, b, CurrentOffset, 2) }, b)
	}
	ok(t, s.Close())
	wg.Wait()
	if st := s.Stats(); st.InFlight != 0 {
		t.Errorf("counters %+v", st)
	}
	if _, err := s.Add(func(e *SQE) { e.PrepNop(1) }, nil); err != ErrClosed {
		t.Errorf("Add: %v", err)
	}
	if err := s.Wake(); err != ErrClosed {
		t.Errorf("Wake: %v", err)
	}
	if _, err := s.Wait(make([]Completion, 1), -1); err != ErrClosed {
		t.Errorf("Wait: %v", err)
	}
	if err := s.Close(); err != ErrClosed {
		t.Errorf("second Close: %v", err)
	}
}

func TestSharedAllocs(t *testing.T) {
	s := newShared(t, Params{Entries: 4})
	dst, keep := make([]Completion, 4), any(make([]byte, 8))
	if n := testing.AllocsPerRun(50, func() {
		s.Add(func(e *SQE) { e.PrepNop(1) }, keep)
		s.Wait(dst, time.Second)
	}); n != 0 && !testenv.Race { // under which a Pool forgets
		t.Errorf("%v allocations", n)
	}
}

// repeats is n, or what the environment asks for.
func repeats(t testing.TB, n int) int {
	if v := os.Getenv("QUOIT_RING_REPEAT"); v != "" {
		if _, err := fmt.Sscan(v, &n); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// crowd has submitters add each requests nops and reapers wait for them all;
// nobody may see one twice, or wait for ever.
func crowd(t *testing.T, p Params, submitters, each, reapers int) {
	s := newShared(t, p)
	defer s.Close()
	total := int64(submitters * each)
	seen := make([]atomic.Int32, total)
	var reaped atomic.Int64
	var wg sync.WaitGroup
	for range reapers {
		wg.Go(func() {
			dst := make([]Completion, 1+rand.IntN(4))
			for reaped.Load() < total {
				n, err := s.Wait(dst, -1)
				if err != nil {
					t.Error(err)
					return
				}
				for _, c := range dst[:n] {
					if seen[c.UserData].Add(1) != 1 || c.Err() != nil {
						t.Errorf("%d twice, or %v", c.UserData, c.Err())
					}
				}
				if n > 0 && reaped.Add(int64(n)) == total { // the last one, once
					for range reapers - 1 {
						ok(t, s.Wake())
					}
				}
			}
		})
	}
	for i := range submitters {
		wg.Go(func() {
			for k := range each {
				add(t, s, func(e *SQE) { e.PrepNop(UserData(i*each + k)) }, nil)
			}
		})
	}
	wg.Wait()
	if st := s.Stats(); st.Ops != uint64(total) || st.Completions != uint64(total) {
		t.Errorf("counters %+v", st)
	}
}

func TestSharedManyReapers(t *testing.T) {
	for range repeats(t, 20) {
		crowd(t, Params{Entries: 64}, 1, 48, 7)
	}
}

func TestSharedManySubmitters(t *testing.T) {
	for range repeats(t, 20) {
		crowd(t, Params{Entries: 16}, 7, 113, 1)
	}
}

func TestSharedManyOfBoth(t *testing.T) {
	for range repeats(t, 50) {
		crowd(t, Params{Entries: 16}, 7, 113, 3)
	}
	crowd(t, Params{Entries: 16, Flags: SetupSQPoll}, 7, 113, 3)
}
