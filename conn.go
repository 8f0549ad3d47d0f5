//go:build linux

package quoit

import (
	"io"
	"net"
	"os"
	"runtime"
	"syscall"
	"time"

	"github.com/quoit-go/quoit/engine"
)

// Conn is a TCP conn on the ring, made by a [Listener] or a [Dialer]. It has
// the methods of *net.TCPConn and behaves as it does. All may be called
// concurrently. A Conn that becomes unreachable is closed.
type Conn struct{ conn }

// UnixConn is a conn of network "unix" on the ring. It has the methods of
// *net.UnixConn that concern streams; otherwise it is like [Conn].
type UnixConn struct{ conn }

// conn is what the two have in common.
type conn struct {
	ec      *engine.Conn
	network string
	raddr   net.Addr
	cleanup runtime.Cleanup
}

// newConn makes the conn that ec needs.
func newConn(ec *engine.Conn, network string, raddr net.Addr) net.Conn {
	var c *conn
	var out net.Conn
	if network == "unix" {
		u := new(UnixConn)
		c, out = &u.conn, u
	} else {
		t := new(Conn)
		c, out = &t.conn, t
	}
	c.ec, c.network, c.raddr = ec, network, raddr
	c.cleanup = runtime.AddCleanup(c, func(ec *engine.Conn) { ec.Close() }, ec)
	return out
}

func (c *conn) ok() bool { return c != nil && c.ec != nil }

// Read reads up to len(b) bytes. At the end of the stream it returns io.EOF.
// b is not touched after Read has returned.
func (c *conn) Read(b []byte) (int, error) {
	if !c.ok() {
		return 0, syscall.EINVAL
	}
	n, err := c.ec.Read(b)
	runtime.KeepAlive(c)
	if err != nil {
		return n, c.opError("read", err)
	}
	return n, nil
}

// Write writes b and returns when the kernel has taken all of it, or the
// engine, for a small one; see the list of differences. With an error it returns
// how many bytes were taken. b is not used after Write has returned.
// Concurrent Writes do not interleave.
func (c *conn) Write(b []byte) (int, error) {
	if !c.ok() {
		return 0, syscall.EINVAL
	}
	n, err := c.ec.Write(b)
	runtime.KeepAlive(c)
	if err != nil {
		return n, c.opError("write", err)
	}
	return n, nil
}

// Close closes the conn; parked calls return net.ErrClosed. It returns when no
// other call uses the socket and the peer has been told. The kernel then has all
// that Write has taken, unless it is short of memory: see the list of differences.
// An error says that bytes were lost. A second Close returns net.ErrClosed.
func (c *conn) Close() error {
	if !c.ok() {
		return syscall.EINVAL
	}
	err := c.ec.Close()
	c.cleanup.Stop()
	if err != nil {
		return c.opError("close", err)
	}
	return nil
}

// CloseRead shuts the reading side down. Most callers just use Close.
func (c *conn) CloseRead() error { return c.shutdown(syscall.SHUT_RD) }

// CloseWrite shuts the writing side down: the peer reads what was written,
// then io.EOF.
func (c *conn) CloseWrite() error { return c.shutdown(syscall.SHUT_WR) }

func (c *conn) shutdown(how int) error {
	if !c.ok() {
		return syscall.EINVAL
	}
	return c.opError("close", c.ec.Shutdown(how))
}

// opError returns what a *net.TCPConn would. io.EOF stays bare.
func (c *conn) opError(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &net.OpError{Op: op, Net: c.network, Source: c.LocalAddr(), Addr: c.raddr, Err: err}
}

// setError is opError for the calls where net names the local address only.
func (c *conn) setError(op string, err error) error {
	if err == nil {
		return nil
	}
	return &net.OpError{Op: op, Net: c.network, Addr: c.LocalAddr(), Err: err}
}

// LocalAddr returns the local address. Do not modify it.
func (c *conn) LocalAddr() net.Addr {
	if !c.ok() {
		return nil
	}
	return c.ec.LocalAddr()
}

// RemoteAddr returns the peer's address, or nil if [FileConn] was given a
// socket that its peer had reset. Do not modify it.
func (c *conn) RemoteAddr() net.Addr {
	if !c.ok() {
		return nil
	}
	return c.raddr
}

// SetDeadline sets both deadlines; see [net.Conn].
func (c *conn) SetDeadline(t time.Time) error { return c.setDeadlines(t, true, true) }

// SetReadDeadline sets the deadline of Read calls, of one that is parked too.
func (c *conn) SetReadDeadline(t time.Time) error { return c.setDeadlines(t, true, false) }

// SetWriteDeadline sets the deadline of Write calls, of one that is parked
// too.
func (c *conn) SetWriteDeadline(t time.Time) error { return c.setDeadlines(t, false, true) }

func (c *conn) setDeadlines(t time.Time, read, write bool) error {
	if !c.ok() {
		return syscall.EINVAL
	}
	return c.setError("set", c.ec.SetDeadlines(t, read, write))
}

// File returns a copy of the socket, the caller's to close. It is independent
// of c, but for what belongs to the socket: its Fd method sets that to blocking
// mode, and Reads and Writes of c go on all the same.
func (c *conn) File() (*os.File, error) {
	if !c.ok() {
		return nil, syscall.EINVAL
	}
	f, err := c.ec.File(c.name())
	runtime.KeepAlive(c)
	if err != nil {
		return nil, c.opError("file", err)
	}
	return f, nil
}

// name is what package net calls a conn's file.
func (c *conn) name() string {
	s := c.network + ":"
	if a := c.LocalAddr(); a != nil {
		s += a.String()
	}
	s += "->"
	if c.raddr != nil {
		s += c.raddr.String()
	}
	return s
}

// SyscallConn gives access to the socket, which sees what package net's would:
// from the first use on each Read and Write of c is a system call of its own.
func (c *conn) SyscallConn() (syscall.RawConn, error) {
	if !c.ok() {
		return nil, syscall.EINVAL
	}
	return rawConn{c}, nil
}

type rawConn struct{ c *conn }

func (r rawConn) Control(f func(uintptr)) error {
	return r.c.setError("raw-control", r.c.ec.RawControl(f))
}

func (r rawConn) Read(f func(uintptr) bool) error {
	return r.c.opError("raw-read", r.c.ec.RawRead(f))
}

func (r rawConn) Write(f func(uintptr) bool) error {
	return r.c.opError("raw-write", r.c.ec.RawWrite(f))
}
