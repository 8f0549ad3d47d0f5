//go:build linux

package quoit

import (
	"errors"
	"io"
	"net"

	"github.com/quoit-go/quoit/engine"
)

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

// engineError puts the engine's errors into this package's words.
func engineError(err error) error {
	if errors.Is(err, engine.ErrClosed) {
		return ErrEngineClosed
	}
	return err
}
