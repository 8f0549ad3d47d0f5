//go:build linux

package engine

import (
	"fmt"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// filesPerRing is how large RLIMIT_NOFILE has to be for each ring. A ring keeps
// two descriptors that package net does without: conns shall not miss more than
// one of 16 for it, nor a small service its last ones.
const filesPerRing = 32

// MaxRings is for how many rings RLIMIT_NOFILE leaves room.
func MaxRings() int { return int(min(fileLimit()/filesPerRing, math.MaxInt32)) }

func fileLimit() uint64 {
	var lim unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &lim) != nil {
		return math.MaxUint64
	}
	return lim.Cur
}

// checkFiles refuses a limit on descriptors that is too small for a ring.
func checkFiles() error {
	if n := fileLimit(); n < filesPerRing {
		return &MissingError{
			Feature: fmt.Sprintf("RLIMIT_NOFILE of %d or more", filesPerRing),
			Err:     fmt.Errorf("it is %d: %w", n, unix.EMFILE),
		}
	}
	return nil
}

// openNetpoller has Go's runtime open its poller, unless it has one. That takes
// two descriptors, and ends the process where it gets none: it comes before
// the ring's, and fails instead where they are not there.
func openNetpoller() error {
	var fds [3]int // the poller's two, and one to open it with
	for i := range fds {
		fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
		if err != nil {
			closeAll(fds[:i])
			return os.NewSyscallError("eventfd", err)
		}
		fds[i] = fd
	}
	closeAll(fds[1:])
	return os.NewFile(uintptr(fds[0]), "eventfd").Close()
}

func closeAll(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}

// MissingError says what the engine cannot do without.
type MissingError struct {
	Feature   string
	MinKernel string // "" if it is not a matter of the kernel's age
	Err       error
}

func (e *MissingError) Error() string {
	s := e.Feature
	if e.MinKernel != "" {
		s += " (Linux " + e.MinKernel + ")"
	}
	return s + ": " + e.Err.Error()
}

func (e *MissingError) Unwrap() error { return e.Err }
