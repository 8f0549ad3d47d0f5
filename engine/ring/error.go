//go:build linux

package ring

import (
	"errors"
	"os"
	"strings"
	"syscall"
)

// Error is a failed io_uring system call, or one that this package refused
// to make. errors.Is finds its Errno, of which these have a Hint:
//
//   - EINVAL: a size, flag or argument that cannot work, or is too new for the
//     kernel; of New, refused without a call where the Hint names a parameter
//   - EFAULT: an argument or buffer outside of accessible memory
//   - EMFILE, ENFILE: the process or the system has too many files open
//   - ENOMEM: out of memory, or over RLIMIT_MEMLOCK
//   - EPERM, EACCES: kernel.io_uring_disabled, seccomp, a restriction, or a
//     missing capability
//   - ENOSYS, EOPNOTSUPP: the kernel is too old, or built without it
//   - EAGAIN: no memory for a request now; EBUSY: completions overflow, reap
//     first, or already registered; EBADR: a completion was lost
//   - EBADF, EBADFD, ENXIO: the ring is closed, not enabled, shutting down
//   - EEXIST: already registered, or not the issuer's thread
//   - EINTR, ETIME: a signal, a timeout; EOWNERDEAD: SQPOLL's thread died
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

// wrapError is newError for an error of package unix, which is always an Errno.
func wrapError(op string, err error) *Error {
	errno, _ := errors.AsType[syscall.Errno](err)
	return newError(op, errno)
}

// refuse returns the error for parameters that cannot work, for which no system
// call is made.
func refuse(op, why string) *Error {
	return &Error{Op: op, Errno: syscall.EINVAL, Hint: why}
}

// disabledSysctl says who may set rings up, since Linux 6.6.
const disabledSysctl = "/proc/sys/kernel/io_uring_disabled"

// hint names the likely cause of errno.
func hint(op string, errno syscall.Errno) string {
	switch op {
	case opSetup:
		if h := setupHint(errno); h != "" {
			return h
		}
	case opEnter:
		if h := enterHint(errno); h != "" {
			return h
		}
	case opRegister:
		if h := registerHint(errno); h != "" {
			return h
		}
	}
	switch errno {
	case syscall.EPERM, syscall.EACCES:
		return "denied by seccomp, by a restriction of the ring, or for want of a capability"
	case syscall.ENOSYS:
		return "no io_uring: the kernel is too old or built without it, or seccomp hides it"
	case syscall.ENOMEM:
		return "out of memory, or RLIMIT_MEMLOCK is too small"
	case syscall.EMFILE:
		return "the process has RLIMIT_NOFILE files open"
	case syscall.ENFILE:
		return "the system has fs.file-max files open"
	case syscall.EBADF:
		return "the ring is closed"
	case syscall.EOPNOTSUPP:
		return "the fd is not a ring's, or the kernel was built without this"
	case syscall.EBADFD:
		return "the ring has not been enabled, or is enabled already"
	case syscall.EFAULT:
		return "an argument lies outside of accessible memory"
	case syscall.ENXIO:
		return "the ring is shutting down, or there is nothing registered"
	case syscall.EOWNERDEAD:
		return "the kernel's thread of an SQPOLL ring has died"
	case syscall.EAGAIN:
		return "the kernel is short of memory for a request: reap, then try again"
	case syscall.EINTR:
		return "interrupted by a signal"
	}
	return ""
}

func setupHint(errno syscall.Errno) string {
	switch errno {
	case syscall.EPERM, syscall.EACCES:
		b, _ := os.ReadFile(disabledSysctl)
		return disabledHint(strings.TrimSpace(string(b)))
	case syscall.EINVAL:
		return "the kernel is too old for one of the flags, entries are zero or too many, or the CPU does not exist"
	case syscall.EFAULT:
		return "the parameters, or Memory, lie outside of accessible memory"
	case syscall.ENXIO:
		return "AttachFD is not open, or its ring is shutting down"
	}
	return ""
}

func disabledHint(sysctl string) string {
	switch sysctl {
	case "2":
		return "the sysctl kernel.io_uring_disabled=2 turns io_uring off"
	case "1":
		return "the sysctl kernel.io_uring_disabled=1 allows CAP_SYS_ADMIN and members of kernel.io_uring_group only"
	}
	return "denied by seccomp, as container runtimes do by default, or by a security module"
}

func enterHint(errno syscall.Errno) string {
	switch errno {
	case syscall.EINVAL:
		return "the kernel is too old for this kind of wait, or an argument is wrong"
	case syscall.EEXIST:
		return "called on another thread than the issuer of a SINGLE_ISSUER ring"
	case syscall.EBADR:
		return "a completion was lost: the kernel had no memory to keep it"
	case syscall.EBUSY:
		return "the completion queue is overcommitted: reap, then try again"
	case syscall.EBADFD:
		return "the ring has not been enabled"
	case syscall.ENXIO:
		return "the ring is shutting down"
	}
	return ""
}

func registerHint(errno syscall.Errno) string {
	switch errno {
	case syscall.EINVAL:
		return "the kernel is too old for this, or an argument is wrong"
	case syscall.EEXIST:
		return "already registered, or called on another thread than the issuer of a SINGLE_ISSUER ring"
	case syscall.EBUSY:
		return "already registered"
	case syscall.ENOENT:
		return "there is none registered, or no request that matches"
	case syscall.EACCES:
		return "denied by a restriction of the ring"
	case syscall.EFAULT:
		return "a buffer lies outside of accessible memory"
	case syscall.EBADF:
		return "the ring is closed, or an fd is not open"
	case syscall.EOVERFLOW:
		return "too large, or the target's completion queue is full"
	case syscall.ETIME:
		return "what was to be cancelled has not ended in time"
	}
	return ""
}
