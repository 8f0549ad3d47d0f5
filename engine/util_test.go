//go:build linux

package engine

import (
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/internal/testenv"
)

// tcpPair returns both ends of a loopback connection, nonblocking, that leaves no
// TIME_WAIT behind.
func tcpPair(b testing.TB) (client, server int) {
	client, server = testenv.TCPSockets(b, unix.SOCK_NONBLOCK)
	for _, fd := range []int{client, server} {
		try(b, unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1))
	}
	try(b, unix.SetsockoptLinger(client, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}))
	return client, server
}

// smallEngine is one on io_uring, closed with the test, or the test is skipped.
func smallEngine(t *testing.T, gear Mode, busyPoll time.Duration) *Engine {
	e, err := New(Options{
		Entries: 64, Gear: gear, BusyPoll: busyPoll, CPU: -1, Share: 1,
	})
	if err != nil {
		testenv.NoRing(t, err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// servedPair is a client's socket and the conn that e serves it with.
func servedPair(t *testing.T, e *Engine) (client int, c *Conn) {
	client, server := tcpPair(t)
	fd, err := unix.Dup(server)
	try(t, err)
	c = &Conn{e: e, descriptor: descriptor{fd: fd}, tcp: true}
	try(t, e.open(c))
	t.Cleanup(func() { c.Close() })
	return client, c
}

func connected(b testing.TB, sa unix.Sockaddr) int {
	fd := must(b)(unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0))
	try(b, unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}))
	try(b, unix.Connect(fd, sa))
	return fd
}

func try(b testing.TB, err error) {
	if err != nil {
		b.Helper() // costs too much to call before
		b.Fatal(err)
	}
}

func must(b testing.TB) func(int, error) int {
	return func(n int, err error) int { try(b, err); return n }
}

func median(v []int64) float64 {
	slices.Sort(v)
	return float64(v[len(v)/2])
}

// threadSwitches counts those of the process so far.
func threadSwitches() int64 {
	var ru unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &ru)
	return int64(ru.Nvcsw) + int64(ru.Nivcsw)
}

// stillClock is a kernel that knows the time only, which does not pass by itself.
type stillClock struct {
	kernel
	now int64
}

func (c *stillClock) Now() int64 { return c.now }

func (c *stillClock) advance(d time.Duration) { c.now += int64(d) }
