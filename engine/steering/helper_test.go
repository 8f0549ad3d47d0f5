//go:build linux

package steering

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience bounds what should take milliseconds, on a busy machine.
const patience = 30 * time.Second

// mayBPF reports whether we have the capability.
func mayBPF(t testing.TB) bool {
	t.Helper()
	h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var d [2]unix.CapUserData
	if err := unix.Capget(&h, &d[0]); err != nil {
		t.Fatal(err)
	}
	has := func(c int) bool { return d[c/32].Effective&(1<<(c%32)) != 0 }
	return has(unix.CAP_BPF) || has(unix.CAP_SYS_ADMIN)
}

// needBPF skips a test that cannot do without the program.
func needBPF(t testing.TB) {
	t.Helper()
	if !mayBPF(t) {
		t.Skip("no CAP_BPF")
	}
	if olderThan(release(), 5, 14) {
		t.Skip("kernel older than 5.14")
	}
}

// ring accepts at one socket of a group and tells the Steering about it, as an
// engine would. It greets each conn with its number and keeps it until the
// peer ends it.
type ring struct {
	i    int
	f    *os.File
	raw  syscall.RawConn
	s    *Steering // may be nil
	done chan struct{}

	mu       sync.Mutex
	open     int
	accepted int
}

type group struct {
	t     testing.TB
	addr  netip.AddrPort
	rings []*ring
	conns sync.WaitGroup // served
}

// newGroup listens with n sockets at addr.
func newGroup(t testing.TB, addr string, n int) *group {
	t.Helper()
	g := &group{t: t, addr: netip.MustParseAddrPort(addr)}
	for i := range n {
		fd, err := listen(g.addr, true)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			g.addr = netip.AddrPortFrom(g.addr.Addr(), localPort(t, fd))
		}
		r := &ring{i: i, f: os.NewFile(uintptr(fd), "listener"), done: make(chan struct{})}
		if r.raw, err = r.f.SyscallConn(); err != nil {
			t.Fatal(err)
		}
		close(r.done)
		g.rings = append(g.rings, r)
	}
	t.Cleanup(func() {
		for i := range g.rings {
			g.close(i)
		}
	})
	return g
}

