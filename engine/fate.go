//go:build linux

package engine

import (
	"os"

	"golang.org/x/sys/unix"
)

// fate is what became of the writing half of a Conn for good. Only its methods
// write it. Guarded by Conn.mu.
type fate struct {
	damage damage
	untold unix.Errno // an error that no Read, Write or Close has returned, for one to do so
}

// damage never gets less.
type damage uint8

const (
	intact damage = iota
	broken        // sends fail, or will: Write asks the kernel itself
	holed         // accepted bytes were lost: nothing may come after them
)

// refuse has later Writes ask the kernel themselves.
func (f *fate) refuse() { f.damage = max(f.damage, broken) }

// lose notes that accepted bytes were dropped because of errno, as the kernel
// drops what it holds itself. A broken pipe every later write meets again, and
// of a cancelled send nobody wants to hear. Any other error the kernel reports
// once, and so do Read, Write and Close.
func (f *fate) lose(errno unix.Errno) {
	f.refuse()
	if errno == unix.EPIPE {
		return
	}
	f.damage = holed
	if errno != unix.ECANCELED {
		f.keep(errno)
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

// keep has an error told that a call met and could not return. Of two it is the one
// that says more: a reset, behind which the socket says that it is at its end, before
// all others, and EIO, which is the ring's, after them.
func (f *fate) keep(errno unix.Errno) {
	if f.untold == 0 || f.untold == unix.EIO || errno == unix.ECONNRESET {
		f.untold = errno
	}
}

// reset returns errno, or the error behind it: a writer that meets EPIPE after
// a reset that a batch met is the one to tell.
func (f *fate) reset(errno unix.Errno) unix.Errno {
	if errno == unix.EPIPE && f.untold != 0 {
		errno, f.untold = f.untold, 0
	}
	return errno
}
