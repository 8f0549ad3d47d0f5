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
	src, remain := r, int64(math.MaxInt64)
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
		var m int64
		m, err = io.Copy(connWithoutReadFrom{c, hidesReadFrom{}}, r)
		n += m
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

// readFromKernel moves up to remain bytes from src without bringing
// them to the caller, where src and the kernel allow it.
func (c *Conn) readFromKernel(src io.Reader, remain int64) (n int64, handled bool, err error) {
	defer runtime.KeepAlive(c)
	if s := ringConn(src); s != nil {
		return c.forward(s, remain)
	}
	kind, _ := sourceOf(src)
	if kind == noSource {
		return 0, false, nil
	}
	rc, err := src.(syscall.Conn).SyscallConn()
	if err != nil {
		return 0, false, nil
	}
	if kind == socketSource {
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

// ringConn returns what v is of this package's conns, or nil.
func ringConn(v any) *conn {
	var c *conn
	switch v := v.(type) {
	case *Conn:
		if v != nil {
			c = &v.conn
		}
	case connWithoutWriteTo:
		c = &v.conn
	case *UnixConn:
		if v != nil {
			c = &v.conn
		}
	}
	if c.ok() {
		return c
	}
	return nil
}

// forward moves up to remain bytes from src to c.
func (c *conn) forward(src *conn, remain int64) (n int64, handled bool, err error) {
	n, handled, err = c.ec.Forward(src.ec, remain)
	runtime.KeepAlive(c)
	runtime.KeepAlive(src)
	return n, handled, err
}

// ReadFrom copies r to c until the end of file: from a file by sendfile(2), from
// a stream conn of package net by splice(2). From a TCP conn of this package the
// ring's thread forwards small messages, so that no goroutine is woken for them,
// and large ones are spliced. A *net.Buffers, which io.Copy does not pass on, goes
// as by WriteBuffers.
func (c *Conn) ReadFrom(r io.Reader) (int64, error) {
	if !c.ok() {
		return 0, syscall.EINVAL
	}
	if v, ok := r.(*net.Buffers); ok {
		n, err := c.WriteBuffers(v)
		return n, c.opError("readfrom", err)
	}
	return c.readFrom(r)
}
