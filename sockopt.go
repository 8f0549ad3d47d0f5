//go:build linux

package quoit

import (
	"cmp"
	"math"
	"net"
	"os"
	"syscall"
	"time"
)

// Options of a socket, set as package net sets them.

const (
	solMPTCP  = 284
	mptcpInfo = 1

	keepAliveIdle     = 15 * time.Second
	keepAliveInterval = 15 * time.Second
	keepAliveCount    = 9

	tcpUserTimeout = 18 // TCP_USER_TIMEOUT, linux/tcp.h
	maxUserTimeout = math.MaxInt32 * time.Millisecond
)

func setInt(fd, level, name, value int) error {
	return os.NewSyscallError("setsockopt", syscall.SetsockoptInt(fd, level, name, value))
}

func bit(on bool) int {
	if on {
		return 1
	}
	return 0
}

// setSeconds sets an option in whole seconds, rounded up. Zero means def, a
// negative d leaves the option alone.
func setSeconds(fd, name int, d, def time.Duration) error {
	if d < 0 {
		return nil
	}
	if d == 0 {
		d = def
	}
	return setInt(fd, syscall.IPPROTO_TCP, name, int((d+time.Second-1)/time.Second))
}

func setKeepAliveConfig(fd int, ka net.KeepAliveConfig) error {
	if err := setInt(fd, syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, bit(ka.Enable)); err != nil {
		return err
	}
	if err := setSeconds(fd, syscall.TCP_KEEPIDLE, ka.Idle, keepAliveIdle); err != nil {
		return err
	}
	if err := setSeconds(fd, syscall.TCP_KEEPINTVL, ka.Interval, keepAliveInterval); err != nil {
		return err
	}
	if ka.Count < 0 {
		return nil
	}
	n := ka.Count
	if n == 0 {
		n = keepAliveCount
	}
	return setInt(fd, syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, n)
}

// option runs set on c's socket, and returns its error by way of wrap.
func (c *conn) option(wrap func(op string, err error) error, set func(fd int) error) error {
	if !c.ok() {
		return syscall.EINVAL // as it is, like package net's
	}
	var serr error
	if err := c.ec.Control(func(fd uintptr) { serr = set(int(fd)) }); err != nil {
		serr = err
	}
	return wrap("set", serr)
}

func plainError(_ string, err error) error { return err }

// SetNoDelay sets whether small writes go out at once (TCP_NODELAY), which is
// the default.
func (c *Conn) SetNoDelay(noDelay bool) error {
	return c.option(c.opError, func(fd int) error {
		return setInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, bit(noDelay))
	})
}

// SetKeepAlive switches keep-alive probes on or off.
func (c *Conn) SetKeepAlive(keepalive bool) error {
	return c.option(c.opError, func(fd int) error {
		return setInt(fd, syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, bit(keepalive))
	})
}

// SetKeepAlivePeriod sets how long the conn is idle before the first
// keep-alive probe.
func (c *Conn) SetKeepAlivePeriod(d time.Duration) error {
	return c.option(c.opError, func(fd int) error {
		return setSeconds(fd, syscall.TCP_KEEPIDLE, d, keepAliveIdle)
	})
}

// SetKeepAliveConfig sets the keep-alive probes; see [net.KeepAliveConfig].
func (c *Conn) SetKeepAliveConfig(config net.KeepAliveConfig) error {
	return c.option(c.opError, func(fd int) error { return setKeepAliveConfig(fd, config) })
}

// SetUserTimeout sets for how long bytes that were written may wait for the peer to
// acknowledge them, or to take any, before the kernel ends the conn: Reads and Writes
// then fail with ETIMEDOUT. It is TCP_USER_TIMEOUT, rounded up to milliseconds, and
// also what ends a conn whose keep-alive probes find no answer. 0 means the kernel's
// limit, some 15 minutes by default, and none where the peer's buffer is full.
//
// A negative d, or one of more than 24 days, is a *net.OpError around EINVAL. Conns of
// MPTCP do not have the option. First kernel: 2.6.37.
func (c *Conn) SetUserTimeout(d time.Duration) error {
	return c.option(c.opError, func(fd int) error { return userTimeout(fd, d) })
}

func userTimeout(fd int, d time.Duration) error {
	if d < 0 || d > maxUserTimeout {
		return os.NewSyscallError("setsockopt", syscall.EINVAL) // as the kernel says to what is negative
	}
	ms := int((d + time.Millisecond - 1) / time.Millisecond)
	return setInt(fd, syscall.IPPROTO_TCP, tcpUserTimeout, ms)
}

// SetReadBuffer sets the size of the kernel's receive buffer, in bytes.
func (c *conn) SetReadBuffer(bytes int) error {
	return c.option(c.setError, func(fd int) error {
		return setInt(fd, syscall.SOL_SOCKET, syscall.SO_RCVBUF, bytes)
	})
}

// SetWriteBuffer sets the size of the kernel's send buffer, in bytes.
func (c *conn) SetWriteBuffer(bytes int) error {
	return c.option(c.setError, func(fd int) error {
		return setInt(fd, syscall.SOL_SOCKET, syscall.SO_SNDBUF, bytes)
	})
}

// SetLinger sets what Close does with bytes the peer has not confirmed: send
// them in the background (sec < 0, the default), discard them and reset
// (sec == 0), or wait for up to sec seconds.
func (c *Conn) SetLinger(sec int) error {
	if !c.ok() {
		return syscall.EINVAL
	}
	return c.opError("set", c.ec.SetLinger(sec))
}

// MultipathTCP reports whether the conn uses MPTCP and has not fallen back
// to TCP.
func (c *Conn) MultipathTCP() (bool, error) {
	if !c.ok() {
		return false, syscall.EINVAL
	}
	// A conn that fell back, or never was one, has no MPTCP_INFO.
	err := c.option(plainError, func(fd int) error {
		_, err := syscall.GetsockoptInt(fd, solMPTCP, mptcpInfo)
		return err
	})
	return err != syscall.EOPNOTSUPP && err != syscall.ENOPROTOOPT, nil
}

// setOptions sets what net sets on an accepted conn, and reports whether all could be
// set, which net does not ask.
func setOptions(fd int, idle time.Duration, ka net.KeepAliveConfig) bool {
	err := setInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	if !ka.Enable && idle >= 0 {
		ka = net.KeepAliveConfig{Enable: true, Idle: idle}
	}
	if ka.Enable {
		err = cmp.Or(setKeepAliveConfig(fd, ka), err)
	}
	return err == nil
}
