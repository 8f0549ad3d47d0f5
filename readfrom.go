//go:build linux

package quoit

import (
	"io"
	"io/fs"
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
	if !handled {
		n, err = io.Copy(writerOnly{c}, r)
	}
	if err != nil && err != io.EOF {
		err = c.opError("readfrom", err)
		if f, ok := src.(interface{ Name() string }); ok && handled && !limited && hidesWriteTo(src) {
			// It is os.File's WriteTo that called, which for a conn of package
			// net would have sent the file itself, with errors of its own.
			err = &fs.PathError{Op: "read", Path: f.Name(), Err: err.(*net.OpError).Err}
		}
	}
	return n, err
}

// hidesWriteTo reports whether r is one of the wrappers by which net and os
// keep io.Copy from calling WriteTo again.
func hidesWriteTo(r io.Reader) bool {
	switch reflect.TypeOf(r).String() {
	case "os.fileWithoutWriteTo", "*os.fileWithoutWriteTo",
		"net.tcpConnWithoutWriteTo", "*net.tcpConnWithoutWriteTo":
		return true
	}
	return false
}

// readFromKernel moves up to remain bytes (0: all) from src without bringing
// them to user space, where src and the kernel allow it.
func (c *Conn) readFromKernel(src io.Reader, remain int64) (n int64, handled bool, err error) {
	defer runtime.KeepAlive(c)
	sc, ok := src.(syscall.Conn)
	if !ok {
		return 0, false, nil
	}
	// Any other type with a SyscallConn may have a Read that does more.
	_, file := src.(*os.File)
	_, socket := src.(*net.TCPConn)
	if uc, ok := src.(*net.UnixConn); ok {
		socket = uc.LocalAddr().Network() == "unix"
	}
	if hidesWriteTo(src) {
		_, file = src.(interface{ Name() string }) // of a file, not of a conn
		socket = !file
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
