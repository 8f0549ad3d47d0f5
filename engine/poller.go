//go:build linux

package engine

import (
	"os"
	"syscall"
	"time"
)

// poller is a nonblocking descriptor in Go's netpoller.
type poller interface {
	// Read and Write call f until it returns true, waiting for the descriptor
	// to become ready in between, as a syscall.RawConn does.
	Read(f func(fd uintptr) bool) error
	Write(f func(fd uintptr) bool) error
	// Expire ends waits of Read or Write at once, until Resume. Both may be
	// called with a lock held.
	Expire(write bool)
	Resume(write bool)
	// Close closes the descriptor.
	Close() error
}

// filePoller is a poller by package os: the only way in from outside the
// standard library that takes a descriptor as it is. Where the netpoller
// refuses the socket, waits fail.
type filePoller struct {
	syscall.RawConn
	f *os.File
}

// newFilePoller takes over fd.
func newFilePoller(fd int) poller {
	f := os.NewFile(uintptr(fd), "socket")
	rc, err := f.SyscallConn()
	if err != nil {
		panic(err) // only for an invalid File
	}
	return &filePoller{rc, f}
}

var longPast = time.Unix(1, 0)

func (p *filePoller) Expire(write bool) { p.setDeadline(write, longPast) }
func (p *filePoller) Resume(write bool) { p.setDeadline(write, time.Time{}) }

// setDeadline cannot fail while anybody waits.
func (p *filePoller) setDeadline(write bool, t time.Time) {
	if write {
		_ = p.f.SetWriteDeadline(t)
	} else {
		_ = p.f.SetReadDeadline(t)
	}
}

func (p *filePoller) Close() error { return p.f.Close() }
