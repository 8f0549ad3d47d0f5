//go:build linux

package engine

import (
	"errors"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/internal/takeover"
)

// filer is a conn of package net.
type filer interface{ File() (*os.File, error) }

// File returns a copy of the socket, the caller's to close, as package net's
// File does: its Fd method sets the socket, which both share, to blocking mode,
// unless descriptors are too few to make such a file. name is its name if package
// net has none.
func (c *Conn) File(name string) (f *os.File, err error) {
	cerr := c.RawControl(func(fd uintptr) {
		if nc, ok := c.poller().pollFile.(netConn); ok {
			f, err = nc.Conn.(filer).File()
		} else {
			f, err = c.copyFD(int(fd), name)
		}
	})
	if cerr != nil {
		return nil, cerr
	}
	if oe, ok := err.(*net.OpError); ok {
		err = oe.Err
	}
	return f, err
}

// copyFD is File for a descriptor that package net does not know.
func (c *Conn) copyFD(fd int, name string) (*os.File, error) {
	dup, err := c.e.k.Dup(fd)
	if err != nil {
		return nil, os.NewSyscallError("dup", err)
	}
	f := os.NewFile(uintptr(dup), name)
	if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK == 0 {
		return f, nil // net.FileConn would make it nonblocking for everybody
	}
	nc, err := takeover.FileConn(f) // only package net makes files that have such an Fd
	if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) {
		return f, nil
	}
	f.Close()
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	return nc.(filer).File()
}
