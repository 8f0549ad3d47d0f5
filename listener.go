//go:build linux

package quoit

import (
	"errors"
	"math"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/quoit-go/quoit/engine"
)

// netListener is a *net.TCPListener or *net.UnixListener.
type netListener interface {
	net.Listener
	File() (*os.File, error)
	SyscallConn() (syscall.RawConn, error)
}

// Listener accepts conns for an [Engine]. It is made by [Listen] and the like
// and has the methods of *net.TCPListener. All may be called concurrently. A
// Listener that becomes unreachable is closed.
type Listener struct {
	el      *engine.Listener
	nl      netListener // owns the socket and, for unix, its file
	addr    net.Addr
	network string
	cleanup runtime.Cleanup

	// Conns that were established before the socket had the options that
	// accepted ones inherit; without end where it does not get them.
	backlog         atomic.Int64
	keepAlive       time.Duration
	keepAliveConfig net.KeepAliveConfig
}

// newListener begins to make a listener. each says that nl's socket does not have the
// options of accepted conns.
func newListener(network string, nl netListener, lc *ListenConfig, each bool) *Listener {
	l := &Listener{nl: nl, addr: nl.Addr(), network: network}
	l.keepAlive, l.keepAliveConfig = lc.KeepAlive, lc.KeepAliveConfig
	if each {
		l.setEach()
	}
	return l
}

// setEach has each accepted conn get its options, since the socket does not have them.
func (l *Listener) setEach() { l.backlog.Store(math.MaxInt64) }

// begin ends the making of a listener that has its engine's.
func (l *Listener) begin() {
	nl := l.nl
	l.cleanup = runtime.AddCleanup(l, func(el *engine.Listener) {
		if u, ok := nl.(*net.UnixListener); ok {
			u.SetUnlinkOnClose(false) // package net's collector leaves the file, too
		}
		el.Close()
	}, l.el)
}

// ok reports whether l was made by Listen and the like. Methods of any other return
// EINVAL, as package net's do.
func (l *Listener) ok() bool { return l != nil && l.el != nil }

// Accept waits for a conn. Errors are *net.OpError: net.ErrClosed after
// Close, os.ErrDeadlineExceeded, or a temporary one such as EMFILE.
func (l *Listener) Accept() (net.Conn, error) {
	if !l.ok() {
		return nil, syscall.EINVAL
	}
	ec, peer, err := l.el.Accept()
	runtime.KeepAlive(l)
	if err != nil {
		return nil, l.opError("accept", err)
	}
	if l.backlog.Load() > 0 && l.backlog.Add(-1) >= 0 {
		_ = ec.Control(func(fd uintptr) { setOptions(int(fd), l.keepAlive, l.keepAliveConfig) })
	}
	return newConn(ec, l.network, peer), nil
}

// Close stops listening and frees the address before it returns. Conns that
// Accept has not returned are reset, unless a [Steering] moves them to another
// process; a unix socket's file is removed.
func (l *Listener) Close() error {
	if !l.ok() {
		return syscall.EINVAL
	}
	err := l.el.Close()
	if errors.Is(err, net.ErrClosed) {
		return l.opError("close", err)
	}
	l.cleanup.Stop()
	return err // nl's own, an *net.OpError already
}

// Addr returns the address listened on. Do not modify it.
func (l *Listener) Addr() net.Addr { return l.addr }

// SetDeadline bounds Accept; a zero time lifts the bound.
func (l *Listener) SetDeadline(t time.Time) error {
	if !l.ok() {
		return syscall.EINVAL
	}
	return l.el.SetDeadline(t) // net does not wrap the error here either
}

// SetUnlinkOnClose sets whether Close removes the file of a unix socket. It
// does by default if Listen made the file. For TCP it means nothing.
func (l *Listener) SetUnlinkOnClose(unlink bool) {
	if u, ok := l.nl.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(unlink)
	}
}

// File returns a copy of the listening socket, the caller's to close: with
// [ListenConfig].Steering, of the first ring's.
func (l *Listener) File() (*os.File, error) {
	if !l.ok() {
		return nil, syscall.EINVAL
	}
	return l.nl.File()
}

// SyscallConn gives access to the socket that File would copy. Read and Write
// of the result fail, as net's do.
func (l *Listener) SyscallConn() (syscall.RawConn, error) {
	if !l.ok() {
		return nil, syscall.EINVAL
	}
	return l.nl.SyscallConn()
}

func (l *Listener) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: l.network, Addr: l.addr, Err: engineError(err)}
}
