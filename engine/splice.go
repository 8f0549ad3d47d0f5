//go:build linux

package engine

import (
	"errors"
	"io"
	"io/fs"
	"math"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// source is what bytes are spliced from: a syscall.RawConn, or a Conn's readSide.
type source interface {
	// Read calls f with the descriptor until f returns true, waiting for it to be
	// readable in between. One call at a time reads.
	Read(f func(fd uintptr) bool) error
}

// sink is what bytes are spliced to.
type sink interface {
	Write(f func(fd uintptr) bool) error
}

type readSide struct{ *Conn }

func (s readSide) Read(f func(fd uintptr) bool) error {
	c := s.Conn
	c.rmu.Lock()
	defer c.rmu.Unlock()
	if !c.acquire() {
		return net.ErrClosed
	}
	defer c.drop()
	if _, err := c.look(); err != nil {
		return err
	}
	return c.r.polled(c.openPoller(), f)
}

type writeSide struct{ *Conn }

func (s writeSide) Write(f func(fd uintptr) bool) error {
	c := s.Conn
	c.wmu.Lock()
	defer c.wmu.Unlock()
	return c.whenWritable(f)
}

// Splice moves up to remain bytes from the socket behind src to c through a
// pipe, without copying them out of the kernel. handled is false if nothing
// was moved because the kernel cannot do it for src.
func (c *Conn) Splice(src syscall.RawConn, remain int64) (moved int64, handled bool, err error) {
	moved, end, err := move(c.e.k, writeSide{c}, src, remain, false)
	return moved, end != moveUnable, err
}

// SpliceTo is Splice from c to the socket, or the file, behind dst, to the end of c.
func (c *Conn) SpliceTo(dst syscall.RawConn) (moved int64, handled bool, err error) {
	moved, end, err := move(c.e.k, dst, readSide{c}, math.MaxInt64, false)
	return moved, end != moveUnable, err
}

// Appends reports whether a file is open for appending, or closed: splice(2) does
// not write to it.
func Appends(file syscall.RawConn) bool {
	appends := true
	_ = file.Control(func(fd uintptr) {
		flags, err := unix.FcntlInt(fd, unix.F_GETFL, 0)
		appends = err != nil || flags&unix.O_APPEND != 0
	})
	return appends
}

// moveEnd is why move returned.
type moveEnd uint8

const (
	moveDone   moveEnd = iota // the end of src, an error, or all that was asked for
	moveUnable                // there is no pipe, or not for these
	moveCalm                  // only little comes at a time
)

// A transfer is calm when for calmParts in a row src was empty before at most
// calmBytes came.
const (
	calmParts = 16
	calmBytes = 8 << 10
)

// move splices until the end, or until the transfer is calm if it may end so. A
// pipe is held only while there is something in it: an idle transfer costs none.
func move(k kernel, dst sink, src source, remain int64, calm bool) (moved int64, end moveEnd, err error) {
	still := 0
	for remain > 0 {
		p, n, waited, err := drainSource(k, src, remain)
		switch {
		case err == errNoPipe, err == unix.EINVAL && moved == 0:
			return moved, moveUnable, nil
		case err != nil:
			return moved, moveDone, spliceError(src, err)
		case n == 0:
			return moved, moveDone, nil
		}
		pumped, err := pump(dst, p, n)
		if s, ours := src.(readSide); ours {
			s.meter.MovedIn(n)
		}
		if s, ours := dst.(writeSide); ours {
			s.meter.MovedOut(pumped)
		}
		moved += pumped
		remain -= pumped
		if err != nil {
			return moved, moveDone, spliceError(dst, err)
		}
		if still++; !waited || n > calmBytes {
			still = 0
		}
		if calm && still >= calmParts {
			return moved, moveCalm, nil
		}
	}
	return moved, moveDone, nil
}

var errNoPipe = errors.New("engine: no pipe")

// drainSource waits for bytes of src and moves up to remain into a pipe. With n of
// 0 src is at its end, and there is no pipe.
func drainSource(k kernel, src source, remain int64) (p pipe, n int64, waited bool, err error) {
	var serr error
	err = src.Read(func(fd uintptr) bool {
		var perr error
		if p, perr = k.Pipe(); perr != nil {
			serr = errNoPipe
			return true
		}
		n, serr = p.Fill(int(fd), remain)
		if n > 0 {
			return true
		}
		p.Put()
		waited = serr == unix.EAGAIN
		return serr != unix.EAGAIN
	})
	if err == nil {
		err = serr
	}
	return p, max(n, 0), waited, err
}

// pump moves the n bytes that are in p to dst, and returns p.
func pump(dst sink, p pipe, n int64) (moved int64, err error) {
	var serr error
	err = dst.Write(func(fd uintptr) bool {
		for moved < n {
			var k int64
			k, serr = p.Drain(int(fd), n-moved)
			if k <= 0 {
				return serr != unix.EAGAIN
			}
			moved += k
		}
		return true
	})
	if err == nil {
		err = serr
	}
	if err == nil && moved < n {
		err = io.ErrUnexpectedEOF // of a splice that moved nothing
	}
	if moved < n {
		p.Discard()
	} else {
		p.Put()
	}
	return moved, err
}

// spliceError is an error of a splice from or to s as package net has it. A socket
// of package net says more than whose caller wants.
func spliceError(s any, err error) error {
	switch e := err.(type) {
	case *net.OpError:
		return e.Err
	case *fs.PathError:
		return e.Err
	case *os.SyscallError: // of what Write had accepted
		return os.NewSyscallError("splice", e.Err)
	case unix.Errno:
		switch s := s.(type) {
		case writeSide:
			return s.writeError("splice", e)
		case readSide:
			s.fails()
		}
		return os.NewSyscallError("splice", e)
	}
	return err
}
