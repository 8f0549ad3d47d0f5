//go:build linux

package ring_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/engine/pbuf"
	"github.com/quoit-go/quoit/engine/ring"
)

// A file is printed by reading all of it at once into pieces.
func Example_cat() {
	name := filepath.Join(os.TempDir(), "quoit-example-cat")
	if err := os.WriteFile(name, []byte("one ring to read it all\n"), 0o600); err != nil {
		panic(err)
	}
	defer os.Remove(name)
	f, err := os.Open(name)
	if err != nil {
		panic(err)
	}
	defer f.Close()

	r, err := ring.New(&ring.Params{Entries: 4})
	if err != nil {
		panic(err)
	}
	defer r.Close()
	pieces := [][]byte{make([]byte, 9), make([]byte, 4), make([]byte, 4096)}
	iov := make([]unix.Iovec, len(pieces))
	for i, p := range pieces {
		iov[i].Base = &p[0]
		iov[i].SetLen(len(p))
	}
	r.NextSQE().PrepReadV(int32(f.Fd()), iov, 0, 0, 1)
	for r.CQReady() == 0 { // a signal may end a wait
		if _, err := r.SubmitAndWait(1, -1); err != nil && !errors.Is(err, syscall.EINTR) {
			panic(err)
		}
	}
	for c := range r.CQEs() {
		if err := c.Err(); err != nil {
			panic(err)
		}
		left := int(c.Res)
		for _, p := range pieces {
			n := min(left, len(p))
			os.Stdout.Write(p[:n])
			left -= n
		}
	}
	runtime.KeepAlive(iov) // the kernel's reference does not count
	// Output: one ring to read it all
}

// A file is copied block by block: each write is linked behind its read, so
// the kernel starts it as soon as the block is there.
func Example_copy() {
	dir, err := os.MkdirTemp("", "quoit-example")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	const size, block = 10_000, 4096
	if err := os.WriteFile(dir+"/src", make([]byte, size), 0o600); err != nil {
		panic(err)
	}
	src, err := os.Open(dir + "/src")
	if err != nil {
		panic(err)
	}
	defer src.Close()
	dst, err := os.Create(dir + "/dst")
	if err != nil {
		panic(err)
	}
	defer dst.Close()

	r, err := ring.New(&ring.Params{Entries: 8})
	if err != nil {
		panic(err)
	}
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
		if _, err := r.SubmitAndWait(1, -1); err != nil && !errors.Is(err, syscall.EINTR) {
			panic(err)
		}
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

// A server that returns what it receives: one request accepts all connections,
// and one per connection receives all of its data, into buffers that the
// kernel takes from a group when there is data.
func Example_echo() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer ln.Close()
	lnFile, err := ln.(*net.TCPListener).File()
	if err != nil {
		panic(err)
	}
	defer lnFile.Close()
	go func() { // a client
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			panic(err)
		}
		defer c.Close()
		fmt.Fprint(c, "hello")
		b := make([]byte, 5)
		n, _ := c.Read(b)
		fmt.Printf("echo: %s\n", b[:n])
	}()

	runtime.LockOSThread() // the ring belongs to this thread
	defer runtime.UnlockOSThread()
	r, err := ring.New(&ring.Params{Entries: 64, Flags: ring.SetupSingleIssuer | ring.SetupDeferTaskrun})
	if err != nil {
		panic(err)
	}
	defer r.Close()
	group, err := pbuf.New(r, 0, 64, 4096)
	if err != nil {
		panic(err)
	}
	defer group.Close()

	const accept, recv, send = ring.Kind(1), ring.Kind(2), ring.Kind(3)
	r.NextSQE().PrepAcceptMultishot(int32(lnFile.Fd()), unix.SOCK_CLOEXEC, ring.NewUserData(accept, 0, 0))
	for open := true; open; { // until the client is gone
		if _, err := r.SubmitAndWait(1, -1); err != nil && !errors.Is(err, syscall.EINTR) {
			panic(err)
		}
		for c := range r.CQEs() {
			fd := int32(c.UserData.Slot())
			bid, hasBuffer := c.Buffer()
			switch {
			case c.Err() != nil:
				panic(c.Err())
			case c.UserData.Kind() == accept:
				r.NextSQE().PrepRecvMultishot(c.Res, group.ID(), 0, ring.NewUserData(recv, 0, uint32(c.Res)))
			case c.UserData.Kind() == recv && hasBuffer:
				group.Take(bid)
				// The generation has room for the buffer's number.
				r.NextSQE().PrepSend(fd, group.Bytes(bid, int(c.Res)), unix.MSG_WAITALL|unix.MSG_NOSIGNAL,
					ring.NewUserData(send, uint32(bid), uint32(fd)))
			case c.UserData.Kind() == recv: // the end of the stream
				unix.Close(int(fd))
				open = false
			case c.UserData.Kind() == send:
				group.Return(uint16(c.UserData.Gen()))
				group.Refill()
			}
		}
	}
	r.NextSQE().PrepCancel(ring.NewUserData(accept, 0, 0), 0, 0)
	if _, err := r.SubmitAndWait(2, time.Second); err != nil && !errors.Is(err, syscall.EINTR) {
		panic(err)
	}
	// Output: echo: hello
}

// A request is given a time after which it is cancelled.
func Example_timeout() {
	r, err := ring.New(&ring.Params{Entries: 4})
	if err != nil {
		panic(err)
	}
	defer r.Close()
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		panic(err)
	}
	defer unix.Close(pipe[0])
	defer unix.Close(pipe[1])

	b, limit := make([]byte, 16), ring.NewTimespec(10*time.Millisecond)
	read := r.NextSQE()
	read.PrepRead(int32(pipe[0]), b, ring.CurrentOffset, 1)
	read.SetFlags(ring.SQEIOLink)
	r.NextSQE().PrepLinkTimeout(&limit, 0, 2)
	for r.CQReady() < 2 {
		if _, err := r.SubmitAndWait(2, -1); err != nil && !errors.Is(err, syscall.EINTR) {
			panic(err)
		}
	}
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
	if err != nil {
		panic(err)
	}
	defer s.Close()
	f, err := os.Open("/dev/zero")
	if err != nil {
		panic(err)
	}
	defer f.Close()
	fd := int32(f.Fd())
	if _, err := s.Add(func(e *ring.SQE) { e.PrepPollAdd(fd, unix.POLLIN, 7) }, f); err != nil {
		panic(err)
	}
	done := make([]ring.Completion, 4)
	n, err := s.Wait(done, time.Second)
	if err != nil {
		panic(err)
	}
	for _, c := range done[:n] {
		fmt.Println("request", c.UserData, "readable:", c.Res&unix.POLLIN != 0)
	}
	// Output: request 7 readable: true
}
