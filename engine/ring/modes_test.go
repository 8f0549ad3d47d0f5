//go:build linux

package ring

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/internal/testenv"
)

// anonymous maps n bytes until the test ends.
func anonymous(t testing.TB, n int) []byte {
	t.Helper()
	mem, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(mem) })
	return mem
}

// nops submits n nops with user data from 0 on, in rounds that fit, and
// compares what comes back.
func nops(t testing.TB, r *Ring, n int) {
	t.Helper()
	for done := 0; done < n; {
		batch := min(n-done, int(r.SQSpace()))
		for i := range batch {
			r.NextSQE().PrepNop(UserData(done + i))
		}
		for i, c := range reap(t, r, batch) {
			if c.UserData != UserData(done+i) || c.Res != 0 {
				t.Fatalf("completion %d: %+v", done+i, c)
			}
		}
		done += batch
	}
}

// Every setup that the kernel has carries requests, more than its queues hold.
func TestSetupFlags(t *testing.T) {
	tests := []struct {
		name, kernel string
		p            Params
	}{
		{"CLAMP", "5.6", Params{Entries: 1 << 20, Flags: SetupClamp}},
		{"CQSIZE", "5.5", Params{Entries: 4, CQEntries: 64}},
		{"SUBMIT_ALL", "5.18", Params{Entries: 4, Flags: SetupSubmitAll}},
		{"COOP_TASKRUN", "5.19", Params{Entries: 4, Flags: SetupCoopTaskrun}},
		{"TASKRUN_FLAG", "5.19", Params{Entries: 4, Flags: SetupCoopTaskrun | SetupTaskrunFlag}},
		{"SQE128", "5.19", Params{Entries: 4, Flags: SetupSQE128}},
		{"CQE32", "5.19", Params{Entries: 4, Flags: SetupCQE32}},
		{"SQE128 CQE32", "5.19", Params{Entries: 4, Flags: SetupSQE128 | SetupCQE32}},
		{"SINGLE_ISSUER", "6.0", Params{Entries: 4, Flags: SetupSingleIssuer}},
		{"DEFER_TASKRUN", "6.1", Params{Entries: 4, Flags: SetupSingleIssuer | SetupDeferTaskrun}},
		{"NO_SQARRAY", "6.6", Params{Entries: 4, Flags: SetupNoSQArray}},
		{"NO_SQARRAY SQE128", "6.6", Params{Entries: 4, Flags: SetupNoSQArray | SetupSQE128}},
		{"CQE_MIXED", "6.18", Params{Entries: 4, Flags: SetupCQEMixed}},
		{"SQPOLL", "5.11", Params{Entries: 4, Flags: SetupSQPoll}},
		{"SQPOLL idle", "5.11", Params{Entries: 4, Flags: SetupSQPoll, SQThreadIdle: time.Nanosecond}},
		{"SQ_AFF", "5.11", Params{Entries: 4, Flags: SetupSQPoll | SetupSQAff}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			testenv.NeedKernel(t, tt.kernel)
			r := newRing(t, tt.p)
			nops(t, r, 3*int(min(r.CQEntries(), 64))+1)
			i := r.Info()
			if i.SQEntries != r.SQEntries() || i.CQEntries != r.CQEntries() || i.Flags != r.Flags() ||
				i.Flags&tt.p.Flags != tt.p.Flags || i.Features != r.Features() {
				t.Errorf("Info = %v", i)
			}
			if r.SQDropped() != 0 || r.CQOverflowCount() != 0 {
				t.Errorf("dropped %d, overflowed %d", r.SQDropped(), r.CQOverflowCount())
			}
		})
	}
}

