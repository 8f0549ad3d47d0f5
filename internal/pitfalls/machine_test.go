//go:build linux

package pitfalls

import (
	"errors"
	"fmt"
	"os"
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
	const group = 60001
	user := func(gid uint32, groups ...uint32) *syscall.Credential {
		return &syscall.Credential{Uid: 65534, Gid: gid, Groups: groups}
	}
	testenv.Setting(t, "kernel/io_uring_group", strconv.Itoa(group))
	for _, tt := range []struct {
		disabled, name string
		who            *syscall.Credential
		serves         string
	}{
		{"0", "user", user(65534), "io_uring"},
		{"1", "root", nil, "io_uring"},
		{"1", "user", user(65534), "net"},
		{"1", "user of the group", user(group), "io_uring"},
		{"1", "user of that group too", user(65534, group), "io_uring"},
		{"2", "root", nil, "net"},
		{"2", "user of the group", user(group), "net"},
	} {
		t.Run(tt.disabled+"/"+tt.name, func(t *testing.T) {
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
				testenv.Lacks(t, "no time namespaces here: %s", why)
			}
			t.Log(out)
		})
	}
}

// pfChildTimeNamespace has deadlines pass in each gear, and some that must not, where
// the clocks are args[0] seconds ahead.
func pfChildTimeNamespace(args []string) error {
	offset, err := strconv.ParseInt(args[0], 10, 64)
	if err != nil {
		return err
	}
	if err := testenv.EnterTimeNamespace(offset); err != nil {
		fmt.Printf("none: %v", err)
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
		began := testenv.Clock(unix.CLOCK_MONOTONIC)
		c.SetReadDeadline(time.Now().Add(soon))
		if _, err := c.Read(b[:]); !errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("a Read with a deadline: %w", err)
		}
		if took := testenv.Clock(unix.CLOCK_MONOTONIC) - began; took < soon || took > testenv.Bound/2 {
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
		if _, err := s.Write([]byte("x")); err != nil {
			return err
		}
		if err := errors.Join(<-read, c.Close(), s.Close()); err != nil {
			return fmt.Errorf("a Read with %v: %w", far, err)
		}
	}
	fmt.Printf("%s: deadlines are right\n", tr.Name)
	return nil
}
