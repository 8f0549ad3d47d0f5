//go:build linux

package ring

import (
	"errors"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/internal/testenv"
)

func TestNewRefuses(t *testing.T) {
	tests := []struct {
		p    Params
		want string
	}{
		{Params{}, "Entries is 0"},
		{Params{Entries: 32769}, "Entries is over 32768"},
		{Params{Entries: 8, CQEntries: 65537}, "CQEntries is over 65536"},
		{Params{Entries: 9, CQEntries: 8}, "CQEntries is less than Entries"},
		{Params{Entries: 8, Flags: SetupCQSize}, "CQSIZE needs CQEntries"},
		{Params{Entries: 8, Flags: SetupDeferTaskrun}, "DEFER_TASKRUN needs SINGLE_ISSUER"},
		{Params{Entries: 8, Flags: SetupSQPoll | SetupCoopTaskrun}, "SQPOLL excludes"},
		{Params{Entries: 8, Flags: SetupSQPoll | SetupDeferTaskrun | SetupSingleIssuer}, "SQPOLL excludes"},
		{Params{Entries: 8, Flags: SetupTaskrunFlag}, "TASKRUN_FLAG needs"},
		{Params{Entries: 8, Flags: SetupHybridIOPoll}, "HYBRID_IOPOLL needs"},
		{Params{Entries: 8, Flags: SetupSQAff}, "SQ_AFF needs SQPOLL"},
		{Params{Entries: 8, Flags: SetupCQE32 | SetupCQEMixed}, "CQE32 excludes"},
		{Params{Entries: 8, Flags: SetupRegisteredFDOnly}, "REGISTERED_FD_ONLY needs NO_MMAP"},
		{Params{Entries: 8, Flags: SetupNoMmap}, "NO_MMAP needs Memory of 8192 bytes"},
		{Params{Entries: 8, Flags: SetupNoMmap, Memory: make([]byte, 8191)}, "NO_MMAP needs Memory"},
		{Params{Entries: 8, Memory: make([]byte, 8192)}, "Memory needs NO_MMAP"},
		{Params{Entries: 8, SQThreadIdle: 1}, "SQThreadIdle needs SQPOLL"},
		{Params{Entries: 8, Flags: SetupSQPoll, SQThreadIdle: -1}, "SQThreadIdle is negative"},
		{Params{Entries: 8, Flags: SetupSQPoll, SQThreadCPU: 1}, "SQThreadCPU needs SQ_AFF"},
		{Params{Entries: 8, AttachFD: 3}, "AttachFD needs ATTACH_WQ"},
		{Params{Entries: 8, Flags: 1 << 31}, "unknown flags in 0x80000000"},
	}
	for _, tt := range tests {
		r, err := New(&tt.p)
		if r != nil || !errors.Is(err, syscall.EINVAL) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %q", tt.p, err, tt.want)
		}
	}
}

// What check refuses, the kernel refuses; what it lets by, the kernel takes.
func TestNewSizes(t *testing.T) {
	tests := []struct {
		p      Params
		sq, cq uint32
	}{
		{Params{Entries: 1}, 1, 2},
		{Params{Entries: 1, CQEntries: 1}, 1, 1},
		{Params{Entries: 5}, 8, 16},
		{Params{Entries: 5, CQEntries: 6}, 8, 8},
		{Params{Entries: 8, CQEntries: 100}, 8, 128},
		{Params{Entries: 40000, Flags: SetupClamp}, 32768, 65536},
		{Params{Entries: 8, CQEntries: 100000, Flags: SetupClamp}, 8, 65536},
	}
	for _, tt := range tests {
		r := newRing(t, tt.p)
		if r.SQEntries() != tt.sq || r.CQEntries() != tt.cq {
			t.Errorf("%+v: %d, %d; want %d, %d", tt.p, r.SQEntries(), r.CQEntries(), tt.sq, tt.cq)
		}
		if tt.p.CQEntries != 0 && r.Flags()&SetupCQSize == 0 {
			t.Errorf("%+v: CQSIZE not implied", tt.p)
		}
		r.Close()
	}
}

