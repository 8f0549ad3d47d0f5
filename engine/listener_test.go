//go:build linux

package engine

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/engine/internal/gear"
)

// A conn that Accept cannot return, for its engine has closed meanwhile, is reset, as
// is one that was never accepted.
func TestAcceptTooLate(t *testing.T) {
	e, closed := smallEngine(t, gear.Poll, 0), smallEngine(t, gear.Poll, 0)
	try(t, closed.Close())
	fd := must(t)(unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0))
	try(t, unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	try(t, unix.Listen(fd, 1))
	sa, err := unix.Getsockname(fd)
	try(t, err)
	ln, err := e.NewListener(fd, true, func(int) *Engine { return closed }, func() error { return unix.Close(fd) })
	try(t, err)
	client := connected(t, sa)
	defer unix.Close(client)
	if c, _, err := ln.Accept(); err != net.ErrClosed {
		t.Errorf("%v, %v", c, err)
	}
	if n, err := unix.Read(client, make([]byte, 1)); err != unix.ECONNRESET {
		t.Errorf("the peer reads %d, %v", n, err)
	}
	try(t, ln.Close())
}
