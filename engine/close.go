//go:build linux

package engine

import (
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Shutdown shuts one direction down: unix.SHUT_RD or unix.SHUT_WR. What Write has
// accepted is in the kernel by then. If it cannot be, the kernel being short of
// memory, the end follows it later.
func (c *Conn) Shutdown(how int) error {
	switch {
	case c.isClosed():
		return net.ErrClosed
	case how == unix.SHUT_RD:
		return c.shutdown(how)
	}
	c.fails() // what is written now must fail at once
	if c.flush(false) {
		return c.shutdownWrite()
	}
	go func() {
		c.flush(true)
		_ = c.shutdownWrite()
	}()
	return nil
}

// isClosed reports whether Close has begun.
func (c *Conn) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// shutdownWrite shuts the writing half down after flush.
func (c *Conn) shutdownWrite() error {
	c.mu.Lock()
	damage, closed := c.damage, c.closed
	c.mu.Unlock()
	switch {
	case closed:
		return net.ErrClosed
	case damage == holed:
		return os.NewSyscallError("shutdown", unix.ENOTCONN) // as after a reset
	}
	return c.shutdown(unix.SHUT_WR)
}

func (c *Conn) shutdown(how int) error {
	if !c.acquire() {
		return net.ErrClosed
	}
	defer c.drop()
	return os.NewSyscallError("shutdown", c.e.k.Shutdown(c.fd, how))
}

// SetLinger is setsockopt(SO_LINGER) as net.TCPConn.SetLinger means it.
func (c *Conn) SetLinger(sec int) error {
	var l unix.Linger
	if sec >= 0 {
		l = unix.Linger{Onoff: 1, Linger: int32(sec)}
	}
	var serr error
	err := c.Control(func(fd uintptr) {
		serr = unix.SetsockoptLinger(int(fd), unix.SOL_SOCKET, unix.SO_LINGER, &l)
	})
	if err != nil {
		return err
	}
	return os.NewSyscallError("setsockopt", serr)
}

// closeTime is how long a closed conn may go on with what Write had accepted.
const closeTime = time.Minute

// Close ends the conn: parked calls return net.ErrClosed, and the socket is
// closed by close(2) before Close returns, with a FIN, or a RST if something
// was left unread. What Write has accepted is in the kernel by then, unless the
// kernel is short of memory: then Close returns, and a goroutine waits for that
// for up to closeTime and calls close(2). A second Close returns net.ErrClosed.
func (c *Conn) Close() error {
	c.LocalAddr() // errors after Close still name it
	if !c.beginClose() {
		return net.ErrClosed
	}
	c.wmu.haltRelay()
	if c.flush(false) {
		lost := c.tellLost()
		if err := c.endClose(); err != nil {
			return err
		}
		return lost
	}
	c.refs.close() // nobody else may use the descriptor meanwhile
	go func() {
		t := setTimer(c.e.k, nil, closeTime, func() { c.e.post(&c.node, wantCancelSend) })
		c.flush(true)
		t.Stop()
		_ = c.endClose()
	}()
	return nil
}

// endClose is Close after flush.
func (c *Conn) endClose() error {
	p := c.planClose()
	c.refs.close()
	if p.reset && c.tcp {
		_ = c.e.k.ResetOnClose(c.fd) // as the kernel does for what it drops itself
	}
	switch {
	case !p.known:
	case !p.armed:
		c.e.postQuietly(&c.node, wantEnd) // only to free the slot
	default:
		// Not shutdown(2), which would be faster: where close(2) resets, for
		// SO_LINGER or for bytes left unread, no FIN must come first.
		c.e.post(&c.node, wantEnd)
	}
	return bare(c.closeLast())
}

// tellLost is why accepted bytes were lost, if nobody has been told. A Write
// under way gets its own error.
func (c *Conn) tellLost() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tell("write")
}

// beginClose marks the conn closed, once, and ends the waits of Reads and
// Writes.
func (c *Conn) beginClose() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.closed = true
	c.r.end(net.ErrClosed)
	c.w.end(net.ErrClosed)
	return true
}

// closing is what Close finds of a conn.
type closing struct {
	known bool // to the engine
	armed bool // a poll is to be cancelled
	reset bool // accepted bytes were lost
}

// planClose looks at what there is to end.
func (c *Conn) planClose() closing {
	c.mu.Lock()
	defer c.mu.Unlock()
	return closing{known: c.known, armed: c.poll.isArmed(), reset: c.damage == holed}
}

// closeLast drops the owner's reference and, when all others have been
// dropped, closes the descriptor. refs is closed, so that no new ones come.
func (c *Conn) closeLast() error {
	var idle chan struct{}
	if !c.refs.alone() {
		idle = newToken()
		c.mu.Lock()
		c.idle = idle
		c.mu.Unlock()
	}
	if c.refs.release() {
		c.unlist()
	} else {
		c.e.wait(idle)
	}
	return c.closeFD()
}
