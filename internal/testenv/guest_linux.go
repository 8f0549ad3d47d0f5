//go:build linux

package testenv

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Guest reports whether the machine is one that runs nothing but the tests, so that
// they may change its settings: QUOIT_TEST_GUEST=1, as internal/kernels has it.
func Guest() bool { return os.Getenv("QUOIT_TEST_GUEST") == "1" }

// Lacks skips a test for want of something that a [Guest] with Linux 6.12 has, where the
// test fails.
func Lacks(t *testing.T, format string, args ...any) {
	t.Helper()
	if Guest() && HaveKernel(t, "6.12") {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// Setting gives a setting of the kernel, a file below /proc/sys, a value until the
// test ends. Only a [Guest] takes that.
func Setting(t *testing.T, name, value string) {
	t.Helper()
	file := "/proc/sys/" + name
	was, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, []byte(value), 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.WriteFile(file, was, 0); err != nil {
			t.Error(err)
		}
	})
}

// Group is a control group for processes that the test starts.
type Group struct{ dirs []string }

// NewGroup makes a group with so much memory, in bytes, and such a part of a processor,
// in per cent, until the test ends. Processes that have joined it must have ended then.
func NewGroup(t *testing.T, memory, cpu int) Group {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can make a control group")
	}
	const root = "/sys/fs/cgroup"
	quota := strconv.Itoa(cpu * 1000) // µs of the 100,000 of a period
	settings := map[string]string{    // of version 1
		"memory/memory.limit_in_bytes": strconv.Itoa(memory),
		"cpu/cpu.cfs_quota_us":         quota,
	}
	if _, err := os.Stat(root + "/cgroup.controllers"); err == nil {
		settings = map[string]string{"./memory.max": strconv.Itoa(memory), "./cpu.max": quota + " 100000"}
		if err := os.WriteFile(root+"/cgroup.subtree_control", []byte("+memory +cpu"), 0); err != nil {
			Lacks(t, "no control groups of one's own here: %v", err)
		}
	}
	var g Group
	name := fmt.Sprintf("quoit-test-%d", os.Getpid())
	for setting, value := range settings {
		controller, file := filepath.Split(setting)
		dir := filepath.Join(root, controller, name)
		if err := os.Mkdir(dir, 0o755); err == nil {
			g.dirs = append(g.dirs, dir)
			t.Cleanup(func() { os.Remove(dir) })
		} else if !os.IsExist(err) {
			Lacks(t, "no control groups here: %v", err)
		}
		if err := os.WriteFile(filepath.Join(dir, file), []byte(value), 0); err != nil {
			Lacks(t, "no such limit here: %v", err)
		}
	}
	return g
}

// String has what [JoinGroup] takes, without a space.
func (g Group) String() string { return strings.Join(g.dirs, ":") }

// JoinGroup has this process be in a group from now on: what it has of memory until
// it executes another program does not count there.
func JoinGroup(group string) error {
	for _, dir := range strings.Split(group, ":") {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte("0"), 0); err != nil {
			return err
		}
	}
	return nil
}
