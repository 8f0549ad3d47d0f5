package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/quoit-go/quoit"
	"github.com/quoit-go/quoit/internal/environ"
)

func TestRunArguments(t *testing.T) {
	m := fakeMachine(quoit.Support{IOUring: true}, nil)
	tests := []struct {
		name           string
		args           []string
		code           int
		stdout, stderr string // parts that must be there; "" wants silence
	}{
		{"none", nil, exitUsage, "", "usage: quoit"},
		{"unknown", []string{"docter"}, exitUsage, "", `unknown command "docter"`},
		{"flag", []string{"-v"}, exitUsage, "", `unknown command "-v"`},
		{"extra", []string{"doctor", "now"}, exitUsage, "", `takes no arguments, got ["now"]`},
		{"extra version", []string{"version", "x"}, exitUsage, "", "usage: quoit"},
		{"help", []string{"help"}, exitOK, "usage: quoit", ""},
		{"-h", []string{"-h"}, exitOK, "usage: quoit", ""},
		{"version", []string{"version"}, exitOK, "quoit ", ""},
		{"doctor", []string{"doctor"}, exitOK, "io_uring is usable", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr strings.Builder
			if code := run(tt.args, m, &stdout, &stderr); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			check := func(stream, got, want string) {
				if want == "" && got != "" || !strings.Contains(got, want) {
					t.Errorf("%s = %q, want %q in it", stream, got, want)
				}
			}
			check("stdout", stdout.String(), tt.stdout)
			check("stderr", stderr.String(), tt.stderr)
		})
	}
}

// fakeMachine is a Linux machine with the given files under /proc.
func fakeMachine(s quoit.Support, startErr error, files ...string) machine {
	proc := fstest.MapFS{}
	for i := 0; i < len(files); i += 2 {
		proc[files[i]] = &fstest.MapFile{Data: []byte(files[i+1])}
	}
	return machine{
		probe: func() quoit.Support { return s },
		start: func() error { return startErr },
		goos:  "linux",
		arch:  "s390x",
		proc:  proc,
	}
}

const (
	sysctl  = "sys/kernel/io_uring_disabled"
	status  = "self/status"
	limits  = "self/limits"
	allowed = "Name:\tquoit\nSeccomp:\t0\nSeccomp_filters:\t0\n"
	blocked = "Name:\tquoit\nSeccomp:\t2\nSeccomp_filters:\t1\n"
	limited = "Limit                     Soft Limit           Hard Limit           Units\n" +
		"Max open files            1024                 4096                 files\n" +
		"Max locked memory         65536                65536                bytes\n"
)

func setupError(errno syscall.Errno) error {
	return &quoit.UnsupportedError{Feature: "io_uring", Err: os.NewSyscallError("io_uring_setup", errno)}
}

func TestDoctorDiagnosis(t *testing.T) {
	tests := []struct {
		name          string
		err           error
		goos          string
		files         []string
		cause, remedy string
	}{
		{"other system", errors.New("not Linux"), "darwin", nil,
			"this is darwin", "none needed"},
		{"sysctl 2", setupError(syscall.EPERM), "", []string{sysctl, "2\n", status, blocked},
			"kernel.io_uring_disabled is 2", "sysctl -w kernel.io_uring_disabled=0"},
		{"sysctl 1", setupError(syscall.EPERM), "", []string{sysctl, "1\n", status, allowed},
			"kernel.io_uring_disabled is 1", "kernel.io_uring_group"},
		{"sysctl 1, as root", setupError(syscall.ENOMEM), "", []string{sysctl, "1\n", limits, limited},
			"RLIMIT_MEMLOCK is 65536\n", "LimitMEMLOCK="},
		{"seccomp EPERM", setupError(syscall.EPERM), "", []string{sysctl, "0\n", status, blocked},
			"seccomp filter", "--security-opt seccomp=FILE"},
		{"seccomp ENOSYS", setupError(syscall.ENOSYS), "", []string{status, blocked},
			"seccomp filter", "seccompProfile"},
		{"security module", setupError(syscall.EACCES), "", []string{sysctl, "0\n", status, allowed},
			"SELinux", "audit log"},
		{"no io_uring", setupError(syscall.ENOSYS), "", []string{status, allowed},
			"has no io_uring", "Linux 6.1 or later"},
		{"memlock", setupError(syscall.ENOMEM), "", []string{sysctl, "0\n", limits, limited},
			"RLIMIT_MEMLOCK is 65536\n", "ulimit -l"},
		{"memlock unknown", setupError(syscall.ENOMEM), "", nil,
			"RLIMIT_MEMLOCK is unknown", "ulimit -l"},
		{"descriptors", setupError(syscall.EMFILE), "", []string{limits, limited},
			"RLIMIT_NOFILE is 1024\n", "ulimit -n"},
		{"too old", &quoit.UnsupportedError{Feature: "IORING_SETUP_DEFER_TASKRUN", MinKernel: "6.1"}, "", nil,
			"IORING_SETUP_DEFER_TASKRUN came with Linux 6.1", "Linux 6.1 or later"},
		{"architecture", &quoit.UnsupportedError{Feature: "io_uring on linux/s390x", Err: errors.New("untried")}, "", nil,
			"this is s390x", "Config.AnyArch"},
		{"unknown", setupError(syscall.EIO), "", []string{sysctl, "0\n", status, allowed},
			"unknown to quoit", "report"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := fakeMachine(quoit.Support{Err: tt.err, Kernel: "5.15.0"}, nil, tt.files...)
			if tt.goos != "" {
				m.goos = tt.goos
			}
			var out strings.Builder
			if code := doctor(m, &out); code != exitUnusable {
				t.Errorf("exit code %d, want %d", code, exitUnusable)
			}
			for _, want := range []string{tt.cause, tt.remedy, tt.err.Error(), "package net serves"} {
				if !strings.Contains(out.String(), want) {
					t.Errorf("no %q in:\n%s", want, out.String())
				}
			}
		})
	}
}

