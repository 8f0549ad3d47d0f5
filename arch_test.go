//go:build linux

package quoit

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestCheckArch(t *testing.T) {
	for _, arch := range []string{"amd64", "arm64"} {
		if err := checkArch(arch, false); err != nil {
			t.Error(err)
		}
	}
	for _, arch := range []string{"386", "arm", "loong64", "ppc64le", "riscv64", "s390x"} {
		err := checkArch(arch, false)
		ue, ok := errors.AsType[*UnsupportedError](err)
		if !ok || !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(ue.Feature, arch) {
			t.Errorf("%s: %v", arch, err)
		}
		if err := checkArch(arch, true); err != nil {
			t.Error(err)
		}
	}
}

// A machine with amd64 runs programs of an architecture with 32 bits, too: one
// where package net serves, and the ring if it is asked for.
func TestArch(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the machine does not run what is built for 386")
	}
	if _, err := exec.LookPath("go"); err != nil { // as in the guests of make test-kernels
		t.Skip(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	exe := filepath.Join(t.TempDir(), "arch")
	build := exec.CommandContext(ctx, "go", "build", "-o", exe, "./testdata/arch")
	build.Env = append(os.Environ(), "GOARCH=386", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var args []string
	if probe().IOUring {
		args = append(args, "ring")
	}
	out, err := exec.CommandContext(ctx, exe, args...).CombinedOutput()
	if errors.Is(err, syscall.ENOEXEC) {
		t.Skip("the kernel has no CONFIG_IA32_EMULATION")
	}
	if err != nil {
		t.Errorf("%q: %v\n%s", args, err, out)
	}
}
