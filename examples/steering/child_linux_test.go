//go:build linux

package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
)

// refuseEnv asks a child to do without io_uring.
const refuseEnv = "STEERING_TEST_REFUSE"

func init() {
	if os.Getenv(refuseEnv) == "" {
		return
	}
	if err := testenv.Refuse(unix.EPERM, unix.SYS_IO_URING_SETUP); err != nil {
		panic(err)
	}
}

// command is the program as a process of its own, for a user without
// privileges.
func command(t *testing.T, env []string, args ...string) (cmd *exec.Cmd, stderr *bytes.Buffer) {
	t.Helper()
	cmd, stderr = testenv.Command(t, append(env, childEnv+"="+strings.Join(args, " "))...)
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	return cmd, stderr
}

// Without privileges the table names the fallback and what is missing, and the
// tour says that it is over soon.
func TestUnprivileged(t *testing.T) {
	enginetest.NeedRing(t)
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
