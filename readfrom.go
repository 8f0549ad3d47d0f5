//go:build linux

package quoit

import (
	"io"
	"math"
	"net"
	"os"
	"reflect"
	"runtime"
	"syscall"
)

// readFrom does what net.TCPConn's ReadFrom does: splice, sendfile, or a copy.
func (c *Conn) readFrom(r io.Reader) (int64, error) {
	lr, limited := r.(*io.LimitedReader)
	src, remain := r, int64(0)
	if limited {
		if src, remain = lr.R, lr.N; remain <= 0 {
			return 0, nil
		}
	}
	n, handled, err := c.readFromKernel(src, remain)
	if limited {
		lr.N -= n
	}
	if handled {
		return n, err
	}
	return io.Copy(writerOnly{c}, r)
}

// readFromKernel moves up to remain bytes (0: all) from src without bringing
// them to user space, where src and the kernel allow it.
func (c *Conn) readFromKernel(src io.Reader, remain int64) (n int64, handled bool, err error) {
	defer runtime.KeepAlive(c)
	sc, ok := src.(syscall.Conn)
	if !ok || c.network == "unix" {
		return 0, false, nil
	}
	// net and os hand ReadFrom wrappers of their own types that hide WriteTo.
	// Any other type with a SyscallConn may have a Read that does more.
	_, file := src.(*os.File)
	_, socket := src.(*net.TCPConn)
	if uc, ok := src.(*net.UnixConn); ok {
		socket = uc.LocalAddr().Network() == "unix"
	}
	switch reflect.TypeOf(src).String() {
	case "os.fileWithoutWriteTo", "*os.fileWithoutWriteTo":
		file = true
	case "net.tcpConnWithoutWriteTo", "*net.tcpConnWithoutWriteTo":
		socket = true
	}
	if !file && !socket {
		return 0, false, nil
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return 0, false, nil
	}
	if socket {
		if remain == 0 {
			remain = math.MaxInt64
		}
		return c.ec.Splice(rc, remain)
	}
	rerr := rc.Read(func(fd uintptr) bool {
		n, handled, err = c.ec.SendFile(int(fd), remain)
		return true
	})
	if err == nil && rerr != nil {
		return n, handled, rerr
	}
	return n, handled, err
}

// writerOnly hides ReadFrom from io.Copy.
type writerOnly struct{ io.Writer }
