//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// refuseEnv asks a child to do without io_uring.
const refuseEnv = "STEERING_TEST_REFUSE"

func init() {
	if os.Getenv(refuseEnv) == "" {
		return
	}
	if err := refuse(unix.SYS_IO_URING_SETUP); err != nil {
		panic(err)
	}
}

// refuse has a system call fail with EPERM, as container runtimes do.
func refuse(call uint32) error {
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // seccomp_data.nr
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: call},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	prog := &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl", err)
	}
	// prog is on the heap, as reflect keeps it, and does not move.
	_, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, reflect.ValueOf(prog).Pointer())
	runtime.KeepAlive(prog)
	if e != 0 {
		return os.NewSyscallError("seccomp", e)
	}
	return nil
}

// command is the program as a process of its own, for a user without
// privileges.
func command(t *testing.T, env []string, args ...string) (cmd *exec.Cmd, stderr *bytes.Buffer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	t.Cleanup(cancel)
	cmd = exec.CommandContext(ctx, "/proc/self/exe") // its directory may be closed to other users
	cmd.Dir = "/"
	cmd.Env = slices.Concat(os.Environ(), env, []string{childEnv + "=" + strings.Join(args, " "), "GORACE=atexit_sleep_ms=0"})
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	stderr = new(bytes.Buffer)
	cmd.Stderr = stderr
	return cmd, stderr
}

// Without privileges the table names the fallback and what is missing, and the
// tour says that it is over soon.
func TestUnprivileged(t *testing.T) {
	needRing(t)
	if mayLoad(t) && os.Geteuid() != 0 {
		t.Skip("CAP_BPF, and no way to do without")
	}
	cmd, stderr := command(t, nil, append(quick, "-tour", "-phase=300ms", "-rings=2")...)
	b, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Errorf("%v\n%s", err, stderr)
	}
	out := string(b)
	for _, want := range []string{
		"2 rings, policy: hash\n", "a fallback serves: steering: ", "CAP_BPF",
		"> tour: hash, which cannot be switched; 0 more to come\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	checkTotals(t, out)
}

// Without io_uring the program works and says so.
func TestWithoutRing(t *testing.T) {
	cmd, stderr := command(t, []string{refuseEnv + "=1"}, append(quick, "-tour", "-phase=300ms")...)
	b, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Errorf("%v\n%s", err, stderr)
	}
	out := string(b)
	for _, want := range []string{
		"package net serves, there are no rings and nothing to steer\n", "operation not permitted", " requests answered\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if strings.Contains(out, " 0 requests answered") || strings.Contains(out, "ring  cpu") {
		t.Errorf("without rings:\n%s", out)
	}
}

// SIGINT ends it as q does.
func TestInterrupt(t *testing.T) {
	cmd, stderr := command(t, nil, quick...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(stdout)
	if _, err := r.ReadString('\n'); err != nil {
		t.Errorf("no table: %v", err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Error(err)
	}
	rest, err := io.ReadAll(r)
	if err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil || stderr.Len() > 0 {
		t.Errorf("%v\n%s", err, stderr)
	}
	if !bytes.Contains(rest, []byte("in all: ")) {
		t.Errorf("it did not come to its end:\n%s", rest)
	}
}
