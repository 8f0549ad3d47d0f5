// Package takeover keeps quoit's own use of package net apart from the program's,
// in programs that quoit build has made: there package net asks quoit about each
// stream socket, and has to leave those alone that quoit itself asks it for.
//
// Whatever in this module listens, dials, or makes a conn or listener of a file
// by package net marks the context or the file here. In other programs a mark
// costs nothing.
package takeover

import (
	"context"
	"net"
	"os"
	"sync"
	"sync/atomic"
)

// on is set before main, by Enable.
var on atomic.Bool

// Enable has marks count from now on. It is called before anything listens or
// dials.
func Enable() { on.Store(true) }

type mark struct{}

// Context returns ctx with the mark.
func Context(ctx context.Context) context.Context {
	if !on.Load() || ctx == nil {
		return ctx
	}
	return context.WithValue(ctx, mark{}, true)
}

// Marked reports whether ctx has the mark. Package net takes a nil one, too.
func Marked(ctx context.Context) bool { return ctx != nil && ctx.Value(mark{}) != nil }

// files are those that have the mark, by *os.File.
var files sync.Map

// FileConn is net.FileConn of a marked file.
func FileConn(f *os.File) (net.Conn, error) {
	if on.Load() {
		files.Store(f, true)
		defer files.Delete(f)
	}
	return net.FileConn(f)
}

// FileListener is net.FileListener of a marked file.
func FileListener(f *os.File) (net.Listener, error) {
	if on.Load() {
		files.Store(f, true)
		defer files.Delete(f)
	}
	return net.FileListener(f)
}

// MarkedFile reports whether f has the mark.
func MarkedFile(f *os.File) bool {
	_, ok := files.Load(f)
	return ok
}

// What takes sockets over, on the default engine; package quoit sets them. The
// result is nil where package net serves. On an error the socket has been closed.
var (
	// Listener takes over a *net.TCPListener or *net.UnixListener of a stream
	// network. lc is what it was made with, nil if by somebody else.
	Listener func(network string, ln net.Listener, lc *net.ListenConfig) (net.Listener, error)

	// Conn takes over a *net.TCPConn or *net.UnixConn of a stream network. known
	// says that others may reach the socket, or know its number.
	Conn func(network string, c net.Conn, known bool) (net.Conn, error)
)
