//go:build linux

package engine

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Control runs f on the descriptor, which stays open meanwhile.
func (c *Conn) Control(f func(fd uintptr)) error {
	if !c.acquire() {
		return net.ErrClosed
	}
	defer c.drop()
	f(uintptr(c.fd))
	return nil
}

// mayLinger notes that SO_LINGER may be set. close(2) may then block, which
// must be Close's caller, not the engine.
func (c *Conn) mayLinger() {
	c.mu.Lock()
	c.linger = true
	c.mu.Unlock()
}

// RawControl is Control for code that may do anything to the socket.
func (c *Conn) RawControl(f func(fd uintptr)) error {
	c.mayLinger()
	return c.Control(func(fd uintptr) {
		c.flush()
		f(fd)
	})
}

// RawRead calls f until it returns true, waiting for the socket to be
// readable in between. The ring takes nothing from the socket meanwhile.
func (c *Conn) RawRead(f func(fd uintptr) bool) error {
	c.rmu.Lock()
	defer c.unlockRead()
	if !c.acquire() {
		return net.ErrClosed
	}
	defer c.drop()
	c.mayLinger()
	if err := c.check(&c.r); err != nil {
		return err
	}
	c.idle()
	return c.r.polled(c.openPoller(), f)
}

// RawWrite calls f until it returns true, waiting for the socket to be
// writable in between.
func (c *Conn) RawWrite(f func(fd uintptr) bool) error {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	c.mayLinger()
	return c.whenWritable(f)
}

// whenWritable is RawWrite with wmu held.
func (c *Conn) whenWritable(f func(fd uintptr) bool) error {
	if !c.acquire() {
		return net.ErrClosed
	}
	defer c.drop()
	if err := c.drain(); err != nil {
		return err
	}
	c.credit = 0 // f takes room, too
	return c.w.polled(c.openPoller(), f)
}

// Dup returns a copy of the descriptor. If no Read is under way the ring lets
// go of the socket first, so that what arrives from now on is for whoever
// reads first, as with any duplicate.
func (c *Conn) Dup() (int, error) {
	if c.rmu.TryLock() {
		c.idle()
		c.unlockRead()
	}
	var dup int
	var derr error
	if err := c.RawControl(func(fd uintptr) {
		dup, derr = c.e.k.Dup(int(fd))
	}); err != nil {
		return -1, err
	}
	return dup, os.NewSyscallError("dup", derr)
}

// ReadError is how WriteTo tells an error of reading from one of its writer.
type ReadError struct{ Err error }

func (e *ReadError) Error() string { return e.Err.Error() }
func (e *ReadError) Unwrap() error { return e.Err }

// WriteTo writes what it reads to w until the end of file, out of the receive
// buffers themselves where bytes are waiting in them. The error is the
// writer's or a *ReadError.
func (c *Conn) WriteTo(w io.Writer) (total int64, err error) {
	scratch := scratches.Get().(*[scratchBytes]byte)
	defer scratches.Put(scratch)
	for {
		var seg segment
		c.rmu.Lock()
		n, err := c.read(scratch[:], &seg)
		c.unlockRead()
		b := scratch[:n]
		if n == 0 {
			b = seg.data
		}
		if len(b) > 0 {
			c.moved.add(len(b))
			k, werr := c.lend(w, b, &seg)
			if k < 0 || k > len(b) {
				if k = 0; werr == nil {
					werr = errInvalidWrite
				}
			}
			if werr == nil && k < len(b) {
				werr = io.ErrShortWrite
			}
			total += int64(k)
			if werr != nil {
				return total, werr
			}
		}
		switch err {
		case nil:
		case io.EOF:
			return total, nil
		default:
			return total, &ReadError{err}
		}
	}
}

// lend writes b, which may lie in seg, and frees seg.
func (c *Conn) lend(w io.Writer, b []byte, seg *segment) (int, error) {
	defer seg.free(c.e.group) // Write may panic
	return w.Write(b)
}

const scratchBytes = 32 << 10

var (
	scratches       = sync.Pool{New: func() any { return new([scratchBytes]byte) }}
	errInvalidWrite = errors.New("invalid write result")
)

// maxSendfile bounds one sendfile(2) or splice(2), in bytes.
const maxSendfile = 4 << 20

// SendFile sends from the file descriptor src, at its offset, up to remain
// bytes, or to the end of file if remain is 0. handled is false if nothing was
// sent because the kernel cannot do it for src or the conn cannot be written.
func (c *Conn) SendFile(src int, remain int64) (sent int64, handled bool, err error) {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	if c.check(&c.w) != nil {
		return 0, false, nil
	}
	toEOF := remain == 0
	var serr error
	werr := c.whenWritable(func(fd uintptr) bool {
		for toEOF || remain > 0 {
			chunk := maxSendfile
			if !toEOF {
				chunk = int(min(remain, maxSendfile))
			}
			n, err := syscall.Sendfile(int(fd), src, nil, chunk)
			if n > 0 {
				sent += int64(n)
				remain -= int64(n)
			}
			switch {
			case err == syscall.EINTR:
			case err == syscall.EAGAIN:
				return false
			case err != nil || n == 0:
				serr = err
				return true
			}
		}
		return true
	})
	if werr != nil {
		return sent, true, werr
	}
	if sent == 0 && (serr == syscall.EINVAL || serr == syscall.ENOSYS || serr == syscall.EOPNOTSUPP || serr == syscall.EIO) {
		return 0, false, nil
	}
	if serr != nil {
		serr = c.writeError("sendfile", serr)
	}
	return sent, true, serr
}

// Splice moves up to remain bytes from the socket behind src to c through a
// pipe, without copying them out of the kernel. handled is false if nothing
// was moved because the kernel cannot do it for src.
func (c *Conn) Splice(src syscall.RawConn, remain int64) (moved int64, handled bool, err error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return 0, false, nil
	}
	defer unix.Close(p[0])
	defer unix.Close(p[1])
	_, _ = unix.FcntlInt(uintptr(p[1]), unix.F_SETPIPE_SZ, 1<<20)
	for remain > 0 {
		var n int64
		var serr error
		rerr := src.Read(func(fd uintptr) bool {
			for {
				n, serr = unix.Splice(int(fd), nil, p[1], nil, int(min(remain, 1<<20)), unix.SPLICE_F_NONBLOCK)
				if serr != unix.EINTR {
					return serr != unix.EAGAIN
				}
			}
		})
		switch {
		case rerr != nil:
			return moved, true, rerr
		case serr == unix.EINVAL && moved == 0:
			return 0, false, nil
		case serr != nil:
			return moved, true, os.NewSyscallError("splice", serr)
		case n == 0:
			return moved, true, nil
		}
		remain -= n
		k, err := c.drainPipe(p[0], n)
		if moved += k; err != nil {
			return moved, true, err
		}
	}
	return moved, true, nil
}

// drainPipe moves n bytes from a pipe to the socket.
func (c *Conn) drainPipe(pipe int, n int64) (moved int64, err error) {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	var serr error
	werr := c.whenWritable(func(fd uintptr) bool {
		for moved < n {
			k, err := unix.Splice(pipe, nil, int(fd), nil, int(n-moved), unix.SPLICE_F_NONBLOCK)
			moved += max(k, 0)
			switch {
			case err == unix.EINTR:
			case err == unix.EAGAIN:
				return false
			case err != nil || k == 0:
				serr = err
				return true
			}
		}
		return true
	})
	if werr == nil && serr != nil {
		werr = c.writeError("splice", serr)
	}
	return moved, werr
}
