//go:build linux

package ring

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/internal/testenv"
)

func TestMain(m *testing.M) {
	enterTimeNamespace()
	skipExamples()
	os.Exit(testenv.Main(m.Run))
}

// ringFDs lists open rings and sockets.
func ringFDs() (open []string) {
	for _, target := range testenv.FDs() {
		if strings.HasPrefix(target, "socket:") || strings.Contains(target, "[io_uring]") {
			open = append(open, target)
		}
	}
	return open
}

// modes are the setups that kernel tests run in.
var modes = []struct {
	name, kernel string
	flags        SetupFlags
}{
	{"plain", "6.1", 0},
	{"defer", "6.1", SetupSingleIssuer | SetupDeferTaskrun | SetupSubmitAll},
	{"engine", "6.6", SetupSingleIssuer | SetupDeferTaskrun | SetupSubmitAll | SetupNoSQArray},
}

// eachMode runs f with a ring of every mode, p's sizes, and a locked thread.
func eachMode(t *testing.T, p Params, f func(t *testing.T, r *Ring)) {
	for _, mode := range modes {
		t.Run(mode.name, func(t *testing.T) {
			testenv.NeedKernel(t, mode.kernel)
			p.Flags = mode.flags
			f(t, newRing(t, p))
		})
	}
}

// newRing sets a ring up on a locked thread, both until the test ends.
func newRing(t testing.TB, p Params) *Ring {
	t.Helper()
	testenv.NeedKernel(t, "6.1")
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	r, err := New(&p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// reap submits what is pending and returns the next n completions.
func reap(t testing.TB, r *Ring, n int) []CQE {
	t.Helper()
	cqes := make([]CQE, n)
	for got, end := 0, time.Now().Add(30*time.Second); ; {
		got += r.PeekCQEs(cqes[got:])
		if got == n {
			return cqes
		}
		if time.Now().After(end) {
			t.Fatalf("%d of %d completions: %+v", got, n, cqes[:got])
		}
		if _, err := r.SubmitAndWait(1, time.Second); err != nil && !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.ETIME) {
			t.Fatal(err)
		}
	}
}

// kept returns x, which is referenced until the test ends.
func kept[T any](t testing.TB, x T) T {
	t.Cleanup(func() { runtime.KeepAlive(x) })
	return x
}

// idle fails if a completion is there.
func idle(t testing.TB, r *Ring) {
	t.Helper()
	if _, err := r.SubmitAndGet(); err != nil {
		t.Fatal(err)
	}
	var c [1]CQE
	if r.PeekCQEs(c[:]) != 0 {
		t.Fatalf("unexpected completion %+v: %v", c[0], c[0].Err())
	}
}

// closeLater closes fd when the test ends. The test may close it earlier, as
// long as it opens nothing after that.
func closeLater(t testing.TB, fd int) int32 {
	t.Cleanup(func() { unix.Close(fd) })
	return int32(fd)
}

// socket opens a stream socket.
func socket(t testing.TB, family int) int32 {
	t.Helper()
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return closeLater(t, fd)
}

// socketPair opens two connected stream sockets.
func socketPair(t testing.TB) (a, b int32) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return closeLater(t, fds[0]), closeLater(t, fds[1])
}

// listenTCP opens a listener on a free port of 127.0.0.1.
func listenTCP(t testing.TB) (fd int32, port uint16) {
	t.Helper()
	fd = socket(t, unix.AF_INET)
	if err := unix.Bind(int(fd), &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(int(fd), 16); err != nil {
		t.Fatal(err)
	}
	sa, err := unix.Getsockname(int(fd))
	if err != nil {
		t.Fatal(err)
	}
	return fd, uint16(sa.(*unix.SockaddrInet4).Port)
}

// tcpPair opens two TCP sockets connected to each other.
func tcpPair(t testing.TB) (a, b int32) {
	t.Helper()
	client, server := testenv.TCPSockets(t, 0)
	return int32(server), int32(client)
}

// eventFD opens an eventfd.
func eventFD(t testing.TB) int32 {
	t.Helper()
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	return closeLater(t, fd)
}

var eventOne = []byte{1, 0, 0, 0, 0, 0, 0, 0}

// signalEvent adds one to an eventfd.
func signalEvent(t testing.TB, fd int32) {
	if _, err := unix.Write(int(fd), eventOne); err != nil {
		t.Error(err)
	}
}

// readEvent sets an eventfd to zero.
func readEvent(t testing.TB, fd int32) {
	if _, err := unix.Read(int(fd), make([]byte, 8)); err != nil {
		t.Error(err)
	}
}

// unbroken repeats a wait that a signal ended: Go sends one to whom it wants
// to preempt, which may be in the kernel when it comes.
func unbroken[N any](wait func() (N, error)) (n N, err error) {
	for {
		if n, err = wait(); !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

// awaitSleep returns when thread tid waits for its ring.
func awaitSleep(t testing.TB, tid int) {
	t.Helper()
	awaitCall(t, tid, unix.SYS_IO_URING_ENTER)
}

// awaitCall returns when thread tid sleeps in a system call.
func awaitCall(t testing.TB, tid, call int) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); runtime.Gosched() {
		b, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/syscall", tid))
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(string(b), fmt.Sprint(call)+" ") {
			return
		}
	}
	t.Fatal("the thread does not wait")
}
