//go:build linux

package engine

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/internal/takeover"
)

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
	return f, bare(err)
}

// copyFD is File for a descriptor that package net does not know.
func (c *Conn) copyFD(fd int, name string) (*os.File, error) {
	dup, err := c.e.k.Dup(fd)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err) // as package net makes its copies
	}
	f := os.NewFile(uintptr(dup), name)
	if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK == 0 {
		return f, nil // package net would make it nonblocking for everybody
	}
	nc, err := c.netFiler(f)
	if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) {
		return f, nil
	}
	f.Close()
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	return nc.File()
}

// filer is a conn or a listener of package net.
type filer interface {
	io.Closer
	File() (*os.File, error)
}

// netFiler has package net make something of a copy of f: nobody else makes files with
// such an Fd. A TCP socket becomes a listener, which nobody asks to accept, for FileConn
// sets options, and those are the socket's.
func (c *Conn) netFiler(f *os.File) (filer, error) {
	if c.tcp {
		ln, err := takeover.FileListener(f)
		if err != nil {
			return nil, err
		}
		return ln.(filer), nil
	}
	nc, err := takeover.FileConn(f)
	if err != nil {
		return nil, err
	}
	return nc.(filer), nil
}
