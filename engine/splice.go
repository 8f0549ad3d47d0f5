//go:build linux

package engine

import (
	"errors"
	"io"
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
	c.openPoller()
	return c.r.polled(f)
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

// File is the other end of a SpliceTo that may be in no netpoller, as a standard output
// is: what is full then is waited for by poll(2).
type File struct {
	syscall.RawConn
	full bool
	f    func(fd uintptr) bool
}

// Write calls f until it returns true, waiting for room in between. One call at a time.
func (s *File) Write(f func(fd uintptr) bool) error {
	s.f, s.full = f, false
	err := s.RawConn.Write(s.once)
	if err == nil || !s.full || errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return s.RawConn.Write(s.wait) // or it was closed, as this says as well
}

func (s *File) once(fd uintptr) bool {
	s.full = !s.f(fd)
	return !s.full
}

func (s *File) wait(fd uintptr) bool {
	for !s.f(fd) {
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, -1)
	}
	return true
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

// transfer is what move has in hand. It is made once, for its parts may be many.
type transfer struct {
	k      kernel
	remain int64 // to be moved

	// Of the part that is on its way:
	p      pipe  // while there is something in it: an idle transfer holds none
	n      int64 // bytes that were moved into p
	pumped int64 // of these, on to the sink
	waited bool  // the source was empty before
	err    error // of the last system call
}

// move splices until the end, or until the transfer is calm if it may end so.
func move(k kernel, dst sink, src source, remain int64, calm bool) (moved int64, end moveEnd, err error) {
	t := &transfer{k: k, remain: remain}
	fill, drain := t.fill, t.drain
	still := 0
	for t.remain > 0 {
		err := t.take(src, fill)
		switch {
		case err == errNoPipe, err == unix.EINVAL && moved == 0:
			return moved, moveUnable, nil
		case err != nil:
			return moved, moveDone, spliceError(src, err)
		case t.n == 0:
			return moved, moveDone, nil
		}
		err = t.give(dst, drain)
		if s, ours := src.(readSide); ours {
			s.meter.MovedIn(t.n)
		}
		if s, ours := dst.(writeSide); ours {
			s.meter.MovedOut(t.pumped)
		}
		moved += t.pumped
		t.remain -= t.pumped
		if err != nil {
			return moved, moveDone, spliceError(dst, err)
		}
		if still++; !t.waited || t.n > calmBytes {
			still = 0
		}
		if calm && still >= calmParts {
			return moved, moveCalm, nil
		}
	}
	return moved, moveDone, nil
}

var errNoPipe = errors.New("engine: no pipe")

// take waits for bytes of src and moves some of them into a pipe. With n of 0 src is
// at its end, and there is no pipe.
func (t *transfer) take(src source, fill func(fd uintptr) bool) error {
	t.n, t.waited, t.err = 0, false, nil
	err := src.Read(fill)
	if err == nil {
		err = t.err
	}
	return err
}

// fill is take's, for the descriptor.
func (t *transfer) fill(fd uintptr) bool {
	var n int64
	if t.p, t.err = t.k.Pipe(); t.err != nil {
		t.err = errNoPipe
		return true
	}
	if n, t.err = t.p.Fill(int(fd), t.remain); n > 0 {
		t.n = n
		return true
	}
	t.p.Put()
	t.p = nil
	t.waited = t.err == unix.EAGAIN
	return !t.waited
}

// give moves what is in the pipe to dst, and gives the pipe back.
func (t *transfer) give(dst sink, drain func(fd uintptr) bool) error {
	t.pumped, t.err = 0, nil
	err := dst.Write(drain)
	if err == nil {
		err = t.err
	}
	if err == nil && t.pumped < t.n {
		err = io.ErrUnexpectedEOF // of a splice that moved nothing
	}
	if t.pumped < t.n {
		t.p.Discard()
	} else {
		t.p.Put()
	}
	t.p = nil
	return err
}

// drain is give's, for the descriptor.
func (t *transfer) drain(fd uintptr) bool {
	for t.pumped < t.n {
		var k int64
		k, t.err = t.p.Drain(int(fd), t.n-t.pumped)
		if k <= 0 {
			return t.err != unix.EAGAIN
		}
		t.pumped += k
	}
	return true
}

// spliceError is an error of a splice from or to s as package net has it.
func spliceError(s any, err error) error {
	switch e := err.(type) {
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
	return bare(err)
}
