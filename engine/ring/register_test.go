//go:build linux

package ring

import (
	"errors"
	"fmt"
	"os"
	"runtime"
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

// fails fails unless err is an *Error of io_uring_register with errno.
func fails(t testing.TB, err error, errno syscall.Errno) {
	t.Helper()
	var re *Error
	if !errors.As(err, &re) || re.Op != opRegister || re.Errno != errno {
		t.Errorf("got %v, want %v", err, errno)
	}
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestRegisterBuffers(t *testing.T) {
	r := newRing(t, Params{Entries: 8})
	mem := anonymous(t, 8192)
	fails(t, r.UnregisterBuffers(), syscall.ENXIO)
	ok(t, r.RegisterBuffers(iovecs(mem)))
	fails(t, r.RegisterBuffers(iovecs(mem)), syscall.EBUSY)
	ok(t, r.UnregisterBuffers())
	bad := anonymous(t, 4096)
	ok(t, unix.Mprotect(bad, unix.PROT_NONE))
	fails(t, r.RegisterBuffers(iovecs(bad)), syscall.EFAULT)
	fails(t, r.RegisterBuffersTagged(iovecs(mem), []uint64{1, 2}), syscall.EINVAL) // not as many

	ok(t, r.RegisterBuffersTagged(iovecs(mem[:4096], mem[4096:]), []uint64{11, 0}))
	if n, err := r.UpdateBuffers(0, iovecs(mem[:100]), []uint64{12}); n != 1 || err != nil {
		t.Errorf("update: %d, %v", n, err)
	}
	if c := reap(t, r, 1)[0]; c.UserData != 11 || c.Res != 0 { // the first is free
		t.Errorf("got %+v", c)
	}
	ok(t, r.UnregisterBuffers())
	if testenv.HaveKernel(t, "6.13") {
		if c := reap(t, r, 1)[0]; c.UserData != 12 {
			t.Errorf("got %+v", c)
		}
	}
	idle(t, r)

	ok(t, r.RegisterBuffersSparse(3))
	fd := tempFile(t, "0123456789")
	want(t, r, syscall.EFAULT, func(s *SQE) { s.PrepReadFixed(fd, mem[:10], 0, 2, 1) })
	if n, err := r.UpdateBuffers(1, iovecs(mem[:100], mem[100:200]), nil); n != 2 || err != nil {
		t.Errorf("update: %d, %v", n, err)
	}
	want(t, r, 10, func(s *SQE) { s.PrepReadFixed(fd, mem[100:110], 0, 2, 1) })
	_, err := r.UpdateBuffers(2, iovecs(mem, mem), nil)
	fails(t, err, syscall.EINVAL)
}

func TestCloneBuffers(t *testing.T) {
	testenv.NeedKernel(t, "6.12")
	a, b := newRing(t, Params{Entries: 8}), newRing(t, Params{Entries: 8})
	mem, fd := anonymous(t, 8192), tempFile(t, "0123456789")
	fails(t, b.CloneBuffers(a, 0, 0, 0, 0), syscall.ENXIO)
	ok(t, a.RegisterBuffers(iovecs(mem[:4096], mem[4096:])))
	ok(t, b.CloneBuffers(a, 0, 0, 0, 0))
	want(t, b, 10, func(s *SQE) { s.PrepReadFixed(fd, mem[4096:4106], 0, 1, 1) })
	fails(t, b.CloneBuffers(a, 0, 0, 0, 0), syscall.EBUSY)
	if testenv.HaveKernel(t, "6.13") {
		ok(t, b.CloneBuffers(a, 0, 1, 1, CloneReplace))
		want(t, b, 10, func(s *SQE) { s.PrepReadFixed(fd, mem[4096:4106], 0, 0, 1) })
		p := Params{Entries: 8, Flags: SetupNoMmap | SetupRegisteredFDOnly}
		p.Memory = anonymous(t, p.MemoryBytes())
		c := newRing(t, p)
		ok(t, c.RegisterBuffers(iovecs(mem)))
		ok(t, b.UnregisterBuffers())
		ok(t, b.CloneBuffers(c, 0, 0, 0, 0))
		want(t, b, 10, func(s *SQE) { s.PrepReadFixed(fd, mem[4096:4106], 0, 0, 1) })
	}
}

func TestRegisterFiles(t *testing.T) {
	r := newRing(t, Params{Entries: 8})
	one, two := tempFile(t, "one"), tempFile(t, "second")
	b := make([]byte, 16)
	reads := func(file int32, res any) {
		t.Helper()
		want(t, r, res, func(s *SQE) { s.PrepRead(file, b, 0, 1); s.SetFlags(SQEFixedFile) })
	}
	fails(t, r.UnregisterFiles(), syscall.ENXIO)
	fails(t, r.RegisterFiles([]int32{1 << 28}), syscall.EBADF)
	ok(t, r.RegisterFiles([]int32{one, -1, two}))
	fails(t, r.RegisterFiles([]int32{one}), syscall.EBUSY)
	reads(0, 3)
	reads(1, syscall.EBADF)
	reads(2, 6)
	reads(3, syscall.EBADF)
	if n, err := r.UpdateFiles(0, []int32{FileSkip, two, -1}); n != 3 || err != nil {
		t.Errorf("update: %d, %v", n, err)
	}
	reads(0, 3)
	reads(1, 6)
	reads(2, syscall.EBADF)
	ok(t, r.UnregisterFiles())

	ok(t, r.RegisterFilesTagged([]int32{one, two}, []uint64{21, 22}))
	if n, err := r.UpdateFilesTagged(1, []int32{one}, []uint64{23}); n != 1 || err != nil {
		t.Errorf("update: %d, %v", n, err)
	}
	if c := reap(t, r, 1)[0]; c.UserData != 22 {
		t.Errorf("got %+v", c)
	}
	reads(1, 3)
	ok(t, r.UnregisterFiles())
	if testenv.HaveKernel(t, "6.13") {
		expect(t, byUD(t, r, 2), map[UserData]int32{21: 0, 23: 0})
	}
	idle(t, r)

	ok(t, r.RegisterFilesSparse(6))
	ok(t, r.RegisterFileAllocRange(4, 2))
	fails(t, r.RegisterFileAllocRange(4, 20), syscall.EINVAL)
	for _, res := range []any{4, 5, syscall.ENFILE} {
		want(t, r, res, func(s *SQE) {
			s.PrepOpenAtDirect(unix.AT_FDCWD, cstr(t, "/dev/null"), unix.O_RDWR, 0, FileIndexAlloc, 1)
		})
	}
}

// A file is in use when its table goes: the kernel waits for the request, or
// lets the file go with it.
func TestUnregisterInUse(t *testing.T) {
	r := newRing(t, Params{Entries: 8})
	a, b := socketPair(t)
	buf := make([]byte, 8)
	defer runtime.KeepAlive(buf)
	ok(t, r.RegisterFilesTagged([]int32{a}, []uint64{31}))
	s := r.NextSQE()
	s.PrepRecv(0, buf, 0, 1)
	s.SetFlags(SQEFixedFile)
	if _, err := r.Submit(); err != nil {
		t.Fatal(err)
	}
	send := func() {
		if _, err := unix.Write(int(b), []byte("x")); err != nil {
			t.Error(err)
		}
	}
	if testenv.HaveKernel(t, "6.13") {
		ok(t, r.UnregisterFiles())
		idle(t, r)
		send()
		expect(t, byUD(t, r, 2), map[UserData]int32{1: 1, 31: 0})
		return
	}
	var sent atomic.Bool
	tid, done := unix.Gettid(), make(chan struct{})
	go func() {
		defer close(done)
		defer send()
		awaitCall(t, tid, unix.SYS_IO_URING_REGISTER)
		sent.Store(true)
	}()
	_, err := unbroken(func() (int, error) { return 0, r.UnregisterFiles() })
	if err != nil || !sent.Load() {
		t.Errorf("%v, with the request to complete: %v", err, !sent.Load())
	}
	<-done
	expect(t, byUD(t, r, 1), map[UserData]int32{1: 1})
	fails(t, r.UnregisterFiles(), syscall.ENXIO)
	idle(t, r)
}

func TestEventFDAsync(t *testing.T) {
	r := newRing(t, Params{Entries: 8})
	fd := eventFD(t)
	signals := func() uint64 {
		var b [8]byte
		if n, _ := unix.Read(int(fd), b[:]); n != 8 {
			return 0
		}
		return uint64(b[0])
	}
	ok(t, r.RegisterEventFDAsync(int(fd)))
	fails(t, r.RegisterEventFD(int(fd)), syscall.EBUSY)
	want(t, r, 0, func(s *SQE) { s.PrepNop(1) })
	if n := signals(); n != 0 {
		t.Errorf("%d signals for a request that completed at once", n)
	}
	want(t, r, 0, func(s *SQE) { s.PrepFsync(tempFile(t, "x"), 0, 1) })
	for end := time.Now().Add(30 * time.Second); signals() != 1; {
		if time.Now().After(end) {
			t.Fatal("no signal for one that a worker completed")
		}
	}
	ok(t, r.UnregisterEventFD())
	ok(t, r.RegisterEventFD(int(fd)))
	for i, on := range []bool{false, true} {
		if !r.SetEventFDEnabled(on) {
			t.Fatal("cannot turn it off and on")
		}
		want(t, r, 0, func(s *SQE) { s.PrepNop(1) })
		if n := signals(); n != uint64(i) {
			t.Errorf("enabled %v: %d signals", on, n)
		}
	}
}

func TestRestrictions(t *testing.T) {
	r := newRing(t, Params{Entries: 8, Flags: SetupRDisabled})
	ok(t, r.RegisterRestrictions(AllowOp(OpNop), AllowOp(OpRead), AllowSQEFlags(SQEIOLink|SQEFixedFile),
		RequireSQEFlags(SQEFixedFile), AllowEnable(), AllowProbe(), AllowRegisterFiles()))
	if err := r.RegisterRestrictions(AllowOp(OpNop)); !errors.Is(err, syscall.EBUSY) && !errors.Is(err, syscall.EACCES) {
		t.Errorf("second: %v", err)
	}
	ok(t, r.RegisterFiles([]int32{tempFile(t, "abc")}))
	ok(t, r.Enable())
	b := make([]byte, 8)
	want(t, r, 3, func(s *SQE) { s.PrepRead(0, b, 0, 1); s.SetFlags(SQEFixedFile) })
	want(t, r, syscall.EACCES, func(s *SQE) { s.PrepRead(0, b, 0, 1) })
	want(t, r, syscall.EACCES, func(s *SQE) { s.PrepWrite(0, b, 0, 1); s.SetFlags(SQEFixedFile) })
	want(t, r, syscall.EACCES, func(s *SQE) { s.PrepRead(0, b, 0, 1); s.SetFlags(SQEFixedFile | SQEAsync) })
	_, err := r.Probe()
	ok(t, err)
	fails(t, r.UnregisterFiles(), syscall.EACCES)
	fails(t, r.RegisterBuffers(iovecs(b)), syscall.EACCES)

	enabled := newRing(t, Params{Entries: 8})
	fails(t, enabled.RegisterRestrictions(AllowOp(OpNop)), syscall.EBADFD)
	fails(t, enabled.Enable(), syscall.EBADFD)
	both := newRing(t, Params{Entries: 8, Flags: SetupRDisabled})
	ok(t, both.RegisterRestrictions(AllowRegisterBuffers(), AllowEnable(), AllowRegister(uint8(registerEventFD))))
	ok(t, both.Enable())
	ok(t, both.RegisterBuffers(iovecs(b)))
	ok(t, both.RegisterEventFD(int(eventFD(t))))
	fails(t, both.UnregisterEventFD(), syscall.EACCES)
}

func TestWorkers(t *testing.T) {
	r := newRing(t, Params{Entries: 8})
	bounded, unbounded, err := r.RegisterIOWQMaxWorkers(0, 0)
	if err != nil || bounded == 0 || unbounded == 0 {
		t.Fatal(bounded, unbounded, err)
	}
	_, _, err = r.RegisterIOWQMaxWorkers(3, 2)
	ok(t, err)
	b, u, err := r.RegisterIOWQMaxWorkers(bounded, unbounded)
	if b != 3 || u != 2 || err != nil {
		t.Errorf("limits %d, %d, %v", b, u, err)
	}
	var cpus unix.CPUSet
	cpus.Set(0)
	ok(t, r.RegisterIOWQAffinity(&cpus))
	want(t, r, 0, func(s *SQE) { s.PrepNop(1); s.SetFlags(SQEAsync) })
	ok(t, r.UnregisterIOWQAffinity())
}

func TestSyncCancel(t *testing.T) {
	eachMode(t, Params{Entries: 8}, func(t *testing.T, r *Ring) {
		fd := eventFD(t)
		arm := func() {
			for ud := range UserData(3) {
				r.NextSQE().PrepPollAdd(fd, unix.POLLIN, 1+ud)
			}
			_, err := r.Submit()
			ok(t, err)
		}
		_, err := r.SyncCancel(SyncCancel{Target: 1})
		fails(t, err, syscall.ENOENT)
		arm()
		n, err := r.SyncCancel(SyncCancel{Target: 2, Timeout: time.Second})
		if n != 0 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		expect(t, byUD(t, r, 1), map[UserData]int32{2: eCanceled})
		n, err = r.SyncCancel(SyncCancel{FD: fd, Flags: CancelFD | CancelAll})
		if n != 2 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		expect(t, byUD(t, r, 2), map[UserData]int32{1: eCanceled, 3: eCanceled})
		arm()
		flags, op := CancelAny, Op(0)
		if testenv.HaveKernel(t, "6.6") {
			flags, op = CancelAll|CancelOp, OpPollAdd
		}
		if n, err = r.SyncCancel(SyncCancel{Op: op, Flags: flags}); n != 3 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		reap(t, r, 3)
	})
}

func TestNAPI(t *testing.T) {
	testenv.NeedKernel(t, "6.9")
	r := newRing(t, Params{Entries: 8})
	set := NAPI{BusyPoll: 20 * time.Microsecond, PreferBusyPoll: true}
	if old, err := r.RegisterNAPI(set); err != nil || old != (NAPI{}) {
		t.Fatal(old, err)
	}
	if _, err := unbroken(func() (int, error) { return r.SubmitAndWait(1, time.Millisecond) }); !errors.Is(err, unix.ETIME) {
		t.Error(err)
	}
	if old, err := r.UnregisterNAPI(); err != nil || old != set {
		t.Error(old, err)
	}
	testenv.NeedKernel(t, "6.13")
	const id = 1 << 20 // of no device, which the kernel does not mind
	fails(t, r.AddNAPI(id), syscall.EINVAL)
	set.Static = true
	if _, err := r.RegisterNAPI(set); err != nil {
		t.Fatal(err)
	}
	ok(t, r.AddNAPI(id))
	fails(t, r.AddNAPI(id), syscall.EEXIST)
	ok(t, r.RemoveNAPI(id))
	fails(t, r.RemoveNAPI(id), syscall.ENOENT)
	if old, err := r.RegisterNAPI(NAPI{}); err != nil || old != set {
		t.Error(old, err)
	}
}

// Queues grow and shrink with what they hold, wherever it lies.
func TestResizeRings(t *testing.T) {
	testenv.NeedKernel(t, "6.13")
	loses := !testenv.HaveKernel(t, "6.18.44") || testenv.HaveKernel(t, "6.19") && !testenv.HaveKernel(t, "7.0")
	for _, more := range []SetupFlags{0, SetupSQE128 | SetupCQE32} {
		t.Run(fmt.Sprint(more), func(t *testing.T) {
			r := newRing(t, Params{Entries: 4, Flags: engineFlags | more})
			var next, seen UserData
			for i, size := range [][2]uint32{{16, 64}, {4, 8}, {2, 0}, {32, 32}, {4, 4}} {
				for range 3 * (1 + i%2) { // some are in the completion queue
					r.NextSQE().PrepNop(next)
					next++
					if _, err := r.SubmitAndGet(); err != nil {
						t.Fatal(err)
					}
				}
				if next-seen <= 3 {
					r.NextSQE().PrepNop(next) // and one in the other
					next++
				}
				ok(t, r.ResizeRings(size[0], size[1]))
				if cq := max(size[1], 2*size[0]*(1-min(size[1], 1))); r.SQEntries() != size[0] || r.CQEntries() != cq || r.Info().CQEntries != cq {
					t.Fatalf("sizes %d, %d; want %d, %d", r.SQEntries(), r.CQEntries(), size[0], cq)
				}
				for _, c := range reap(t, r, int(next-seen)) {
					if c.UserData != seen && more != 0 && loses {
						t.Skip("this kernel loses entries that are large, see ResizeRings")
					} else if c.UserData != seen {
						t.Fatalf("flags %v, size %v: got %d, want %d", more, size, c.UserData, seen)
					}
					seen++
				}
			}
			nops(t, r, 100)
			for i := range UserData(4) {
				r.NextSQE().PrepNop(i)
			}
			if _, err := r.SubmitAndGet(); err != nil {
				t.Fatal(err)
			}
			fails(t, r.ResizeRings(1, 2), syscall.EOVERFLOW)
			fails(t, r.ResizeRings(0, 2), syscall.EINVAL)
			reap(t, r, 4)
		})
	}
	fails(t, newRing(t, Params{Entries: 4, Flags: SetupNoSQArray}).ResizeRings(8, 0), syscall.EINVAL)
	p := Params{Entries: 4, Flags: SetupNoMmap}
	p.Memory = anonymous(t, p.MemoryBytes())
	if err := newRing(t, p).ResizeRings(8, 0); err == nil || !strings.Contains(err.Error(), "NO_MMAP") {
		t.Errorf("got %v", err)
	}
	if err := newRing(t, Params{Entries: 4}).ResizeRings(8, 0); err == nil || !strings.Contains(err.Error(), "NO_SQARRAY") {
		t.Errorf("got %v", err)
	}
}

func TestRegions(t *testing.T) {
	testenv.NeedKernel(t, "6.13")
	r := newRing(t, Params{Entries: 4})
	ok(t, r.RegisterRegion(anonymous(t, 8192)))
	fails(t, r.RegisterRegion(anonymous(t, 8192)), syscall.EBUSY)
	testenv.NeedKernel(t, "6.14")
	k := newRing(t, Params{Entries: 4})
	mem, err := k.MapRegion(os.Getpagesize())
	ok(t, err)
	mem[0] = 1
	ok(t, unix.Munmap(mem))
}

func TestBufRingMapped(t *testing.T) {
	testenv.NeedKernel(t, "6.8")
	r := newRing(t, Params{Entries: 8})
	mem, err := r.MapBufRing(4, 3, 0)
	ok(t, err)
	buf := anonymous(t, 4096)
	put := func(tail uint16, i int, addr []byte, bid uint16) {
		d := (*struct {
			addr      uint64
			len       uint32
			bid, resv uint16
		})(unsafe.Pointer(&mem[16*i]))
		d.addr, d.len, d.bid = uint64(uintptr(unsafe.Pointer(&addr[0]))), uint32(len(addr)), bid
		*(*uint16)(unsafe.Pointer(&mem[14])) = tail // the system call orders it
	}
	put(1, 0, buf[:100], 9)
	head := func(want uint16) {
		t.Helper()
		if h, err := r.BufRingHead(3); h != want || err != nil {
			t.Errorf("head %d, %v; want %d", h, err, want)
		}
	}
	head(0)
	fd := tempFile(t, "0123456789")
	c := do(t, r, func(s *SQE) { s.PrepRead(fd, nil, 0, 1); s.Len = 100; s.SetBufferGroup(3) })
	if bid, ok := c.Buffer(); c.Res != 10 || !ok || bid != 9 || string(buf[:10]) != "0123456789" {
		t.Errorf("got %+v: %v, %q", c, c.Err(), buf[:10])
	}
	head(1)
	ok(t, r.UnregisterBufRing(3))
	ok(t, unix.Munmap(mem))
	_, err = r.BufRingHead(3)
	fails(t, err, syscall.ENOENT)
}

// One buffer serves several receives.
func TestBufRingInc(t *testing.T) {
	testenv.NeedKernel(t, "6.12")
	r := newRing(t, Params{Entries: 8})
	ringMem, buf := anonymous(t, 4096), anonymous(t, 4096)
	ok(t, r.RegisterBufRingFlags(unsafe.Pointer(&ringMem[0]), 4, 3, BufRingInc))
	d := (*[2]uint64)(unsafe.Pointer(&ringMem[0]))
	d[0], d[1] = uint64(uintptr(unsafe.Pointer(&buf[0]))), 12|5<<32|1<<48 // len, bid, and the tail
	a, b := socketPair(t)
	at := 0
	for i, msg := range []string{"four", "more", "last"} {
		unix.Write(int(a), []byte(msg))
		c := do(t, r, func(s *SQE) { s.PrepRecv(b, nil, 0, 1); s.SetBufferGroup(3) })
		if bid, ok := c.Buffer(); c.Res != 4 || !ok || bid != 5 || c.BufMore() != (i < 2) {
			t.Fatalf("receive %d: %+v: %v", i, c, c.Err())
		}
		if got := string(buf[at : at+4]); got != msg {
			t.Errorf("got %q", got)
		}
		at += 4
	}
	ok(t, r.UnregisterBufRing(3))
}

func TestDisabledUntilEnabled(t *testing.T) {
	r := newRing(t, Params{Entries: 4, Flags: SetupRDisabled | SetupSingleIssuer | SetupDeferTaskrun})
	r.NextSQE().PrepNop(1)
	if _, err := r.Submit(); !errors.Is(err, syscall.EBADFD) {
		t.Errorf("submit: %v, want EBADFD", err)
	}
	if err := r.Enable(); err != nil {
		t.Fatal(err)
	}
	if c := reap(t, r, 1)[0]; c.UserData != 1 || c.Res != 0 {
		t.Errorf("got %+v", c)
	}
}

func TestEventFD(t *testing.T) {
	r := newRing(t, Params{Entries: 4})
	fd := eventFD(t)
	if err := r.RegisterEventFD(int(fd)); err != nil {
		t.Fatal(err)
	}
	r.NextSQE().PrepNop(1)
	reap(t, r, 1)
	var b [8]byte
	if _, err := unix.Read(int(fd), b[:]); err != nil || b[0] != 1 {
		t.Errorf("read % x, %v", b, err)
	}
	if err := r.UnregisterEventFD(); err != nil {
		t.Fatal(err)
	}
	if err := r.UnregisterEventFD(); !errors.Is(err, syscall.ENXIO) {
		t.Errorf("second: %v", err)
	}
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

// The index of a ring is its thread's: on another thread it may name another ring.
func TestRegisteredRingFDOfAnotherThread(t *testing.T) {
	for _, flags := range []SetupFlags{0, SetupNoMmap | SetupRegisteredFDOnly} {
		if flags != 0 {
			testenv.NeedKernel(t, "6.5")
		}
		params := func() Params {
			p := Params{Entries: 4, Flags: flags}
			if flags != 0 {
				p.Memory = anonymous(t, p.MemoryBytes())
			}
			return p
		}
		own, p := newRing(t, params()), params()
		if err := own.RegisterRingFD(); err != nil {
			t.Fatal(err)
		}
		made, closed := make(chan *Ring), make(chan struct{})
		var thread sync.WaitGroup
		thread.Go(func() {
			runtime.LockOSThread() // and never unlocked: the registration ends with the thread
			r, err := New(&p)
			if err == nil {
				err = r.RegisterRingFD()
			}
			if err != nil {
				t.Error(err)
			}
			made <- r
			<-closed
		})
		other := <-made
		if own.enterFD != other.enterFD {
			t.Errorf("indexes %d and %d: this test needs the same", own.enterFD, other.enterFD)
		}
		if err := other.UnregisterRingFD(); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("UnregisterRingFD: %v", err)
		}
		if err := other.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		nops(t, own, 4)
		if err := own.Close(); err != nil {
			t.Error(err)
		}
		close(closed)
		thread.Wait()
	}
}
