//go:build linux

package engine

import (
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// spliceBytes is the most that one splice(2) moves, and the room that a pipe is
// given, the most that Linux gives a user by default. A pipe of less works, too.
const spliceBytes = 1 << 20

// pipe is what splice(2) needs between two sockets. It is empty while in pipes.
type pipe struct{ r, w int }

var pipes sync.Pool // of *pooledPipe

// pooledPipe is closed by the collector when the pool has dropped it.
type pooledPipe struct {
	pipe
	cleanup runtime.Cleanup
}

// getPipe returns an empty pipe, or nil if there is no descriptor for one.
func getPipe() *pooledPipe {
	if p, ok := pipes.Get().(*pooledPipe); ok {
		return p
	}
	var fds [2]int
	if unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK) != nil {
		return nil
	}
	_, _ = unix.FcntlInt(uintptr(fds[1]), unix.F_SETPIPE_SZ, spliceBytes)
	p := &pooledPipe{pipe: pipe{fds[0], fds[1]}}
	p.cleanup = runtime.AddCleanup(p, pipe.close, p.pipe)
	return p
}

// put gives an empty pipe back.
func (p *pooledPipe) put() { pipes.Put(p) }

// discard closes a pipe, and what is in it.
func (p *pooledPipe) discard() {
	p.cleanup.Stop()
	p.close()
}

func (p pipe) close() {
	_ = unix.Close(p.r)
	_ = unix.Close(p.w)
}

// splice moves up to n bytes, without waiting for them.
func splice(from, to int, n int64) (int64, error) {
	for {
		moved, err := unix.Splice(from, nil, to, nil, int(min(n, spliceBytes)), unix.SPLICE_F_NONBLOCK)
		if err != unix.EINTR {
			return int64(moved), err // an int on 32-bit machines
		}
	}
}

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
	held, _, err := c.look()
	if err != nil {
		return err
	}
	if held != nil {
		c.sendByHand(held)
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
	moved, end, err := move(writeSide{c}, src, remain, false)
	return moved, end != moveUnable, err
}

// SpliceTo is Splice from c to the socket, or the file, behind dst, to the end of c.
func (c *Conn) SpliceTo(dst syscall.RawConn, remain int64) (moved int64, handled bool, err error) {
	moved, end, err := move(dst, readSide{c}, remain, false)
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
func move(dst sink, src source, remain int64, calm bool) (moved int64, end moveEnd, err error) {
	still := 0
	for remain > 0 {
		p, n, waited, err := drainSource(src, remain)
		switch {
		case err == errNoPipe, err == unix.EINVAL && moved == 0:
			return moved, moveUnable, nil
		case err != nil:
			return moved, moveDone, spliceError(src, err)
		case n == 0:
			return moved, moveDone, nil
		}
		k, err := pump(dst, p, n)
		moved += k
		remain -= k
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
func drainSource(src source, remain int64) (p *pooledPipe, n int64, waited bool, err error) {
	var serr error
	err = src.Read(func(fd uintptr) bool {
		if p = getPipe(); p == nil {
			serr = errNoPipe
			return true
		}
		n, serr = splice(int(fd), p.w, remain)
		if n > 0 {
			return true
		}
		p.put()
		waited = serr == unix.EAGAIN
		return serr != unix.EAGAIN
	})
	if err == nil {
		err = serr
	}
	return p, max(n, 0), waited, err
}

// pump moves the n bytes that are in p to dst, and returns p.
func pump(dst sink, p *pooledPipe, n int64) (moved int64, err error) {
	var serr error
	err = dst.Write(func(fd uintptr) bool {
		for moved < n {
			var k int64
			k, serr = splice(p.r, int(fd), n-moved)
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
		p.discard()
	} else {
		p.put()
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