func listen(addr netip.AddrPort, reuse bool) (int, error) {
	family, sa := unix.AF_INET, unix.Sockaddr(&unix.SockaddrInet4{Port: int(addr.Port()), Addr: [4]byte{127, 0, 0, 1}})
	if addr.Addr().Is6() {
		family, sa = unix.AF_INET6, &unix.SockaddrInet6{Port: int(addr.Port()), Addr: addr.Addr().As16()}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if reuse {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	}
	if err = errors.Join(err, unix.Bind(fd, sa), unix.Listen(fd, 4096)); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func localPort(t testing.TB, fd int) uint16 {
	t.Helper()
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return uint16(sa.Port)
	case *unix.SockaddrInet6:
		return uint16(sa.Port)
	}
	t.Fatalf("a socket at %T", sa)
	return 0
}

func (g *group) fds() []int {
	var fds []int
	for _, r := range g.rings {
		if err := r.raw.Control(func(fd uintptr) { fds = append(fds, int(fd)) }); err != nil {
			g.t.Fatal(err)
		}
	}
	return fds
}

// attach steers the group until the test ends.
func (g *group) attach(cfg *Config, cpus []int) *Steering {
	g.t.Helper()
	s, err := New(cfg)
	if err == nil {
		err = s.Attach(g.fds(), cpus)
	}
	if err != nil {
		g.t.Fatalf("%+v", err)
	}
	g.t.Cleanup(s.Detach)
	for _, r := range g.rings {
		r.s = s
	}
	return s
}

// serve has the given rings, or all, accept until they are closed.
func (g *group) serve(rings ...int) {
	for _, r := range g.rings {
		if len(rings) > 0 && !slices.Contains(rings, r.i) {
			continue
		}
		r.done = make(chan struct{})
		go func() {
			defer close(r.done)
			_ = r.raw.Read(func(fd uintptr) bool { return g.accept(r, int(fd)) }) // ends when r.f is closed
		}()
	}
}

// accept takes all there is. It returns true on an error.
func (g *group) accept(r *ring, fd int) bool {
	for {
		c, _, err := unix.Accept4(fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch err {
		case nil:
		case unix.EAGAIN:
			if r.s != nil {
				r.s.Drained(r.i)
			}
			return false
		case unix.EINTR, unix.ECONNABORTED:
			continue
		default:
			return true
		}
		if r.s != nil {
			r.s.Accepted(r.i)
		}
		r.count(1)
		f := os.NewFile(uintptr(c), "conn")
		g.conns.Go(func() {
			_, _ = f.Write([]byte{byte(r.i)})
			_, _ = io.Copy(io.Discard, f)
			r.count(-1)
			f.Close()
		})
	}
}

func (r *ring) count(delta int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open += delta
	r.accepted += max(delta, 0)
	if r.s != nil {
		r.s.Load(r.i, uint32(r.open))
	}
}

// opened returns how many conns of each ring are open.
func (g *group) opened() []int {
	var out []int
	for _, r := range g.rings {
		r.mu.Lock()
		out = append(out, r.open)
		r.mu.Unlock()
	}
	return out
}

// close closes the socket of one ring.
func (g *group) close(i int) {
	r := g.rings[i]
	r.f.Close()
	<-r.done
}

// dial connects, from the given source if that is valid.
func dial(to netip.AddrPort, from netip.Addr) (*net.TCPConn, error) {
	d := net.Dialer{Timeout: patience}
	if from.IsValid() {
		d.LocalAddr = &net.TCPAddr{IP: from.AsSlice()}
	}
	d.SetMultipathTCP(false)
	c, err := d.Dial("tcp", to.String())
	if err != nil {
		return nil, err
	}
	tc := c.(*net.TCPConn)
	return tc, errors.Join(tc.SetLinger(0), tc.SetDeadline(time.Now().Add(patience))) // no TIME_WAIT
}

// greeting returns the ring that serves c.
func greeting(c *net.TCPConn) (int, error) {
	var b [1]byte
	_, err := io.ReadFull(c, b[:])
	return int(b[0]), err
}

// visit connects, asks who serves, and leaves.
func visit(to netip.AddrPort, from netip.Addr) (int, error) {
	c, err := dial(to, from)
	if err != nil {
		return -1, err
	}
	defer c.Close()
	return greeting(c)
}

// visits counts by ring who serves n conns, one after the other.
func (g *group) visits(n int) []int {
	g.t.Helper()
	counts := make([]int, len(g.rings))
	for range n {
		r, err := visit(g.addr, netip.Addr{})
		if err != nil {
			g.t.Fatal(err)
		}
		counts[r]++
	}
	return counts
}

// traffic visits to from several goroutines until stop is called, which returns
// how many visits there were, and the errors of those that failed.
func traffic(to netip.AddrPort, clients int) (stop func() (visits int, errs []error)) {
	var mu sync.Mutex
	var n int
	var errs []error
	quit := make(chan struct{})
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for {
				select {
				case <-quit:
					return
				default:
				}
				_, err := visit(to, netip.Addr{})
				mu.Lock()
				n++
				if err != nil {
					errs = append(errs, fmt.Errorf("visit %d: %w", n, err))
				}
				mu.Unlock()
			}
		})
	}
	return func() (int, []error) {
		close(quit)
		wg.Wait()
		return n, errs
	}
}

// until waits for what has no event to wait for.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(patience)
	for tick := time.Tick(2 * time.Millisecond); !ok(); {
		select {
		case <-tick:
		case <-deadline:
			t.Fatalf("not in %v: %s", patience, what)
		}
	}
}

// within fails the test unless each count is a share of the sum that differs
// from what weights say by tolerance of it at most.
func within(t testing.TB, what string, counts []int, tolerance float64, weights ...int) {
	t.Helper()
	sum, all := 0, 0
	for i, n := range counts {
		sum += n
		all += weights[i]
	}
	for i, n := range counts {
		want := float64(sum) * float64(weights[i]) / float64(all)
		if d := float64(n) - want; d > tolerance*want || d < -tolerance*want {
			t.Errorf("%s: %v, ring %d should have %.0f ± %.0f%%", what, counts, i, want, 100*tolerance)
		}
	}
}
