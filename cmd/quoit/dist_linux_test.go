//go:build linux

package main

import (
	"debug/buildinfo"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// What make dist builds runs where there is nothing else: no Go, no C library,
// no file. The other architecture's is only built, and run if QEMU can.
func TestDist(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command("make", "-C", "../..", "dist", "DIST="+dir, "DISTPROGRAMS=quoit=cmd/quoit")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for arch, machine := range map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64} {
		name := filepath.Join(dir, "linux-"+arch, "quoit")
		checkStatic(t, name, machine)
		run := exec.Command(name, "version")
		if arch != runtime.GOARCH {
			qemu, err := exec.LookPath(map[string]string{"amd64": "qemu-x86_64-static", "arm64": "qemu-aarch64-static"}[arch])
			if err != nil {
				t.Logf("%s: not run: %v", arch, err)
				continue
			}
			run = exec.Command(qemu, name, "version")
		}
		out, err := run.CombinedOutput()
		if err != nil || !strings.HasPrefix(string(out), "quoit ") || !strings.HasSuffix(string(out), " linux/"+arch+"\n") {
			t.Errorf("%s: %v: %q", arch, err, out)
		}
	}
	t.Run("doctor", func(t *testing.T) { doctorAlone(t, filepath.Join(dir, "linux-"+runtime.GOARCH, "quoit")) })
}

func checkStatic(t *testing.T, name string, machine elf.Machine) {
	t.Helper()
	f, err := elf.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Machine != machine {
		t.Errorf("%s is for %v", name, f.Machine)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("%s has a %v: it is not static", name, p.Type)
		}
	}
	bi, err := buildinfo.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []debug.BuildSetting{{Key: "-trimpath", Value: "true"}, {Key: "CGO_ENABLED", Value: "0"}} {
		if !slices.Contains(bi.Settings, want) {
			t.Errorf("%s: not built with %v", name, want)
		}
	}
}

// doctorAlone runs doctor as in the image: nothing but the program, and not even
// /proc.
func doctorAlone(t *testing.T, name string) {
	_, want := doctorStatus(t, exec.Command(name, "doctor"))
	if os.Getuid() != 0 {
		t.Skip("only root can change the root directory")
	}
	cmd := exec.Command("/quoit", "doctor")
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: filepath.Dir(name), Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	for d := filepath.Dir(name); d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	out, got := doctorStatus(t, cmd)
	if got != want || !strings.Contains(out, "#no-proc\n") {
		t.Errorf("exit status %d, want %d\n%s", got, want, out)
	}
}

func doctorStatus(t *testing.T, cmd *exec.Cmd) (string, int) {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	code := cmd.ProcessState.ExitCode()
	if code != exitOK && code != exitUnusable {
		t.Errorf("%v\n%s", err, out)
	}
	return string(out), code
}

// The image has what make dist makes.
func TestDockerfile(t *testing.T) {
	b, err := os.ReadFile("Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\nFROM scratch\n", "\nCOPY dist/linux-${TARGETARCH}/quoit /quoit\n", "\nENTRYPOINT [\"/quoit\"]\nCMD [\"doctor\"]\n"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("no %q", want)
		}
	}
}

func TestRevision(t *testing.T) {
	settings := []debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef0123"}, {Key: "vcs.modified", Value: "true"}}
	for want, s := range map[string][]debug.BuildSetting{
		"":                                nil,
		" (commit 0123456789ab)":          settings[:1],
		" (commit 0123456789ab, changed)": settings,
	} {
		if got := revision(s); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// A machine without a checkout has the bench that lies beside the command.
func TestBenchBeside(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	beside := filepath.Join(filepath.Dir(self), "quoit-bench")
	if err := os.WriteFile(beside, []byte("#!/bin/sh\necho \"$@\"\nexit 3\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(beside)
	var stdout, stderr strings.Builder
	if code := bench(t.TempDir(), []string{"-quick"}, &stdout, &stderr); code != 3 || stdout.String() != "-quick\n" {
		t.Errorf("exit code %d, %q, %q", code, stdout.String(), stderr.String())
	}
}
