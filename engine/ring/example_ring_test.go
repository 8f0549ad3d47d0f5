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

// A ring has another one wake up and hands it a number.
func Example_msgRing() {
	ready, done := make(chan int), make(chan struct{})
	go func() { // the owner of the other ring
		defer close(done)
		r, err := ring.New(&ring.Params{Entries: 4})
		check(err)
		defer r.Close()
		ready <- r.FD()
		check(r.WaitCQEs(1, -1))
		for c := range r.CQEs() {
			fmt.Println("message", c.UserData, "with", c.Res)
		}
	}()
	r, err := ring.New(&ring.Params{Entries: 4})
	check(err)
	defer r.Close()
	r.NextSQE().PrepMsgRing(int32(<-ready), 42, 7, 1)
	check(r.WaitCQEs(1, -1))
	for c := range r.CQEs() {
		check(c.Err())
	}
	<-done
	// Output: message 7 with 42
}

// Files and memory that many requests use are registered once: a request then
// names them by index, and the kernel neither looks the descriptor up nor pins
// the pages again.
func Example_registered() {
	f, err := os.Create(filepath.Join(os.TempDir(), "quoit-example-registered"))
	check(err)
	defer os.Remove(f.Name())
	r, err := ring.New(&ring.Params{Entries: 4})
	check(err)
	defer r.Close()
	check(r.RegisterFiles([]int32{int32(f.Fd())}))
	f.Close() // the ring has its own reference
	text, copied := []byte("by index"), make([]byte, 8)
	iov := ring.NewIovecs(text, copied) // buffers 0 and 1
	check(r.RegisterBuffers(iov.Slice()))

	write := r.NextSQE()
	write.PrepWriteFixed(0, text, 0, 0, 1)
	write.SetFlags(ring.SQEFixedFile | ring.SQEIOLink)
	read := r.NextSQE()
	read.PrepReadFixed(0, copied, 0, 1, 2)
	read.SetFlags(ring.SQEFixedFile)
	check(r.WaitCQEs(2, -1))
	for c := range r.CQEs() {
		check(c.Err())
	}
	check(r.UnregisterBuffers())
	iov.Unpin() // no request uses the memory any longer
	fmt.Printf("%s\n", copied)
	// Output: by index
}

// A request waits for a word of memory, and another one wakes it.
func Example_futex() {
	r, err := ring.New(&ring.Params{Entries: 4})
	check(err)
	defer r.Close()
	word := new(uint32)
	r.NextSQE().PrepFutexWait(word, 0, ring.FutexAny, ring.Futex32|ring.FutexPrivate, 1)
	_, err = r.Submit() // it waits, for the word is 0
	check(err)
	r.NextSQE().PrepFutexWake(word, 1, ring.FutexAny, ring.Futex32|ring.FutexPrivate, 2)
	check(r.WaitCQEs(2, -1))
	var byRequest [3]int32
	for c := range r.CQEs() {
		check(c.Err())
		byRequest[c.UserData] = c.Res
	}
	runtime.KeepAlive(word) // the kernel's reference does not count
	fmt.Println("woken:", byRequest[2])
	// Output: woken: 1
}

// A thread of the kernel looks for entries: while it is awake, requests cost no
// system call. It takes a CPU for that.
func Example_sqPoll() {
	r, err := ring.New(&ring.Params{Entries: 8, Flags: ring.SetupSQPoll, SQThreadIdle: 10 * time.Millisecond})
	check(err)
	defer r.Close()
	done := 0
	for i := range 100 {
		for r.SQSpace() == 0 { // the thread has yet to take entries
			if err := r.SQWait(); !errors.Is(err, syscall.EINTR) {
				check(err)
			}
		}
		r.NextSQE().PrepNop(ring.UserData(i))
		_, err := r.Submit() // a system call only if the thread sleeps
		check(err)
		for c := range r.CQEs() {
			check(c.Err())
			done++
		}
	}
	for done < 100 {
		check(r.WaitCQEs(1, -1))
		for c := range r.CQEs() {
			check(c.Err())
			done++
		}
	}
	fmt.Println(done, "requests")
	// Output: 100 requests
}

