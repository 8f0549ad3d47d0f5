//go:build linux

package engine

import (
	"io/fs"
	"net"
	"os"
	"time"
)

// poller is a nonblocking descriptor in Go's netpoller. It is two interfaces,
// for a method that passes calls on would be a frame on every waiting stack.
type poller struct {
	pollWaiter
	pollFile
}

// pollWaiter is of syscall.RawConn.
type pollWaiter interface {
	// Read and Write call f until it returns true, waiting for the descriptor
	// to become ready in between.
	Read(f func(fd uintptr) bool) error
	Write(f func(fd uintptr) bool) error
}

type pollFile interface {
	// Expire ends waits of Read or Write at once, until Resume. Both may be
	// called with a lock held.
	Expire(write bool)
	Resume(write bool)
	// Close closes the descriptor.
	Close() error
}

// newPoller takes over fd. It goes by package os: the only way in from outside
// the standard library that takes a descriptor as it is. Where the netpoller
// refuses the socket, waits fail.
func newPoller(fd int) *poller {
	f := os.NewFile(uintptr(fd), "socket")
	rc, err := f.SyscallConn()
	if err != nil {
		panic(err) // only for an invalid File
	}
	return &poller{rc, osFile{f}}
}

type osFile struct{ *os.File }

func (f osFile) Expire(write bool) { setDeadline(f, write, longPast) }
func (f osFile) Resume(write bool) { setDeadline(f, write, time.Time{}) }

// netConn is a conn of package net, in the netpoller since it was made.
type netConn struct{ net.Conn }

func (c netConn) Expire(write bool) { setDeadline(c, write, longPast) }
func (c netConn) Resume(write bool) { setDeadline(c, write, time.Time{}) }

// bare takes off what package net or os says around an error of its own conn or file.
// The caller has its own name for the socket.
func bare(err error) error {
	switch e := err.(type) {
	case *fs.PathError:
		return e.Err
	case *net.OpError:
		return e.Err
	}
	return err
}

var longPast = time.Unix(1, 0)

// setDeadline cannot fail while anybody waits.
func setDeadline(f interface {
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}, write bool, t time.Time) {
	if write {
		_ = f.SetWriteDeadline(t)
	} else {
		_ = f.SetReadDeadline(t)
	}
}
