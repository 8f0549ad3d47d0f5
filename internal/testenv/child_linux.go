//go:build linux

package testenv

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"reflect"
	"runtime"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Command is the test's own program as another process, which env tells what
// to be. It ends with the test.
func Command(t *testing.T, env ...string) (cmd *exec.Cmd, stderr *bytes.Buffer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*Bound)
	t.Cleanup(cancel)
	cmd = exec.CommandContext(ctx, "/proc/self/exe") // its directory may be closed to other users
	cmd.Dir = "/"
	cmd.Env = slices.Concat(os.Environ(), env, []string{"GORACE=atexit_sleep_ms=0"})
	cmd.WaitDelay = Bound
	stderr = new(bytes.Buffer)
	cmd.Stderr = stderr
	return cmd, stderr
}

// Refuse has system calls of the process fail from now on, as container
// runtimes do.
func Refuse(errno syscall.Errno, calls ...uint32) error {
	actions := map[uint32]uint32{}
	for _, nr := range calls {
		actions[nr] = unix.SECCOMP_RET_ERRNO | uint32(errno)
	}
	return Filter(actions, unix.SECCOMP_RET_ALLOW)
}

// Filter has an action, a SECCOMP_RET value, be taken for each system call of the
// process and its children from now on: that of its number, or others.
func Filter(actions map[uint32]uint32, others uint32) error {
	filter := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}} // seccomp_data.nr
	for nr, action := range actions {
		filter = append(filter,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: nr},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: action})
	}
	filter = append(filter, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: others})
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
