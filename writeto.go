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

	"github.com/quoit-go/quoit/engine"
)

// WriteTo copies c to w until the end of file: to a conn of this package as its
// [Conn.ReadFrom] does, to one of package net and to a file by splice(2).
func (c *Conn) WriteTo(w io.Writer) (int64, error) {
	if !c.ok() {
		return 0, syscall.EINVAL
	}
	n, handled, err := c.writeToKernel(w)
	if !handled {
		var m int64
		m, err = io.Copy(w, connWithoutWriteTo{c, hidesWriteTo{}}) // whose ReadFrom has its say, too
		n += m
	}
	if err == nil || err == io.EOF { // of the writer, as io.Copy has it
		return n, err
	}
	if handled && hiddenFile(w) != nil {
		return n, err // os.File's ReadFrom has called, and returns it as it is
	}
	return n, c.opError("writeto", err)
}

// writeToKernel moves c to w without bringing it to the caller, where w and the
// kernel allow it, and w has no ReadFrom that does. The error is what the writer's
// ReadFrom would return.
func (c *Conn) writeToKernel(w io.Writer) (n int64, handled bool, err error) {
	switch w := w.(type) {
	case *UnixConn:
		if ringConn(w) != nil {
			return w.forward(&c.conn, math.MaxInt64)
		}
	case *net.TCPConn:
		n, handled, err = c.spliceTo(w)
		if err != nil {
			_, err = w.ReadFrom(failingReader{err}) // which has the error say what w is
		}
		return n, handled, err
	case *net.UnixConn:
		if w != nil && w.LocalAddr().Network() == "unix" {
			return c.spliceTo(w)
		}
	case *os.File:
		if w != nil {
			return c.spliceToFile(w)
		}
	default:
		if f := hiddenFile(w); f != nil {
			return c.spliceToFile(f)
		}
	}
	return 0, false, nil
}

// file is an *os.File, or what os hides one in.
type file interface {
	syscall.Conn
	Name() string
}

// hiddenFile returns w if it is the type by which os.File's ReadFrom keeps io.Copy
// from calling it again, or nil. The type has a name only, which was read in Go
// 1.26, in os/file.go. Its file is not nil: ReadFrom has written to it, or would have.
func hiddenFile(w io.Writer) file {
	if t := reflect.TypeOf(w); t == nil || t.PkgPath() != "os" || t.Name() != "fileWithoutReadFrom" {
		return nil
	}
	f, _ := w.(file)
	return f
}

// failingReader has ReadFrom of package net's conns return its error, in the form
// that is theirs alone to give.
type failingReader struct{ error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.error }

func (c *Conn) spliceTo(w syscall.Conn) (n int64, handled bool, err error) {
	rc, err := w.SyscallConn()
	if err != nil {
		return 0, false, nil
	}
	n, handled, err = c.ec.SpliceTo(rc)
	runtime.KeepAlive(c)
	return n, handled, err
}

// spliceToFile is spliceTo for files, of which the kernel does not take those
// that are open for appending.
func (c *Conn) spliceToFile(f file) (n int64, handled bool, err error) {
	rc, err := f.SyscallConn()
	if err != nil {
		return 0, false, nil
	}
	if engine.Appends(rc) {
		return 0, false, nil
	}
	n, handled, err = c.ec.SpliceTo(&engine.File{RawConn: rc})
	runtime.KeepAlive(c)
	if err != nil {
		if err.Error() == "use of closed file" { // internal/poll's, which os does not show
			err = os.ErrClosed
		}
		err = &fs.PathError{Op: "write", Path: f.Name(), Err: err}
	}
	return n, handled, err
}