func TestNewMetadata(t *testing.T) {
	r := newRing(t, Params{Entries: 4, Flags: SetupSingleIssuer | SetupDeferTaskrun})
	const want = FeatSingleMmap | FeatNodrop | FeatExtArg | FeatFastPoll | FeatCQESkip
	if r.Features()&want != want {
		t.Errorf("features %v lack some of %v", r.Features(), want)
	}
	if want := SetupSingleIssuer | SetupDeferTaskrun; r.Flags()&want != want {
		t.Errorf("flags %v", r.Flags())
	}
	flags, err := unix.FcntlInt(uintptr(r.FD()), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("not close-on-exec: %#x, %v", flags, err)
	}
	t.Logf("features %v", r.Features())
}

func TestClose(t *testing.T) {
	before := mapsOf(t, "[io_uring]")
	for range 20 {
		r := newRing(t, Params{Entries: 4})
		if err := r.RegisterRingFD(); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if r.FD() != -1 {
			t.Errorf("FD = %d", r.FD())
		}
	}
	if after := mapsOf(t, "[io_uring]"); after != before {
		t.Errorf("%d mappings, %d before", after, before)
	}
}

// Mappings are not inherited by fork.
func TestDontfork(t *testing.T) {
	newRing(t, Params{Entries: 4})
	b, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, m := range strings.Split(string(b), "[io_uring]")[1:] {
		_, flags, _ := strings.Cut(m, "VmFlags:")
		flags, _, _ = strings.Cut(flags, "\n")
		if n++; !strings.Contains(flags+" ", " dc ") {
			t.Errorf("mapping %d: flags%s", n, flags)
		}
	}
	if n == 0 {
		t.Error("no mappings")
	}
}

func TestUseAfterClose(t *testing.T) {
	r := newRing(t, Params{Entries: 4})
	r.Close()
	if err := r.UnregisterBufRing(0); !errors.Is(err, syscall.EBADF) {
		t.Errorf("register: %v", err)
	}
	defer func() {
		if recover() == nil {
			t.Error("NextSQE did not panic")
		}
	}()
	r.NextSQE()
}

func mapsOf(t *testing.T, name string) int {
	b, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(b), name)
}

func TestSetupNoSpace(t *testing.T) {
	testenv.NeedKernel(t, "6.1")
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 0, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	_, err := New(&Params{Entries: 4})
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	var re *Error
	if !errors.As(err, &re) || re.Errno != syscall.EMFILE || re.Op != "io_uring_setup" || !strings.Contains(re.Hint, "RLIMIT_NOFILE") {
		t.Errorf("got %v", err)
	}
}

// Only the issuer's thread may enter or register.
func TestSingleIssuer(t *testing.T) {
	r := newRing(t, Params{Entries: 4, Flags: SetupSingleIssuer | SetupDeferTaskrun})
	done := make(chan [2]error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends
		_, err := r.SubmitAndGet()
		done <- [2]error{err, r.RegisterEventFD(0)}
	}()
	for _, err := range <-done {
		var re *Error
		if !errors.As(err, &re) || re.Errno != syscall.EEXIST || !strings.Contains(re.Hint, "thread") {
			t.Errorf("got %v, want EEXIST", err)
		}
	}
}

// The kernel's thread takes what Submit only publishes.
func TestSQPoll(t *testing.T) {
	r := newRing(t, Params{Entries: 8, Flags: SetupSQPoll})
	for i := range UserData(40) {
		s := r.NextSQE()
		for s == nil { // the kernel's thread has not come by
			if _, err := r.Submit(); err != nil {
				t.Fatal(err)
			}
			runtime.Gosched()
			s = r.NextSQE()
		}
		s.PrepNop(i)
	}
	for i, c := range reap(t, r, 40) {
		if c.UserData != UserData(i) {
			t.Errorf("completion %d is %d's", i, c.UserData)
		}
	}
}
