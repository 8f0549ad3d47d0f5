//go:build linux

package engine

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Spread is told what becomes of the conns of a group of sockets, which have
// the indices that NewGroup got them with. Its methods may be called from any
// goroutine, and must not block.
type Spread interface {
	Place(socket int) *Engine // for one that was accepted
	Drained(socket int)       // nobody waits there to be accepted
}

// sockets are the listening sockets of a SO_REUSEPORT group, one a ring, that
// a Listener accepts on. They are in one epoll set, whose own descriptor waits
// in Go's netpoller, so that an Accept waits for all of them without a
// goroutine for each.
type sockets struct {
	fds    []int
	spread Spread

	// Guarded by Listener.amu.
	ready  queue[int] // sockets that had somebody waiting
	events [32]unix.EpollEvent
}

// newSockets returns an epoll set for fds.
func newSockets(fds []int, s Spread) (*sockets, int, error) {
	set, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, -1, os.NewSyscallError("epoll_create1", err)
	}
	if err = unix.SetNonblock(set, true); err != nil { // or the netpoller does not take it
		unix.Close(set)
		return nil, -1, os.NewSyscallError("setnonblock", err)
	}
	for i, fd := range fds {
		ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)}
		if err := unix.EpollCtl(set, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
			unix.Close(set)
			return nil, -1, os.NewSyscallError("epoll_ctl", err)
		}
	}
	return &sockets{fds: fds, spread: s}, set, nil
}

// accept takes a conn from any of the sockets, from one after the other. set
// is the epoll set. It returns a bare EAGAIN if there is nothing.
func (s *sockets) accept(k kernel, set int) (accepted, error) {
	for {
		if s.ready.empty() {
			if err := s.fill(set); err != nil {
				return accepted{}, err
			}
		}
		i := s.ready.pop()
		if !isReady(s.fds[i]) {
			s.spread.Drained(i)
			continue
		}
		fd, peer, err := k.Accept(s.fds[i])
		if err == unix.EAGAIN {
			s.spread.Drained(i)
			continue
		}
		s.ready.push(i)
		return accepted{fd, peer, i}, err
	}
}

// isReady reports whether a conn waits in the socket's queue. accept4(2) would wait for one
// where a copy of the socket has been set to blocking mode, and with it all other sockets.
func isReady(fd int) bool {
	polled := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, _ := unix.Poll(polled, 0)
	return n > 0
}

func (s *sockets) fill(set int) error {
	n, err := unix.EpollWait(set, s.events[:], 0)
	switch {
	case err != nil && err != unix.EINTR:
		return err
	case n <= 0:
		return unix.EAGAIN
	}
	for _, ev := range s.events[:n] {
		s.ready.push(int(ev.Fd))
	}
	return nil
}

// accepted is what accept4(2) returned.
type accepted struct {
	fd     int
	peer   syscall.Sockaddr
	socket int // of a group, that it came to
}
