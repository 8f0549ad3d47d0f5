//go:build linux

package testenv

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// EnterTimeNamespace runs this program again, with the same arguments and environment,
// in a time namespace whose clocks are so many seconds ahead, and exits with its
// status. There it returns nil. An error says why there is no such namespace here:
// Linux 6.1 refuses the vfork of os/exec into one, 6.12 does not.
func EnterTimeNamespace(seconds int64) error {
	const env = "QUOIT_TEST_TIME_OUTSIDE"
	if outside := os.Getenv(env); outside != "" {
		before, err := strconv.ParseInt(outside, 10, 64)
		if err != nil {
			return err
		}
		shift := Clock(unix.CLOCK_MONOTONIC) - time.Duration(before) - time.Duration(seconds)*time.Second
		if shift < 0 || shift > Bound {
			return errors.New("the kernel does not execute programs in them")
		}
		return nil
	}
	runtime.LockOSThread() // which is all that unshare moves
	if err := unix.Unshare(unix.CLONE_NEWTIME); err != nil {
		return os.NewSyscallError("unshare", err)
	}
	offsets := fmt.Sprintf("monotonic %d 0\nboottime %d 0\n", seconds, seconds)
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/timens_offsets", unix.Gettid()), []byte(offsets), 0); err != nil {
		return err
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = os.Args
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", env, Clock(unix.CLOCK_MONOTONIC)))
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	err := cmd.Run()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		return err
	}
	os.Exit(cmd.ProcessState.ExitCode())
	return nil
}

// Clock reads one of the kernel's.
func Clock(id int32) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(id, &ts); err != nil {
		panic(err)
	}
	return time.Duration(ts.Nano())
}
