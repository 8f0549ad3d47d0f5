//go:build linux

package engine

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/internal/sock"
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

// LocalAddr returns the conn's own address, the same one each time. The kernel is asked
// for it at the first call, which may be Close's.
func (c *Conn) LocalAddr() net.Addr {
	if a := c.local.Load(); a != nil {
		return *a
	}
	var sa syscall.Sockaddr
	_ = c.Control(func(fd uintptr) { sa, _ = c.e.k.Getsockname(int(fd)) })
	a := sock.NetAddr(sa, c.tcp)
	c.local.CompareAndSwap(nil, &a)
	return *c.local.Load()
}

// share notes that others may reach the socket from now on, by a number or a
// copy, and has the kernel take what Write has accepted: from here on each call
// of the conn's is a system call of its own. The socket goes into the netpoller
// while it is certain that it can: others may make it a blocking one, which
// package os would not put there. The caller has a reference.
func (c *Conn) share() {
	c.mu.Lock()
	c.shared = true
	c.mu.Unlock()
	c.openPoller()
	c.flush(false)
}

// RawControl is Control for code that may do anything to the socket.
func (c *Conn) RawControl(f func(fd uintptr)) error {
	return c.Control(func(fd uintptr) {
		c.share()
		f(fd)
	})
}

// RawRead calls f until it returns true, waiting for the socket to be
// readable in between.
func (c *Conn) RawRead(f func(fd uintptr) bool) error {
	c.rmu.Lock()
	defer c.rmu.Unlock()
	if !c.acquire() {
		return net.ErrClosed
	}
	defer c.drop()
	if err := c.check(&c.r); err != nil {
		return err
	}
	c.share()
	c.r.raw = true
	defer func() { c.r.raw = false }()
	return c.r.polled(f)
}

// RawWrite calls f until it returns true, waiting for the socket to be
// writable in between.
func (c *Conn) RawWrite(f func(fd uintptr) bool) error {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	if !c.acquire() {
		return net.ErrClosed
	}
	defer c.drop()
	c.share()
	return c.whenWritable(f)
}

// whenWritable calls f as RawWrite does, for an f that does no more than write.
// Called with wmu held.
func (c *Conn) whenWritable(f func(fd uintptr) bool) error {
	if !c.acquire() {
		return net.ErrClosed
	}
	defer c.drop()
	if err := c.drain(); err != nil {
		return err
	}
	c.credit = 0 // f takes room, too
	c.openPoller()
	return c.w.polled(f)
}

// maxSendfile bounds one sendfile(2), in bytes.
const maxSendfile = 4 << 20

// SendFile sends from the file descriptor src, at its offset, up to remain
// bytes, or to the end of file. handled is false if nothing was
// sent because the kernel cannot do it for src or the conn cannot be written.
func (c *Conn) SendFile(src int, remain int64) (sent int64, handled bool, err error) {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	if c.check(&c.w) != nil {
		return 0, false, nil
	}
	var serr error
	werr := c.whenWritable(func(fd uintptr) bool {
		for remain > 0 {
			n, err := c.e.k.SendFile(int(fd), src, int(min(remain, maxSendfile)))
			if n > 0 {
				c.meter.MovedOut(int64(n))
				sent += int64(n)
				remain -= int64(n)
			}
			switch {
			case err == unix.EINTR:
			case err == unix.EAGAIN:
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
	if sent == 0 && (serr == unix.EINVAL || serr == unix.ENOSYS || serr == unix.EOPNOTSUPP || serr == unix.EIO) {
		return 0, false, nil
	}
	if serr != nil {
		serr = c.writeError("sendfile", serr)
	}
	return sent, true, serr
}
