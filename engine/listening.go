//go:build linux

package engine

import (
	"net"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/internal/sock"
)

// ListenerStats says what a Listener did, and who waits for it.
type ListenerStats struct {
	Addr                     net.Addr
	Accepted, AcceptFailures uint64
	Queue, Backlog           int // see Backlog; -1 where the kernel does not say
}

// listenerCounts are a Listener's. Any thread but the engine's may use them.
type listenerCounts struct {
	accepted, failures atomic.Uint64

	mu  sync.Mutex // held while the sockets are asked, which Close waits for
	fds []int      // nil once Close has begun to close them
}

// end has the sockets left alone.
func (c *listenerCounts) end() {
	c.mu.Lock()
	c.fds = nil
	c.mu.Unlock()
}

// snapshot reports false for a listener that is closed.
func (c *listenerCounts) snapshot(tcp bool) (s ListenerStats, open bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fds == nil {
		return s, false
	}
	sa, _ := syscall.Getsockname(c.fds[0])
	s = ListenerStats{
		Addr: sock.NetAddr(sa, tcp), Accepted: c.accepted.Load(), AcceptFailures: c.failures.Load(),
		Queue: -1, Backlog: -1,
	}
	if !tcp {
		return s, true
	}
	for i, fd := range c.fds {
		queue, most, err := Backlog(fd)
		if err != nil {
			s.Queue, s.Backlog = -1, -1
			break
		}
		if i == 0 {
			s.Queue, s.Backlog = 0, 0
		}
		s.Queue += queue
		s.Backlog += most
	}
	return s, true
}

// Backlog returns how many established conns wait in the backlog of the listening
// TCP socket fd, and how many it takes.
func Backlog(fd int) (waiting, most int, err error) {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0, 0, err
	}
	return int(info.Unacked), int(info.Sacked), nil // what the kernel has in these fields for a listener
}
