//go:build linux

package engine

import (
	"encoding/binary"
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/engine/internal/clock"
	"github.com/quoit-go/quoit/engine/ring"
	"github.com/quoit-go/quoit/internal/sock"
)

// kernel is all that the engine asks of the operating system, so that a test
// can take its place, completions and time included.
type kernel interface {
	// The ring. Engine thread only; see package ring. Open sets one up, at first and
	// after Close, and the goroutine keeps its thread until then.
	Open() error
	NextSQE() *ring.SQE
	SQPending() uint32
	SubmitAndGet() (int, error)
	SubmitAndWait(n uint32, timeout time.Duration) (int, error)
	PeekCQEs(dst []ring.CQE) int
	CQReady() uint32
	CQOverflowed() bool
	TaskrunPending() bool
	Close() error // once more does nothing

	// WakeFD is readable after Wake. Wake may be called by any thread.
	WakeFD() int32
	Wake() error
	CloseWake()

	// Poller puts a nonblocking socket into Go's netpoller and hands it its
	// descriptor.
	Poller(fd int) *poller

	// Calls on nonblocking sockets, by any thread. Addresses are package
	// syscall's: unix asks the kernel once more, for the socket's protocol.
	Read(fd int, p []byte) (int, error)
	Write(fd int, p []byte) (int, error)
	WriteBuffers(fd int, v [][]byte) (int, error) // 0 only if there is nothing to write
	SendFile(fd, file, n int) (int, error)        // at the file's offset; 0 at its end
	Accept(fd int) (int, syscall.Sockaddr, error)
	Getsockname(fd int) (syscall.Sockaddr, error)
	Shutdown(fd, how int) error
	ResetOnClose(fd int) error // SO_LINGER 0
	SendRoom(fd int) int       // what the send buffer of a TCP socket can still take, in bytes
	Dup(fd int) (int, error)   // close-on-exec
	CloseFD(fd int) error

	// Pipe returns an empty pipe, by any thread.
	Pipe() (pipe, error)

	// Now is a clock that never jumps, in nanoseconds, above 1.
	Now() int64

	// AfterFunc is time.AfterFunc, for a caller in no bubble.
	AfterFunc(d time.Duration, f func()) timer
}

// timer is a time.Timer with a function. Reset may be called in no bubble only.
type timer interface {
	Reset(d time.Duration) bool
	Stop() bool
}

// osKernel is the real one.
type osKernel struct {
	*ring.Ring
	cfg    Options
	wake   int         // eventfd
	open   bool        // the ring, for which the goroutine keeps its thread
	before unix.CPUSet // what the thread might run on before it was pinned
}

func newOSKernel(cfg Options) (*osKernel, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("eventfd", err)
	}
	return &osKernel{cfg: cfg, wake: fd}, nil
}

func (k *osKernel) Open() error {
	runtime.LockOSThread()
	r, err := k.openHere()
	if err != nil {
		k.leaveThread()
		return err
	}
	k.Ring, k.open = r, true
	return nil
}

func (k *osKernel) openHere() (*ring.Ring, error) {
	if n := k.cfg.CPU; n >= 0 {
		var set unix.CPUSet
		set.Set(n)
		_ = unix.SchedGetaffinity(0, &k.before)
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			return nil, &AffinityError{n, os.NewSyscallError("sched_setaffinity", err)}
		}
	}
	return setupRing(k.cfg)
}

func (k *osKernel) Close() error {
	if !k.open {
		return nil
	}
	k.open = false
	err := k.Ring.Close()
	k.leaveThread()
	return err
}

// leaveThread gives the thread back to the Go runtime. If it ended, so would children
// that were started on it with a Pdeathsig.
func (k *osKernel) leaveThread() {
	if k.cfg.CPU >= 0 && unix.SchedSetaffinity(0, &k.before) != nil {
		return // nobody else may run on a pinned one: it ends with the goroutine
	}
	runtime.UnlockOSThread()
}

func (k *osKernel) WakeFD() int32 { return int32(k.wake) }

var one = binary.NativeEndian.AppendUint64(nil, 1) // what an eventfd is written

func (k *osKernel) Wake() error {
	_, err := unix.Write(k.wake, one)
	return err
}

func (k *osKernel) CloseWake() { _ = unix.Close(k.wake) }

func (*osKernel) Read(fd int, p []byte) (int, error)  { return sock.Recv(fd, p) }
func (*osKernel) Write(fd int, p []byte) (int, error) { return sock.Send(fd, p) }
func (*osKernel) WriteBuffers(fd int, v [][]byte) (int, error) {
	return sock.SendBuffers(fd, v)
}
func (*osKernel) SendFile(fd, file, n int) (int, error) {
	return unix.Sendfile(fd, file, nil, n)
}
func (*osKernel) Accept(fd int) (int, syscall.Sockaddr, error) {
	return syscall.Accept4(fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
}
func (*osKernel) Getsockname(fd int) (syscall.Sockaddr, error) {
	return syscall.Getsockname(fd)
}
func (*osKernel) Shutdown(fd, how int) error { return unix.Shutdown(fd, how) }
func (*osKernel) ResetOnClose(fd int) error {
	return unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
}
func (*osKernel) SendRoom(fd int) int     { return sock.Room(fd) }
func (*osKernel) Dup(fd int) (int, error) { return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0) }
func (*osKernel) CloseFD(fd int) error    { return unix.Close(fd) }
func (*osKernel) Pipe() (pipe, error)     { return newPipe() }
func (*osKernel) Poller(fd int) *poller   { return newPoller(fd) }
func (*osKernel) Now() int64              { return clock.Now() }
func (*osKernel) AfterFunc(d time.Duration, f func()) timer {
	return time.AfterFunc(d, f)
}