// A loop over epoll learns of a ring's completions by an eventfd.
func Example_epoll() {
	event, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	check(err)
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	check(err)
	defer closeAll(int32(event), int32(epoll))
	check(unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, event, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(event)}))

	r, err := ring.New(&ring.Params{Entries: 4})
	check(err)
	defer r.Close()
	check(r.RegisterEventFD(event))
	r.NextSQE().PrepNop(1)
	_, err = r.Submit()
	check(err)

	events := make([]unix.EpollEvent, 4)
	n, err := unix.EpollWait(epoll, events, -1)
	for err == unix.EINTR {
		n, err = unix.EpollWait(epoll, events, -1)
	}
	check(err)
	for _, e := range events[:n] {
		var count [8]byte // before the completions are reaped, so that none is missed
		_, err := unix.Read(int(e.Fd), count[:])
		check(err)
		for c := range r.CQEs() {
			fmt.Println("request", c.UserData, "has completed")
		}
	}
	// Output: request 1 has completed
}

// A linked request waits for the one before it. If that fails, the rest of a chain
// is cancelled; behind a hard link it is not.
func Example_links() {
	r, err := ring.New(&ring.Params{Entries: 8})
	check(err)
	defer r.Close()
	b := make([]byte, 1)
	for _, link := range []ring.SQEFlags{ring.SQEIOLink, ring.SQEIOHardlink} {
		bad := r.NextSQE()
		bad.PrepRead(-1, b, 0, 0) // no such file
		bad.SetFlags(link)
		r.NextSQE().PrepNop(1)
		check(r.WaitCQEs(2, -1))
		var byRequest [2]error
		for c := range r.CQEs() {
			byRequest[c.UserData] = c.Err()
		}
		fmt.Printf("%v: %v, then %v\n", link, byRequest[0], byRequest[1])
	}
	runtime.KeepAlive(b)
	// Output:
	// IO_LINK: bad file descriptor, then operation canceled
	// IO_HARDLINK: bad file descriptor, then <nil>
}

// A ring that is handed to less trusted code does only what it was made for.
func Example_restrictions() {
	r, err := ring.New(&ring.Params{Entries: 4, Flags: ring.SetupRDisabled | ring.SetupSubmitAll})
	check(err)
	defer r.Close()
	check(r.RegisterRestrictions(ring.AllowOp(ring.OpNop), ring.AllowEnable()))
	check(r.Enable())
	b := make([]byte, 1)
	r.NextSQE().PrepNop(1)
	r.NextSQE().PrepRead(0, b, 0, 2)
	check(r.WaitCQEs(2, -1))
	var byRequest [3]error
	for c := range r.CQEs() {
		byRequest[c.UserData] = c.Err()
	}
	runtime.KeepAlive(b)
	fmt.Println("nop:", byRequest[1])
	fmt.Println("read:", byRequest[2])
	fmt.Println(r.RegisterEventFD(0))
	// Output:
	// nop: <nil>
	// read: permission denied
	// io_uring_register: permission denied (REGISTER_EVENTFD: denied by a restriction of the ring)
}

// A ring starts small and grows, with what is in its queues.
func Example_resize() {
	runtime.LockOSThread() // the ring belongs to this thread
	defer runtime.UnlockOSThread()
	r, err := ring.New(&ring.Params{
		Entries: 2, Flags: ring.SetupSingleIssuer | ring.SetupDeferTaskrun | ring.SetupNoSQArray,
	})
	check(err)
	defer r.Close()
	r.NextSQE().PrepNop(1)
	check(r.WaitCQEs(1, -1))
	check(r.ResizeRings(64, 256))
	fmt.Println(r.SQEntries(), "entries, room for", r.CQEntries(), "completions")
	for c := range r.CQEs() {
		fmt.Println("request", c.UserData, "is still there")
	}
	// Output:
	// 64 entries, room for 256 completions
	// request 1 is still there
}
