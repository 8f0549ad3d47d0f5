//go:build linux

package ring_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/engine/ring"
)

// check ends an example that cannot go on.
func check(err error) {
	if err != nil {
		panic(err)
	}
}

// fileOf returns a descriptor of its own for a socket of package net, which may
// block: it is for requests.
func fileOf(conn interface{ File() (*os.File, error) }) int32 {
	f, err := conn.File()
	check(err)
	defer f.Close()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	check(err)
	return int32(fd)
}

// streams returns two connected sockets.
func streams() (a, b int32) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	check(err)
	return int32(fds[0]), int32(fds[1])
}

// closeAll closes descriptors.
func closeAll(fds ...int32) {
	for _, fd := range fds {
		unix.Close(int(fd))
	}
}

// A file is printed by reading all of it at once into pieces.
func Example_cat() {
	name := filepath.Join(os.TempDir(), "quoit-example-cat")
	check(os.WriteFile(name, []byte("one ring to read it all\n"), 0o600))
	defer os.Remove(name)
	f, err := os.Open(name)
	check(err)
	defer f.Close()

	r, err := ring.New(&ring.Params{Entries: 4})
	check(err)
	defer r.Close()
	pieces := [][]byte{make([]byte, 9), make([]byte, 4), make([]byte, 4096)}
	iov := ring.NewIovecs(pieces...)
	defer iov.Unpin() // once the request has completed
	r.NextSQE().PrepReadV(int32(f.Fd()), iov.Slice(), 0, 0, 1)
	check(r.WaitCQEs(1, -1))
	for c := range r.CQEs() {
		check(c.Err())
		left := int(c.Res)
		for _, p := range pieces {
			n := min(left, len(p))
			os.Stdout.Write(p[:n])
			left -= n
		}
	}
	// Output: one ring to read it all
}

// A file is copied block by block: each write is linked behind its read, so
// the kernel starts it as soon as the block is there.
func Example_copy() {
	dir, err := os.MkdirTemp("", "quoit-example")
	check(err)
	defer os.RemoveAll(dir)
	const size, block = 10_000, 4096
	check(os.WriteFile(dir+"/src", make([]byte, size), 0o600))
	src, err := os.Open(dir + "/src")
	check(err)
	defer src.Close()
	dst, err := os.Create(dir + "/dst")
	check(err)
	defer dst.Close()

	r, err := ring.New(&ring.Params{Entries: 8})
	check(err)
	defer r.Close()
	var bufs [][]byte
	for off := 0; off < size; off += block {
		// A short read would break the link, so the last one is no longer
		// than the file.
		b := make([]byte, min(block, size-off))
		bufs = append(bufs, b)
		read := r.NextSQE()
		read.PrepRead(int32(src.Fd()), b, uint64(off), 1)
		read.SetFlags(ring.SQEIOLink)
		r.NextSQE().PrepWrite(int32(dst.Fd()), b, uint64(off), 2)
	}
	copied := 0
	for left := 2 * len(bufs); left > 0; {
		check(r.WaitCQEs(1, -1))
		for c := range r.CQEs() {
			if left--; c.Err() != nil {
				panic(c.Err())
			}
			if c.UserData == 2 {
				copied += int(c.Res)
			}
		}
	}
	runtime.KeepAlive(bufs)
	fmt.Println(copied, "bytes copied")
	// Output: 10000 bytes copied
}

// A request is given a time after which it is cancelled.
func Example_timeout() {
	r, err := ring.New(&ring.Params{Entries: 4})
	check(err)
	defer r.Close()
	var pipe [2]int
	check(unix.Pipe2(pipe[:], unix.O_CLOEXEC))
	defer unix.Close(pipe[0])
	defer unix.Close(pipe[1])

	b, limit := make([]byte, 16), ring.NewTimespec(10*time.Millisecond)
	read := r.NextSQE()
	read.PrepRead(int32(pipe[0]), b, ring.CurrentOffset, 1)
	read.SetFlags(ring.SQEIOLink)
	r.NextSQE().PrepLinkTimeout(&limit, 0, 2)
	check(r.WaitCQEs(2, -1))
	runtime.KeepAlive(b) // the kernel's reference does not count
	runtime.KeepAlive(&limit)
	var byRequest [3]error
	for c := range r.CQEs() {
		byRequest[c.UserData] = c.Err()
	}
	fmt.Println("read:", byRequest[1])
	fmt.Println("timeout:", byRequest[2])
	// Output:
	// read: operation canceled
	// timeout: timer expired
}

// A goroutine waits for a file to become readable, with a ring that others
// may use at the same time.
func Example_poll() {
	s, err := ring.NewShared(&ring.Params{Entries: 4})
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSYS) {
		fmt.Println(err) // with the likely reason
		return
	}
	check(err)
	defer s.Close()
	f, err := os.Open("/dev/zero")
	check(err)
	defer f.Close()
	fd := int32(f.Fd())
	_, err = s.Add(func(e *ring.SQE) { e.PrepPollAdd(fd, unix.POLLIN, 7) }, f)
	check(err)
	done := make([]ring.Completion, 4)
	n, err := s.Wait(done, time.Second)
	check(err)
	for _, c := range done[:n] {
		fmt.Println("request", c.UserData, "readable:", c.Res&unix.POLLIN != 0)
	}
	// Output: request 7 readable: true
}
