//go:build linux

package engine

import (
	"os"

	"golang.org/x/sys/unix"
)

// fate is what became of the writing half of a Conn for good. Only its methods
// write it. Guarded by Conn.mu.
type fate struct {
	broken bool       // sends fail, or will: Write asks the kernel itself
	gone   bool       // accepted bytes were lost: nothing may come after them
	untold unix.Errno // why, while no Read, Write or Close has returned it
}

// refuse has later Writes ask the kernel themselves.
func (f *fate) refuse() { f.broken = true }

// lose notes that accepted bytes were dropped because of errno, as the kernel
// drops what it holds itself. A broken pipe every later write meets again, and
// of a cancelled send nobody wants to hear. Any other error the kernel reports
// once, and so do Read, Write and Close.
func (f *fate) lose(errno unix.Errno) {
	f.broken = true
	if errno == unix.EPIPE {
		return
	}
	f.gone = true
	if errno != unix.ECANCELED {
		f.untold = errno
	}
}

// tell returns what was untold as the error of call, or nil.
func (f *fate) tell(call string) error {
	if f.untold == 0 {
		return nil
	}
	err := os.NewSyscallError(call, f.untold)
	f.untold = 0
	return err
}

// reset returns errno, or the error behind it: a writer that meets EPIPE after
// a reset that a batch met is the one to tell.
func (f *fate) reset(errno unix.Errno) unix.Errno {
	if errno == unix.EPIPE && f.untold != 0 {
		errno, f.untold = f.untold, 0
	}
	return errno
}
