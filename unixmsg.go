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
func (c *Conn) ReadMsgUnix(b, oob []byte) (n, oobn, flags int, addr *net.UnixAddr, err error) {
	if !c.ok() || c.network != "unix" {
		return 0, 0, 0, nil, syscall.EINVAL
	}
	var serr error
	err = c.ec.RawRead(func(fd uintptr) bool {
		for {
			n, oobn, flags, _, serr = syscall.Recvmsg(int(fd), b, oob, syscall.MSG_CMSG_CLOEXEC)
			if serr != syscall.EINTR {
				return serr != syscall.EAGAIN
			}
		}
	})
	switch {
	case err != nil:
		n = 0
	case serr != nil:
		n, err = 0, os.NewSyscallError("recvmsg", serr)
	case n == 0:
		err = io.EOF
	}
	if err != nil {
		err = &net.OpError{Op: "read", Net: c.network, Source: c.LocalAddr(), Addr: c.raddr, Err: err}
	}
	return n, oobn, flags, nil, err
}

// WriteMsgUnix writes b to a unix conn, and oob along with it as control
// messages; see [net.UnixConn.WriteMsgUnix]. addr must be nil.
func (c *Conn) WriteMsgUnix(b, oob []byte, addr *net.UnixAddr) (n, oobn int, err error) {
	if !c.ok() || c.network != "unix" {
		return 0, 0, syscall.EINVAL
	}
	to := net.Addr(nil)
	if addr != nil {
		to = addr
	}
	var serr error
	if addr != nil {
		serr = syscall.EISCONN
	} else {
		err = c.ec.RawWrite(func(fd uintptr) bool {
			for {
				n, serr = syscall.SendmsgN(int(fd), b, oob, nil, syscall.MSG_NOSIGNAL)
				if serr != syscall.EINTR {
					return serr != syscall.EAGAIN
				}
			}
		})
	}
	if err == nil && serr != nil {
		err = os.NewSyscallError("sendmsg", serr)
	}
	if err != nil {
		return 0, 0, &net.OpError{Op: "write", Net: c.network, Source: c.LocalAddr(), Addr: to, Err: err}
	}
	return n, len(oob), nil
}