// A kernel without features gets what it can do, and says what it cannot.
func TestOldKernel(t *testing.T) {
	before := mapsOf(t, "[io_uring]")
	r := newRing(t, Params{Entries: 4, CQEntries: 64, ignore: FeatSingleMmap | FeatExtArg | FeatMinTimeout | FeatNoIowait})
	if n := mapsOf(t, "[io_uring]") - before; n < 1 || len(r.maps) != 3 {
		t.Errorf("%d mappings, %d in the process", len(r.maps), n)
	}
	nops(t, newRing(t, Params{Entries: 4, CQEntries: 64, ignore: FeatSingleMmap | FeatNoIowait}), 300)
	r.NextSQE().PrepNop(1)
	if n, err := r.SubmitAndWait(1, -1); n != 1 || err != nil {
		t.Errorf("without a timeout: %d, %v", n, err)
	}
	for _, o := range []WaitOptions{{N: 1}, {N: 1, MinWait: 1}, {N: 1, Deadline: new(Timespec)}} {
		if _, err := r.SubmitAndWaitFor(&o); !errors.Is(err, syscall.ENOSYS) || !strings.Contains(err.Error(), "5.11") {
			t.Errorf("%+v: %v", o, err)
		}
	}
	if _, err := r.SubmitAndWait(1, 1); !errors.Is(err, syscall.ENOSYS) {
		t.Errorf("with a timeout: %v", err)
	}
	r = newRing(t, Params{Entries: 4, ignore: FeatMinTimeout})
	for _, o := range []WaitOptions{{N: 1, MinWait: 1}, {N: 1, Deadline: new(Timespec)}} {
		if _, err := r.SubmitAndWaitFor(&o); !errors.Is(err, syscall.ENOSYS) || !strings.Contains(err.Error(), "6.12") {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestInfoString(t *testing.T) {
	i := Info{SQEntries: 4, CQEntries: 8, Flags: SetupSQPoll | SetupSQAff, Features: FeatNodrop, SQThreadCPU: 1}
	if got, want := i.String(), "sq 4, cq 8, flags SQPOLL|SQ_AFF (idle 1s, CPU 1), features NODROP"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	i = Info{SQEntries: 4, CQEntries: 8}
	if got, want := i.String(), "sq 4, cq 8, flags 0, features 0"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSQAffBadCPU(t *testing.T) {
	testenv.NeedKernel(t, "5.11")
	_, err := New(&Params{Entries: 4, Flags: SetupSQPoll | SetupSQAff, SQThreadCPU: 4095})
	if !errors.Is(err, syscall.EINVAL) || !strings.Contains(err.Error(), "CPU") {
		t.Errorf("got %v", err)
	}
}

func TestAttachWQ(t *testing.T) {
	for _, flags := range []SetupFlags{0, SetupSQPoll} {
		a := newRing(t, Params{Entries: 4, Flags: flags})
		b := newRing(t, Params{Entries: 4, Flags: flags | SetupAttachWQ, AttachFD: a.FD()})
		nops(t, a, 20)
		nops(t, b, 20)
	}
	if _, err := New(&Params{Entries: 4, Flags: SetupAttachWQ, AttachFD: 1 << 20}); !errors.Is(err, syscall.ENXIO) || !strings.Contains(err.Error(), "AttachFD") {
		t.Errorf("attached to no file: %v", err)
	}
}

// Wide completions carry their extra half, at every place of the queue.
func TestCQE32(t *testing.T) {
	r := newRing(t, Params{Entries: 4, Flags: SetupCQE32})
	for i := range UserData(20) {
		r.NextSQE().PrepNop(i)
		if _, err := r.SubmitAndWait(1, time.Second); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			var c [2]CQE32
			if n := r.PeekCQE32s(c[:]); n != 1 || c[0].UserData != i || c[0].Extra != [2]uint64{} {
				t.Fatalf("%d completions, %+v", n, c[0])
			}
			continue
		}
		for c := range r.CQEs() {
			if x := r.Extra(c); c.UserData != i || x == nil || *x != [2]uint64{} {
				t.Fatalf("completion %+v, extra %v", c, x)
			}
		}
	}
	if p := newRing(t, Params{Entries: 4}); p.Extra(&CQE{}) != nil {
		t.Error("a plain ring has extra halves")
	}
}

// Narrow and wide completions in one queue, which wraps in all phases.
func TestCQEMixed(t *testing.T) {
	testenv.NeedKernel(t, "6.18")
	r := newRing(t, Params{Entries: 8, CQEntries: 8, Flags: SetupCQEMixed})
	var next, seen UserData
	wide := func(ud UserData) bool { return ud%3 == 0 }
	for round := range 100 {
		for range 1 + round%3 {
			if wide(next) {
				r.NextSQE().PrepNopFlags(0, NopCQE32, next)
			} else {
				r.NextSQE().PrepNop(next)
			}
			next++
		}
		if _, err := r.SubmitAndGet(); err != nil {
			t.Fatal(err)
		}
		check := func(c *CQE, isWide bool) {
			if c.UserData != seen || c.Res != 0 || isWide != wide(seen) || (c.Flags&CQE32Bytes != 0) != isWide {
				t.Fatalf("got %+v, wide %v; want %d", c, isWide, seen)
			}
			seen++
		}
		switch round % 3 {
		case 0:
			for c := range r.CQEs() {
				check(c, r.Extra(c) != nil)
			}
		case 1:
			for c := r.PeekCQE(); c != nil; c = r.PeekCQE() {
				check(c, r.Extra(c) != nil)
				r.SeenCQEs(1)
			}
		case 2:
			var c [16]CQE32
			for i := range r.PeekCQE32s(c[:]) {
				check(&c[i].CQE, c[i].Flags&CQE32Bytes != 0)
			}
		}
		if seen != next {
			t.Fatalf("round %d: %d of %d completions", round, seen, next)
		}
	}
}

// A command of 80 bytes arrives whole; nobody has one, which is what it says.
func TestSQE128(t *testing.T) {
	r := newRing(t, Params{Entries: 4, Flags: SetupSQE128})
	for range 10 {
		s := r.NextSQE128()
		if s.Ext != [64]byte{} {
			t.Fatalf("stale: % x", s.Ext)
		}
		s.PrepURingCmd(eventFD(t), 1, 7)
		s.Ext[63] = 1
		if c := reap(t, r, 1)[0]; c.UserData != 7 || c.Err() != syscall.EOPNOTSUPP {
			t.Fatalf("got %+v: %v", c, c.Err())
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("NextSQE128 on a narrow ring did not panic")
		}
	}()
	newRing(t, Params{Entries: 4}).NextSQE128()
}

func TestNoMmap(t *testing.T) {
	testenv.NeedKernel(t, "6.5")
	for _, flags := range []SetupFlags{SetupNoMmap, SetupNoMmap | SetupNoSQArray, SetupNoMmap | SetupCQE32 | SetupSQE128} {
		t.Run(flags.String(), func(t *testing.T) {
			if flags&SetupNoSQArray != 0 {
				testenv.NeedKernel(t, "6.6")
			}
			p := Params{Entries: 8, Flags: flags}
			p.Memory = anonymous(t, p.MemoryBytes())
			r := newRing(t, p)
			nops(t, r, 100)
			if len(r.maps) != 0 {
				t.Error("the ring mapped memory of its own")
			}
		})
	}
}

// One huge page holds queues that are larger than a small one.
func TestNoMmapHugePage(t *testing.T) {
	testenv.NeedKernel(t, "6.14") // before, only if the huge page is granted
	const huge = 2 << 20
	mem := anonymous(t, 2*huge)
	off := huge - int(uintptr(unsafe.Pointer(&mem[0]))%huge)
	mem = mem[off : off+huge]
	if err := unix.Madvise(mem, unix.MADV_HUGEPAGE); err != nil && err != unix.EINVAL { // not built in
		t.Fatal(err)
	}
	clear(mem)
	p := Params{Entries: 4096, Flags: SetupNoMmap, Memory: mem}
	if p.MemoryBytes() > huge {
		t.Fatalf("%d bytes", p.MemoryBytes())
	}
	nops(t, newRing(t, p), 20000)
}

func TestNoMmapNotAligned(t *testing.T) {
	p := Params{Entries: 8, Flags: SetupNoMmap}
	p.Memory = anonymous(t, p.MemoryBytes()+4096)[64:]
	if _, err := New(&p); err == nil || !strings.Contains(err.Error(), "aligned") {
		t.Errorf("got %v", err)
	}
	p.Memory = unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(anonymous(t, 1<<16)))), 1<<16)
	unix.Mprotect(p.Memory, unix.PROT_NONE)
	testenv.NeedKernel(t, "6.5")
	if _, err := New(&p); !errors.Is(err, syscall.EFAULT) || !strings.Contains(err.Error(), "Memory") {
		t.Errorf("memory without access: %v", err)
	}
}

