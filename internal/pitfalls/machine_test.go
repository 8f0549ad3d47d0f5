//go:build linux

package pitfalls

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit"
	"github.com/quoit-go/quoit/internal/testenv"
)

// What an administrator sets for a machine or a container: io_uring's sysctl, control
// groups and time namespaces.

// The sysctl kernel.io_uring_disabled is against everybody, or those outside a group
// without CAP_SYS_ADMIN. Package net serves them, and says why.
func TestPitfall26Sysctl(t *testing.T) {
	testenv.NeedKernel(t, "6.6")
	if !testenv.Guest() {
		t.Skip("it changes a setting of the machine; make test-kernels has it")
	}
	const nobody, group = 65534, 60001
	testenv.Setting(t, "kernel/io_uring_group", strconv.Itoa(group))
	for _, tt := range []struct {
		disabled string
		who      *syscall.Credential
		serves   string
	}{
		{"0", &syscall.Credential{Uid: nobody, Gid: nobody}, "io_uring"},
		{"1", nil, "io_uring"},
		{"1", &syscall.Credential{Uid: nobody, Gid: nobody}, "net"},
		{"1", &syscall.Credential{Uid: nobody, Gid: group}, "io_uring"},
		{"1", &syscall.Credential{Uid: nobody, Gid: nobody, Groups: []uint32{group}}, "io_uring"},
		{"2", nil, "net"},
		{"2", &syscall.Credential{Uid: nobody, Gid: group}, "net"},
	} {
		t.Run(fmt.Sprintf("%s/%v", tt.disabled, tt.who), func(t *testing.T) {
			testenv.Watch(t, 2*testenv.Bound)
			testenv.Setting(t, "kernel/io_uring_disabled", tt.disabled)
			cmd, stderr := pfChild(t, "sysctl", tt.serves)
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: tt.who}
			out, err := cmd.Output()
			if err != nil {
				t.Errorf("%v\n%s", err, stderr)
			}
			t.Logf("%s", out)
		})
	}
}

// pfChildSysctl is served by args[0].
func pfChildSysctl(args []string) error {
	if args[0] == "net" {
		return pfRefused(unix.EPERM)
	}
	_, err := quoit.New(&quoit.Config{Require: true})
	return errors.Join(err, pfTraffic(quoit.Default()))
}

// A container of 64 MB, with a fifth of a processor, serves as a machine does.
func TestPitfall26ControlGroup(t *testing.T) {
	if testenv.Race {
		t.Skip("the race detector's shadow takes that memory; make test RACE= has it")
	}
	testenv.Watch(t, 4*testenv.Bound)
	out := pfRun(t, "group", testenv.NewGroup(t, 64<<20, 20).String())
	t.Log(out)
	if quoit.Probe().IOUring != strings.Contains(out, "served by io_uring") {
		t.Error("the group decides what serves")
	}
}

// pfChildGroup joins a group (args[0]) and serves there.
func pfChildGroup(args []string) error {
	if err := testenv.JoinGroup(args[0]); err != nil {
		return err
	}
	os.Setenv(pfChildEnv, "limits 8388608 1024")
	return syscall.Exec("/proc/self/exe", os.Args, os.Environ())
}

// A process in a time namespace has clocks of its own. Deadlines are right where they
// are far ahead of the machine's, and behind them.
func TestPitfall26TimeNamespace(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can make a time namespace")
	}
	for _, offset := range []int64{1_000_000, -5} { // seconds
		t.Run(fmt.Sprint(offset), func(t *testing.T) {
			testenv.Watch(t, 4*testenv.Bound)
			out := pfRun(t, "time-namespace", fmt.Sprint(offset))
			if why, none := strings.CutPrefix(out, "none: "); none {
				t.Skip("no time namespaces here: " + why)
			}
			t.Log(out)
		})
	}
}

// pfChildTimeNamespace runs the next child in a time namespace, whose clocks are
// args[0] seconds ahead.
func pfChildTimeNamespace(args []string) error {
	runtime.LockOSThread() // the namespace is the thread's
	if err := unix.Unshare(unix.CLONE_NEWTIME); err != nil {
		fmt.Printf("none: %v", err)
		return nil
	}
	offsets := fmt.Sprintf("monotonic %s 0\nboottime %s 0\n", args[0], args[0])
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/timens_offsets", unix.Gettid()), []byte(offsets), 0); err != nil {
		return err
	}
	before, err := pfMonotonic()
	if err != nil {
		return err
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=time-inside %s %d", pfChildEnv, args[0], before.Milliseconds()))
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

// pfChildTimeInside has deadlines pass in each gear, and some that must not.
func pfChildTimeInside(args []string) error {
	offset, err := time.ParseDuration(args[0] + "s")
	if err != nil {
		return err
	}
	before, err := time.ParseDuration(args[1] + "ms")
	if err != nil {
		return err
	}
	now, err := pfMonotonic()
	if err != nil {
		return err
	}
	if shift := now - before - offset; shift < 0 || shift > time.Duration(testenv.Bound) {
		fmt.Printf("none: the kernel has executed programs outside them until Linux 6.3")
		return nil
	}
	for _, server := range pfServers {
		tr, err := pfServe(server)
		if err != nil {
			return err
		}
		if err := pfDeadlines(tr.Transport); err != nil {
			return fmt.Errorf("%s: %w", server, err)
		}
	}
	return nil
}

// pfDeadlines has a Read wait for a deadline, and be woken before one.
func pfDeadlines(tr testenv.Transport) error {
	const soon = 50 * time.Millisecond
	ln, err := tr.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer ln.Close()
	limited := ln.(interface{ SetDeadline(time.Time) error })
	for _, far := range []time.Duration{testenv.Bound, 1e6 * time.Hour} {
		c, s, err := pfBothEnds(tr, ln)
		if err != nil {
			return err
		}
		var b [1]byte
		began, err := pfMonotonic()
		if err != nil {
			return err
		}
		c.SetReadDeadline(time.Now().Add(soon))
		if _, err := c.Read(b[:]); !errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("a Read with a deadline: %w", err)
		}
		ended, err := pfMonotonic()
		if err != nil {
			return err
		}
		if took := ended - began; took < soon || took > testenv.Bound/2 {
			return fmt.Errorf("a deadline after %v came after %v", soon, took)
		}
		limited.SetDeadline(time.Now().Add(soon))
		if _, err := ln.Accept(); !errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("an Accept with a deadline: %w", err)
		}
		limited.SetDeadline(time.Now().Add(far))
		c.SetReadDeadline(time.Now().Add(far))
		read := testenv.Go(func() error { _, err := c.Read(b[:]); return err })
		testenv.Pace(soon)
		if _, err := s.Write(b[:]); err != nil {
			return err
		}
		if err := errors.Join(<-read, c.Close(), s.Close()); err != nil {
			return fmt.Errorf("a Read with %v: %w", far, err)
		}
	}
	fmt.Printf("%s: deadlines are right\n", tr.Name)
	return nil
}

func pfMonotonic() (time.Duration, error) {
	var ts unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return time.Duration(ts.Nano()), err
}
