//go:build linux

package quoit

import (
	"io"
	"net"
	"os"
	"syscall"
)

// ReadMsgUnix reads from a unix conn into b, and what came along as control
// messages into oob; see [net.UnixConn.ReadMsgUnix].
func (c *UnixConn) ReadMsgUnix(b, oob []byte) (n, oobn, flags int, addr *net.UnixAddr, err error) {
	if !c.ok() {
		return 0, 0, 0, nil, syscall.EINVAL
	}
	var from syscall.Sockaddr
	var serr error
	err = c.ec.RawRead(func(fd uintptr) bool {
		for {
			n, oobn, flags, from, serr = syscall.Recvmsg(int(fd), b, oob, syscall.MSG_CMSG_CLOEXEC)
			if serr != syscall.EINTR {
				return serr != syscall.EAGAIN
			}
		}
	})
	switch { // n may be -1, as net's
	case err != nil:
	case serr != nil:
		err = os.NewSyscallError("recvmsg", serr)
	case n == 0:
		err = io.EOF
	}
	if sa, ok := from.(*syscall.SockaddrUnix); ok && sa.Name != "" {
		addr = &net.UnixAddr{Name: sa.Name, Net: "unix"}
	}
	if err != nil {
		err = &net.OpError{Op: "read", Net: c.network, Source: c.LocalAddr(), Addr: c.raddr, Err: err}
	}
	return n, oobn, flags, addr, err
}

// WriteMsgUnix writes b to a unix conn, and oob along with it as control
// messages; see [net.UnixConn.WriteMsgUnix].
func (c *UnixConn) WriteMsgUnix(b, oob []byte, addr *net.UnixAddr) (n, oobn int, err error) {
	if !c.ok() {
		return 0, 0, syscall.EINVAL
	}
	if addr == nil {
		n, err = c.sendmsg(b, oob, nil)
	} else if err = syscall.EAFNOSUPPORT; addr.Net == "unix" {
		n, err = c.sendmsg(b, oob, &syscall.SockaddrUnix{Name: addr.Name})
	}
	if err != nil {
		to := net.Addr(nil)
		if addr != nil {
			to = addr
		}
		return 0, 0, &net.OpError{Op: "write", Net: c.network, Source: c.LocalAddr(), Addr: to, Err: err}
	}
	return n, len(oob), nil
}

func (c *UnixConn) sendmsg(b, oob []byte, to syscall.Sockaddr) (n int, err error) {
	var serr error
	err = c.ec.RawWrite(func(fd uintptr) bool {
		for {
			n, serr = syscall.SendmsgN(int(fd), b, oob, to, 0) // a SIGPIPE is Go's to drop
			if serr != syscall.EINTR {
				return serr != syscall.EAGAIN
			}
		}
	})
	if err == nil {
		err = os.NewSyscallError("sendmsg", serr)
	}
	return n, err
}
