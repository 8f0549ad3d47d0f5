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
		if kind, hidden := sourceOf(src); handled && !limited && hidden && kind == fileSource {
			// It is os.File's WriteTo that called, which for a conn of package
			// net would have sent the file itself, with errors of its own.
			name := src.(interface{ Name() string }).Name()
			err = &fs.PathError{Op: "read", Path: name, Err: err.(*net.OpError).Err}
		}
	}
	return n, err
}

// source is what the kernel can move bytes from.
type source int

const (
	noSource     source = iota
	fileSource          // by sendfile(2)
	socketSource        // by splice(2)
)

// hiddenSources are the types by which os.File's and net.TCPConn's WriteTo keep
// io.Copy from calling them again. They have names only, which were read in
// Go 1.26: in os/file.go and net/net.go.
var hiddenSources = map[string]source{
	"os.fileWithoutWriteTo":     fileSource,
	"net.tcpConnWithoutWriteTo": socketSource,
}

// sourceOf says what r is, and whether it is one of hiddenSources. Any other
// type with a SyscallConn may have a Read that does more.
func sourceOf(r io.Reader) (kind source, hidden bool) {
	switch r := r.(type) {
	case nil:
		return noSource, false
	case *os.File:
		return fileSource, false
	case *net.TCPConn:
		return socketSource, false
	case *net.UnixConn:
		if r.LocalAddr().Network() == "unix" {
			return socketSource, false
		}
		return noSource, false
	}
	t := reflect.TypeOf(r)
	kind, hidden = hiddenSources[t.PkgPath()+"."+t.Name()]
	return kind, hidden
}

// readFromKernel moves up to remain bytes (0: all) from src without bringing
// them to user space, where src and the kernel allow it.
func (c *Conn) readFromKernel(src io.Reader, remain int64) (n int64, handled bool, err error) {
	defer runtime.KeepAlive(c)
	kind, _ := sourceOf(src)
	if kind == noSource {
		return 0, false, nil
	}
	rc, err := src.(syscall.Conn).SyscallConn()
	if err != nil {
		return 0, false, nil
	}
	if kind == socketSource {
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

// ReadFrom copies r to c until the end of file: from a file by sendfile(2),
// from one of package net's stream conns by splice(2).
func (c *Conn) ReadFrom(r io.Reader) (int64, error) {
	if !c.ok() {
		return 0, syscall.EINVAL
	}
	return c.readFrom(r)
}
