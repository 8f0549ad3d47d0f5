//go:build linux

package quoit

import (
	"errors"
	"io"
	"syscall"
)

// connWithoutReadFrom has all methods of a Conn but ReadFrom, for io.Copy, which would
// call it again.
type connWithoutReadFrom struct {
	*Conn
	hidesReadFrom
}

// connWithoutWriteTo has all methods of a Conn but WriteTo, for the same. A ReadFrom that is
// handed one knows it for the Conn.
type connWithoutWriteTo struct {
	*Conn
	hidesWriteTo
}

// SyscallConn is refused: package net's ReadFrom would try sendfile(2) by it, in vain, and
// the Conn would be one that others may reach.
func (connWithoutWriteTo) SyscallConn() (syscall.RawConn, error) { return nil, errors.ErrUnsupported }

// A struct with two methods of one name has none of that name.
type (
	hidesReadFrom struct{}
	hidesWriteTo  struct{}
)

func (hidesReadFrom) ReadFrom(io.Reader) (int64, error) { panic("unreachable") }
func (hidesWriteTo) WriteTo(io.Writer) (int64, error)   { panic("unreachable") }
