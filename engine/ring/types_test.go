//go:build linux

package ring

import (
	"errors"
	"strings"
	"syscall"
	"testing"
)

func TestUserData(t *testing.T) {
	tests := []struct {
		kind      Kind
		gen, slot uint32
		want      UserData
		wantGen   uint32
	}{
		{0, 0, 0, 0, 0},
		{1, 2, 3, 0x01_000002_00000003, 2},
		{255, 1<<24 - 1, 1<<32 - 1, 1<<64 - 1, 1<<24 - 1},
		{7, 1<<24 + 5, 9, 0x07_000005_00000009, 5},
		{0, 1 << 31, 0, 0, 0},
	}
	for _, tt := range tests {
		u := NewUserData(tt.kind, tt.gen, tt.slot)
		if u != tt.want || u.Kind() != tt.kind || u.Gen() != tt.wantGen || u.Slot() != tt.slot {
			t.Errorf("NewUserData(%d, %#x, %#x) = %#x: kind %d, gen %#x, slot %#x",
				tt.kind, tt.gen, tt.slot, uint64(u), u.Kind(), u.Gen(), u.Slot())
		}
	}
}

func TestStrings(t *testing.T) {
	tests := []struct{ got, want string }{
		{SetupFlags(0).String(), "0"},
		{(SetupSingleIssuer | SetupDeferTaskrun).String(), "SINGLE_ISSUER|DEFER_TASKRUN"},
		{(SetupClamp | 1<<30).String(), "CLAMP|0x40000000"},
		{FeatNoIowait.String(), "NO_IOWAIT"},
		{(SQEIOLink | SQECQESkipSuccess).String(), "IO_LINK|CQE_SKIP_SUCCESS"},
		{(CQEMore | CQEBuffer | 77<<cqeBufferShift).String(), "BUFFER|MORE:77"},
		{(CancelAll | CancelFD).String(), "ALL|FD"},
		{OpSend.String(), "SEND"},
		{OpUringCmd128.String(), "URING_CMD128"},
		{Op(200).String(), "OP(200)"},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
}

func TestCQE(t *testing.T) {
	c := CQE{Res: -int32(syscall.ENOBUFS), Flags: CQEBuffer | CQEMore | CQESockNonEmpty | 65535<<16}
	if bid, ok := c.Buffer(); bid != 65535 || !ok || !c.More() || !c.SockNonEmpty() || c.Notif() {
		t.Errorf("flags %v misread", c.Flags)
	}
	if err := c.Err(); err != syscall.ENOBUFS {
		t.Errorf("Err = %v, want ENOBUFS", err)
	}
	c = CQE{Res: 12}
	if _, ok := c.Buffer(); ok || c.More() || c.Err() != nil {
		t.Errorf("plain result misread")
	}
	if c = (CQE{Res: -1 << 31, Flags: CQENotif}); c.Err() != nil || !c.Notif() {
		t.Errorf("a notification's usage is not an error: %v", c.Err())
	}
}

func TestErrors(t *testing.T) {
	tests := []struct {
		op    string
		errno syscall.Errno
		hint  string
	}{
		{opSetup, syscall.EPERM, "denied|sysctl"},
		{opSetup, syscall.ENOSYS, "seccomp"},
		{opSetup, syscall.ENOMEM, "RLIMIT_MEMLOCK"},
		{opMmap, syscall.ENOMEM, "RLIMIT_MEMLOCK"},
		{opSetup, syscall.EMFILE, "RLIMIT_NOFILE"},
		{opSetup, syscall.ENFILE, "file-max"},
		{opSetup, syscall.EINVAL, "flags"},
		{opSetup, syscall.EFAULT, "parameters"},
		{opSetup, syscall.ENXIO, "AttachFD"},
		{opEnter, syscall.EEXIST, "thread"},
		{opEnter, syscall.EBADR, "lost"},
		{opEnter, syscall.EBUSY, "overcommitted"},
		{opEnter, syscall.EAGAIN, "memory"},
		{opEnter, syscall.EBADFD, "enabled"},
		{opEnter, syscall.ENXIO, "shutting down"},
		{opEnter, syscall.EFAULT, "memory"},
		{opEnter, syscall.EINVAL, "too old"},
		{opEnter, syscall.EBADF, "closed"},
		{opEnter, syscall.EOPNOTSUPP, "not a ring"},
		{opEnter, syscall.EINTR, "signal"},
		{opEnter, syscall.EOWNERDEAD, "died"},
		{opRegister, syscall.EPERM, "capability"},
		{opRegister, syscall.EACCES, "restriction"},
		{opRegister, syscall.EINVAL, "argument"},
		{opRegister, syscall.EFAULT, "buffer"},
		{opRegister, syscall.EBUSY, "already"},
		{opRegister, syscall.EEXIST, "already"},
		{opRegister, syscall.ENXIO, "nothing registered"},
		{opRegister, syscall.ENOENT, "none"},
		{opRegister, syscall.EBADF, "not open"},
		{opRegister, syscall.EBADFD, "enabled"},
		{opRegister, syscall.EOVERFLOW, "too large"},
		{opRegister, syscall.ETIME, "in time"},
		{opRegister, syscall.ENOMEM, "RLIMIT_MEMLOCK"},
		{opRegister, syscall.EMFILE, "RLIMIT_NOFILE"},
	}
	for _, tt := range tests {
		var err error = newError(tt.op, tt.errno)
		found := false
		for word := range strings.SplitSeq(tt.hint, "|") {
			found = found || strings.Contains(err.Error(), word)
		}
		if !found || !strings.HasPrefix(err.Error(), tt.op+": ") || !errors.Is(err, tt.errno) {
			t.Errorf("%s %v: %q does not mention %s", tt.op, tt.errno, err, tt.hint)
		}
	}
	for errno, want := range map[syscall.Errno]string{
		syscall.EBUSY: "io_uring_register: device or resource busy (REGISTER_FILES: already registered)",
		syscall.ESRCH: "io_uring_register: no such process (REGISTER_FILES)",
	} {
		if err := registerError(registerFiles|registerUseRegisteredRing, errno); err.Error() != want {
			t.Errorf("got %q, want %q", err, want)
		}
	}
	if err := newError(opEnter, syscall.ESRCH); err.Error() != "io_uring_enter: no such process" {
		t.Errorf("got %q", err)
	}
}

// The expected errors of a running ring cost nothing.
func TestEnteredAllocs(t *testing.T) {
	for _, errno := range []syscall.Errno{0, syscall.ETIME, syscall.EINTR, syscall.EBUSY, syscall.EAGAIN} {
		var err error
		if n := testing.AllocsPerRun(100, func() { _, err = entered(3, errno) }); n != 0 {
			t.Errorf("%v: %v allocations", errno, n)
		}
		if re, ok := err.(*Error); errno != 0 && (!ok || re.Op != opEnter || !errors.Is(err, errno)) {
			t.Errorf("got %#v, want an Error of %v", err, errno)
		}
	}
}

func TestDisabledHint(t *testing.T) {
	for sysctl, word := range map[string]string{"0": "seccomp", "": "seccomp", "1": "io_uring_group", "2": "turns io_uring off"} {
		if h := disabledHint(sysctl); !strings.Contains(h, word) {
			t.Errorf("sysctl %q: %q", sysctl, h)
		}
	}
}

func TestParseRelease(t *testing.T) {
	tests := []struct {
		in           string
		major, minor int
		ok           bool
	}{
		{"6.18.0", 6, 18, true},
		{"6.1.0-rc3+", 6, 1, true},
		{"5.15.167.4-microsoft-standard-WSL2", 5, 15, true},
		{"6.8-generic", 6, 8, true},
		{"", 0, 0, false},
		{"six", 0, 0, false},
	}
	for _, tt := range tests {
		major, minor, err := parseRelease(tt.in)
		if major != tt.major || minor != tt.minor || (err == nil) != tt.ok {
			t.Errorf("parseRelease(%q) = %d, %d, %v", tt.in, major, minor, err)
		}
	}
	if _, _, err := KernelVersion(); err != nil {
		t.Error(err)
	}
}
