//go:build linux

package sock

import (
	"errors"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/quoit-go/quoit/internal/testenv"
	"golang.org/x/sys/unix"
)

// group is n sockets that listen at one port of loopback.
func group(t *testing.T, n int) (fds []int, addr string) {
	t.Helper()
	sa := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}
	for range n {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		err = ReusePort(fd)
		if err = errors.Join(err, unix.Bind(fd, sa), unix.Listen(fd, 128)); err != nil {
			t.Fatal(err)
		}
		if sa.Port == 0 {
			at, err := unix.Getsockname(fd)
			if err != nil {
				t.Fatal(err)
			}
			sa.Port = at.(*unix.SockaddrInet4).Port
		}
		fds = append(fds, fd)
	}
	return fds, (&net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}).String()
}

// whose connects conns times from a CPU, -1 for any, and counts which socket
// has it.
func whose(t *testing.T, fds []int, addr string, cpu, conns int) []int {
	t.Helper()
	dial := func() error {
		for range conns {
			c, err := net.DialTimeout("tcp", addr, 30*time.Second)
			if err != nil {
				return err
			}
			c.Close()
		}
		return nil
	}
	var err error
	if cpu >= 0 {
		err = testenv.OnCPU(cpu, dial)
	} else {
		err = dial()
	}
	if err != nil {
		t.Fatal(err)
	}
	counts := make([]int, len(fds))
	for i, fd := range fds {
		for {
			c, _, err := unix.Accept(fd)
			if err == unix.EAGAIN {
				break
			}
			if err != nil {
				t.Fatal(os.NewSyscallError("accept", err))
			}
			unix.Close(c)
			counts[i]++
		}
	}
	return counts
}

// cpus are those that we may run on.
func cpus(t *testing.T) (out []int) {
	t.Helper()
	var may unix.CPUSet
	if err := unix.SchedGetaffinity(0, &may); err != nil {
		t.Fatal(err)
	}
	for cpu := range 64 {
		if may.IsSet(cpu) {
			out = append(out, cpu)
		}
	}
	return out
}

func TestSteerByCPU(t *testing.T) {
	fds, addr := group(t, 3)
	if err := SteerByCPU(fds[1], 3); err != nil {
		t.Fatal(err)
	}
	for _, cpu := range cpus(t) {
		if got := whose(t, fds, addr, cpu, 20); got[cpu%3] != 20 {
			t.Errorf("CPU %d: %v", cpu, got)
		}
	}
	if err := SteerByCPU(fds[0], 1); err != nil { // replaces the other
		t.Fatal(err)
	}
	if got := whose(t, fds, addr, -1, 20); got[0] != 20 {
		t.Errorf("modulo 1: %v", got)
	}
}

func TestSteerAtRandom(t *testing.T) {
	fds, addr := group(t, 3)
	if err := SteerAtRandom(fds[0], 2); err != nil {
		t.Fatal(err)
	}
	if got := whose(t, fds, addr, -1, 100); got[0] < 20 || got[1] < 20 || got[2] != 0 { // 6 sigma
		t.Errorf("over two of three: %v", got)
	}
}

func TestIncomingCPU(t *testing.T) {
	fds, addr := group(t, 2)
	all := cpus(t)
	if len(all) < 2 {
		t.Skip("one CPU only")
	}
	for i, fd := range fds {
		if err := IncomingCPU(fd, all[1-i]); err != nil {
			t.Fatal(err)
		}
	}
	for i := range fds {
		if got := whose(t, fds, addr, all[1-i], 20); got[i] != 20 {
			t.Errorf("CPU %d: %v", all[1-i], got)
		}
	}
}

func TestSteerErrors(t *testing.T) {
	fds, _ := group(t, 1)
	for _, n := range []int{0, -1} {
		if err := SteerByCPU(fds[0], n); !errors.Is(err, unix.EINVAL) {
			t.Errorf("over %d sockets: %v", n, err)
		}
	}
	for _, f := range []func(fd, n int) error{SteerByCPU, SteerAtRandom, IncomingCPU} {
		if err := f(-1, 1); !errors.Is(err, unix.EBADF) {
			t.Errorf("no socket: %v", err)
		}
	}
}

func TestWords(t *testing.T) {
	fd, err := unix.MemfdCreate("words", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Ftruncate(fd, 4096); err != nil {
		t.Fatal(err)
	}
	a, err := MapWords(fd, 512)
	if err != nil {
		t.Fatal(err)
	}
	b, err := MapWords(fd, 512)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
	a.Store(3, 40)
	if got := b.Add(3, 2); got != 42 || a.Load(3) != 42 || a.Len() != 512 {
		t.Errorf("%d, %d, %d words", got, a.Load(3), a.Len())
	}
	if err := a.Release(); err != nil {
		t.Fatal(err)
	}
	if got := a.Load(3); got != 0 {
		t.Errorf("after Release: %d", got)
	}
	a.Store(3, 7)
	if got := b.Load(3); got != 42 {
		t.Errorf("a released the memory of b: %d", got)
	}
	if n := testing.AllocsPerRun(10, func() { b.Store(1, b.Load(0)+b.Add(2, 1)) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if _, err := MapWords(-1, 1); !errors.Is(err, unix.EBADF) {
		t.Errorf("no file: %v", err)
	}
	runtime.GC() // unmaps a
	if got := b.Load(3); got != 42 {
		t.Errorf("%d", got)
	}
}

// Calls and Release do not wait for each other.
func TestWordsReleasedInUse(t *testing.T) {
	for range 20 {
		fd, err := unix.MemfdCreate("words", unix.MFD_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Ftruncate(fd, 1<<16); err != nil {
			t.Fatal(err)
		}
		w, err := MapWords(fd, 1<<13)
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(fd)
		begun, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			for i := range 1 << 17 {
				w.Add(i%w.Len(), 1)
				if i == 100 {
					close(begun)
				}
			}
		}()
		<-begun
		if err := w.Release(); err != nil {
			t.Error(err)
		}
		<-done
	}
}