// A ring without an fd works, registers, and leaves nothing behind.
func TestRegisteredFDOnly(t *testing.T) {
	testenv.NeedKernel(t, "6.5")
	before := len(ringFDs())
	for range 40 { // a thread has 16 places
		p := Params{Entries: 8, Flags: SetupNoMmap | SetupRegisteredFDOnly}
		p.Memory = anonymous(t, p.MemoryBytes())
		r := newRing(t, p)
		if r.FD() != -1 || len(ringFDs()) != before {
			t.Fatalf("FD = %d", r.FD())
		}
		nops(t, r, 20)
		if _, err := r.Probe(); err != nil {
			t.Fatal(err)
		}
		if _, err := unbroken(func() (int, error) { return r.SubmitAndWait(1, time.Millisecond) }); !errors.Is(err, unix.ETIME) {
			t.Fatal(err)
		}
		if err := r.UnregisterRingFD(); !errors.Is(err, syscall.EINVAL) {
			t.Fatalf("a ring without a name: %v", err)
		}
		for range 2 {
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.UnregisterFiles(); !errors.Is(err, syscall.EBADF) {
			t.Fatalf("after Close: %v", err)
		}
	}
}

// Polled reads of a file that is open for direct I/O. Where the device has no
// polling queues the kernel says so.
func TestIOPoll(t *testing.T) {
	for _, flags := range []SetupFlags{SetupIOPoll, SetupIOPoll | SetupHybridIOPoll} {
		t.Run(flags.String(), func(t *testing.T) {
			if flags&SetupHybridIOPoll != 0 {
				testenv.NeedKernel(t, "6.13")
			}
			name := filepath.Join(t.TempDir(), "f")
			want := bytes.Repeat([]byte("polled! "), 512)
			if err := os.WriteFile(name, want, 0o600); err != nil {
				t.Fatal(err)
			}
			fd, err := unix.Open(name, unix.O_RDONLY|unix.O_DIRECT|unix.O_CLOEXEC, 0)
			if err != nil {
				t.Skip("no direct I/O here:", err) // tmpfs before Linux 6.6
			}
			closeLater(t, fd)
			r := newRing(t, Params{Entries: 4, Flags: flags})
			buf := anonymous(t, 4096)
			r.NextSQE().PrepRead(int32(fd), buf, 0, 1)
			var c [1]CQE
			for end := time.Now().Add(30 * time.Second); r.PeekCQEs(c[:]) == 0; {
				if _, err := r.SubmitAndGet(); err != nil {
					t.Fatal(err)
				}
				if time.Now().After(end) {
					t.Fatal("no completion")
				}
			}
			if err := c[0].Err(); err != syscall.EOPNOTSUPP && (err != nil || !bytes.Equal(buf, want)) {
				t.Errorf("read %d: %v", c[0].Res, err)
			}
			t.Log(c[0].Res, c[0].Err())
		})
	}
}

// The kernel's thread sleeps after its idle time and wakes for the next entry.
func TestSQPollSleeps(t *testing.T) {
	r := newRing(t, Params{Entries: 4, Flags: SetupSQPoll, SQThreadIdle: time.Millisecond})
	for i := range UserData(5) {
		for end := time.Now().Add(30 * time.Second); !r.SQNeedWakeup(); runtime.Gosched() {
			if time.Now().After(end) {
				t.Fatal("the thread does not sleep")
			}
		}
		r.NextSQE().PrepNop(i)
		if c := reap(t, r, 1)[0]; c.UserData != i {
			t.Fatalf("got %+v", c)
		}
	}
}

// SQWait waits for room in a full queue, and wakes the thread for that.
func TestSQWait(t *testing.T) {
	r := newRing(t, Params{Entries: 4, CQEntries: 1024, Flags: SetupSQPoll, SQThreadIdle: time.Millisecond})
	if err := r.SQWait(); err != nil {
		t.Fatal(err)
	}
	for i := range UserData(500) {
		s := r.NextSQE()
		for ; s == nil; s = r.NextSQE() {
			if err := r.SQWait(); err != nil && !errors.Is(err, unix.EINTR) {
				t.Fatal(err)
			}
		}
		s.PrepNop(i)
	}
	for i, c := range reap(t, r, 500) {
		if c.UserData != UserData(i) {
			t.Fatalf("completion %d: %+v", i, c)
		}
	}
	if err := newRing(t, Params{Entries: 4}).SQWait(); err != nil {
		t.Error(err)
	}
}
