//go:build linux

package ring

import (
	"errors"
	"os"
	"strings"
	"syscall"
)

// Error is a failed io_uring system call, or one that this package refused
// to make.
type Error struct {
	Op    string // "io_uring_setup", "io_uring_enter", "mmap" ...
	Errno syscall.Errno
	Hint  string // the likely cause in words, "" if unknown
}

// Error names the call, the error and the likely cause.
func (e *Error) Error() string {
	s := e.Op + ": " + e.Errno.Error()
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

// Unwrap returns the Errno, so that errors.Is finds it.
func (e *Error) Unwrap() error { return e.Errno }

// Operations named in an Error.
const (
	opSetup    = "io_uring_setup"
	opEnter    = "io_uring_enter"
	opRegister = "io_uring_register"
	opMmap     = "mmap"
)

func newError(op string, errno syscall.Errno) *Error {
	return &Error{Op: op, Errno: errno, Hint: hint(op, errno)}
}

// wrapError is newError for package unix, whose errors are all an Errno.
func wrapError(op string, err error) *Error {
	errno, _ := errors.AsType[syscall.Errno](err)
	return newError(op, errno)
}

// refuse is the error for parameters that cannot work, made without a call.
func refuse(op, why string) *Error {
	return &Error{Op: op, Errno: syscall.EINVAL, Hint: why}
}

const disabledSysctl = "/proc/sys/kernel/io_uring_disabled"

// hint names the likely cause of errno.
func hint(op string, errno syscall.Errno) string {
	switch errno {
	case syscall.EPERM, syscall.EACCES:
		if op != opSetup {
			return "denied by seccomp, by a restriction of the ring, or for want of a capability"
		}
		b, _ := os.ReadFile(disabledSysctl)
		switch strings.TrimSpace(string(b)) {
		case "2":
			return "the sysctl kernel.io_uring_disabled=2 turns io_uring off"
		case "1":
			return "the sysctl kernel.io_uring_disabled=1 allows CAP_SYS_ADMIN and members of kernel.io_uring_group only"
		}
		return "denied by seccomp, as container runtimes do by default, or by a security module"
	case syscall.ENOSYS:
		return "no io_uring: the kernel is too old or built without it, or seccomp hides it"
	case syscall.ENOMEM:
		return "out of memory, or RLIMIT_MEMLOCK is too small"
	case syscall.EMFILE:
		return "the process has RLIMIT_NOFILE files open"
	case syscall.ENFILE:
		return "the system has fs.file-max files open"
	case syscall.EEXIST:
		if op == opSetup {
			return ""
		}
		return "already registered, or called on another thread than the issuer of a SINGLE_ISSUER ring"
	case syscall.EINVAL:
		if op == opSetup {
			return "the kernel is too old for one of the flags"
		}
		return "the kernel is too old for this, or an argument is wrong"
	case syscall.EBADR:
		return "a completion was lost: the kernel had no memory to keep it"
	case syscall.EBADFD:
		return "the ring has not been enabled"
	case syscall.EBADF:
		return "the ring is closed"
	}
	return ""
}
