//go:build !linux

package quoit

import (
	"context"
	"errors"
	"net"
	"syscall"
	"time"
)

// Conn is the conn that the ring serves on Linux. Elsewhere it is never made.
type Conn struct{ *net.TCPConn }

// UnixConn is the conn of network "unix" that the ring serves on Linux.
// Elsewhere it is never made.
type UnixConn struct{ *net.UnixConn }

// Listener is the listener that the ring serves on Linux. Elsewhere it is
// never made.
type Listener struct{ *net.TCPListener }

// WriteBuffers is v's WriteTo.
func (c *Conn) WriteBuffers(v *net.Buffers) (int64, error) { return v.WriteTo(c.TCPConn) }

// WriteBuffers is v's WriteTo.
func (c *UnixConn) WriteBuffers(v *net.Buffers) (int64, error) { return v.WriteTo(c.UnixConn) }

// SetUserTimeout is not supported: the option is Linux's.
func (c *Conn) SetUserTimeout(time.Duration) error { return errors.ErrUnsupported }

// transport is never made off Linux.
type transport struct{}

func startTransport(*Config) (*transport, error) {
	return nil, &UnsupportedError{Feature: "io_uring", Err: errors.New("not Linux")}
}

func (*transport) listener(_ string, ln net.Listener, _ *ListenConfig, _ bool) (net.Listener, error) {
	return ln, nil
}
func (*transport) adopt(ln net.Listener) (net.Listener, error) { return ln, nil }
func (*transport) takeOver(_ string, ln net.Listener, _ *net.ListenConfig) (net.Listener, error) {
	return ln, nil
}
func (*transport) control(*ListenConfig) (func(string, string, syscall.RawConn) error, *bool) {
	return nil, new(bool)
}
func (*transport) conn(_ string, c net.Conn, _ bool) (net.Conn, error) { return c, nil }
func (*transport) listenSteered(context.Context, string, string, *ListenConfig) (net.Listener, error) {
	return nil, errors.ErrUnsupported
}
func (*transport) stats(*Stats) {}
func (*transport) size() int    { return 0 }
func (*transport) close() error { return nil }
func (*transport) shift(bool)   {}
func (*transport) breakRings()  {}
func (*transport) hold() func() { return func() {} }

// Attach implements [Steering]. It is not called where there are no rings.
func (plainSteering) Attach(_, _ []int) error { return errors.ErrUnsupported }

func onRing(any) bool { return false }

func probe() Support {
	return Support{Err: &UnsupportedError{Feature: "io_uring", Err: errors.New("not Linux")}}
}
