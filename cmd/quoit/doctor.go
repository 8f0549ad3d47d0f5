package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/quoit-go/quoit"
	"github.com/quoit-go/quoit/internal/environ"
)

// machine is what doctor asks, so that tests can answer.
type machine struct {
	probe func() quoit.Support
	start func() error // starts and stops an engine of the default size
	goos  string
	arch  string
	proc  fs.FS // /proc
	env   environ.Settings
}

func hostMachine() machine {
	return machine{
		probe: quoit.Probe,
		start: startEngine,
		goos:  runtime.GOOS,
		arch:  runtime.GOARCH,
		proc:  os.DirFS("/proc"),
		env:   environ.Get(),
	}
}

// startEngine finds what the probe's small ring cannot, such as a memory limit.
func startEngine() error {
	e, err := quoit.New(&quoit.Config{Require: true})
	if err != nil {
		return err
	}
	return e.Close()
}

func doctor(m machine, w io.Writer) int {
	s := m.probe()
	if s.IOUring {
		if err := m.start(); err != nil {
			s.IOUring, s.Err = false, err
		}
	}
	printSupport(w, s)
	if forces := m.env.String(); forces != "" {
		fmt.Fprintf(w, "\nThe environment has %s, which programs follow that do not say otherwise.\n", forces)
	}
	if s.IOUring {
		fmt.Fprintln(w, "\nio_uring is usable: quoit serves tcp and unix sockets over it.")
		return exitOK
	}
	d := m.diagnose(s)
	fmt.Fprintf(w, "\nio_uring is not usable: package net serves instead.\n"+
		"error:  %v\ncause:  %s\nremedy: %s\n", s.Err, d.cause, d.remedy)
	return exitUnusable
}

func printSupport(w io.Writer, s quoit.Support) {
	kernel := s.Kernel
	if kernel == "" {
		kernel = "unknown"
	}
	fmt.Fprintf(w, "kernel:   %s\nio_uring: %s\n", kernel, yesNo(s.IOUring))
	if len(s.Features) == 0 {
		return
	}
	fmt.Fprintln(w)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "FEATURE\tHAVE\tSINCE\tREQUIRED\tUSE")
	for _, f := range s.Features {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\n", f.Name, yesNo(f.Have), f.MinKernel, yesNo(f.Required), f.Use)
	}
	tw.Flush()
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

type diagnosis struct{ cause, remedy string }

// diagnose names what stands in the way. EPERM and ENOSYS have several
// senders, told apart by what /proc says.
func (m machine) diagnose(s quoit.Support) diagnosis {
	switch {
	case m.goos != "linux":
		return diagnosis{"io_uring is a Linux interface and this is " + m.goos, "none needed: the same calls are served by package net"}
	case m.env.Off():
		return diagnosis{"the environment has QUOIT=off", "unset QUOIT, or set it to auto"}
	}
	switch m.field("sys/kernel/io_uring_disabled", "") {
	case "1":
		if isAny(s.Err, syscall.EPERM, syscall.EACCES) {
			return diagnosis{
				"the sysctl kernel.io_uring_disabled is 1: only CAP_SYS_ADMIN and the group in kernel.io_uring_group may use io_uring",
				"sysctl -w kernel.io_uring_disabled=0, or set kernel.io_uring_group to a group of this process",
			}
		}
	case "2":
		return diagnosis{
			"the sysctl kernel.io_uring_disabled is 2: nobody may use io_uring",
			"sysctl -w kernel.io_uring_disabled=0 (to keep it: a file in /etc/sysctl.d)",
		}
	}
	filtered := m.field("self/status", "Seccomp:") == "2"
	ue, isUnsupported := errors.AsType[*quoit.UnsupportedError](s.Err)
	switch {
	case filtered && isAny(s.Err, syscall.EPERM, syscall.EACCES, syscall.ENOSYS):
		return diagnosis{
			"a seccomp filter blocks io_uring, as the default profiles of container runtimes do",
			"run with a profile that allows io_uring_setup, io_uring_enter and io_uring_register" +
				" (docker, podman: --security-opt seccomp=FILE; Kubernetes: securityContext.seccompProfile;" +
				" systemd: SystemCallFilter=)",
		}
	case isAny(s.Err, syscall.EPERM, syscall.EACCES):
		return diagnosis{
			"a security module (SELinux, AppArmor or another) denies io_uring to this process",
			"look for the denial in the kernel's audit log and allow io_uring in its policy",
		}
	case isAny(s.Err, syscall.ENOSYS):
		return diagnosis{
			"this kernel has no io_uring: older than Linux 5.1, built without CONFIG_IO_URING, or a sandbox's own (gVisor)",
			"run Linux 6.1 or later with CONFIG_IO_URING=y",
		}
	case isAny(s.Err, syscall.ENOMEM):
		return diagnosis{
			"no memory for the rings: RLIMIT_MEMLOCK is " + m.limit("Max locked memory"),
			"raise it (ulimit -l, systemd LimitMEMLOCK=, docker --ulimit memlock=-1), grant CAP_IPC_LOCK," +
				" or make Config.Entries smaller",
		}
	case isAny(s.Err, syscall.EMFILE, syscall.ENFILE):
		return diagnosis{
			"no file descriptor for the ring: RLIMIT_NOFILE is " + m.limit("Max open files"),
			"raise it (ulimit -n, systemd LimitNOFILE=, docker --ulimit nofile=)",
		}
	case isUnsupported && strings.HasSuffix(ue.Feature, "linux/"+m.arch):
		return diagnosis{
			"quoit's ring was tried on amd64 and arm64 only, and this is " + m.arch,
			"none needed; a program can ask for the ring all the same, by Config.AnyArch",
		}
	case isUnsupported && ue.MinKernel != "":
		return diagnosis{
			fmt.Sprintf("this kernel (%s) is too old: %s came with Linux %s", orUnknown(s.Kernel), ue.Feature, ue.MinKernel),
			"run Linux 6.1 or later",
		}
	}
	return diagnosis{
		"unknown to quoit",
		"please report the lines above, together with the distribution and the container runtime if there is one",
	}
}

// field returns the rest of the line of a file under /proc that starts with
// prefix, single-spaced, or "".
func (m machine) field(name, prefix string) string {
	b, err := fs.ReadFile(m.proc, name)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, prefix); ok {
			return strings.Join(strings.Fields(rest), " ")
		}
	}
	return ""
}

// limit returns the soft limit of that name in /proc/self/limits.
func (m machine) limit(name string) string {
	soft, _, _ := strings.Cut(m.field("self/limits", name), " ")
	return orUnknown(soft)
}

func isAny(err error, errnos ...syscall.Errno) bool {
	for _, e := range errnos {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}