func TestDoctorTable(t *testing.T) {
	s := quoit.Support{IOUring: true, Kernel: "6.18.1", Features: []quoit.Feature{
		{Name: "IORING_RECV_MULTISHOT", MinKernel: "6.0", Have: true, Required: true, Use: "receives"},
		{Name: "NO_IOWAIT", MinKernel: "6.15", Use: "idle engines"},
	}}
	var out strings.Builder
	if code := doctor(fakeMachine(s, nil), &out); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	const want = `kernel:   6.18.1
io_uring: yes

FEATURE                HAVE  SINCE  REQUIRED  USE
IORING_RECV_MULTISHOT  yes   6.0    yes       receives
NO_IOWAIT              no    6.15   no        idle engines

io_uring is usable: quoit serves tcp and unix sockets over it.
`
	if out.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", out.String(), want)
	}
}

// The probe's ring is small: a limit may stop the real one.
func TestDoctorStartsAnEngine(t *testing.T) {
	m := fakeMachine(quoit.Support{IOUring: true, Kernel: "6.18.1"}, setupError(syscall.ENOMEM), limits, limited)
	var out strings.Builder
	if code := doctor(m, &out); code != exitUnusable {
		t.Errorf("exit code %d, want %d", code, exitUnusable)
	}
	for _, want := range []string{"io_uring: no", "RLIMIT_MEMLOCK is 65536"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
}

// Who reads what doctor says must know that the machine is not to blame.
func TestDoctorEnvironment(t *testing.T) {
	m := fakeMachine(quoit.Support{Err: errors.New("QUOIT=off"), Kernel: "6.18.1"}, nil, sysctl, "2\n")
	m.env = environ.Settings{Mode: "off"}
	var out strings.Builder
	if code := doctor(m, &out); code != exitUnusable {
		t.Errorf("exit code %d, want %d", code, exitUnusable)
	}
	for _, want := range []string{"The environment has QUOIT=off", "remedy: unset QUOIT"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
	m = fakeMachine(quoit.Support{IOUring: true}, nil)
	m.env = environ.Settings{Mode: "ring", Rings: 2}
	out.Reset()
	if code := doctor(m, &out); code != exitOK || !strings.Contains(out.String(), "has QUOIT=ring QUOIT_RINGS=2,") {
		t.Errorf("exit code %d:\n%s", code, out.String())
	}
}

// TestDoctorHere holds doctor to what an engine really gets on this machine.
func TestDoctorHere(t *testing.T) {
	var out strings.Builder
	code := doctor(hostMachine(), &out)
	t.Logf("\n%s", out.String())
	transport := quoit.Default().Stats().Transport
	if want := map[string]int{"io_uring": exitOK, "net": exitUnusable}[transport]; code != want {
		t.Errorf("exit code %d with transport %q", code, transport)
	}
	if os.Getenv("QUOIT_TEST_REQUIRE") == "1" && transport != "io_uring" {
		t.Errorf("QUOIT_TEST_REQUIRE=1 and transport %q", transport)
	}
	if code == exitUnusable && strings.Contains(out.String(), fmt.Sprint(error(nil))) {
		t.Error("no reason given")
	}
}
