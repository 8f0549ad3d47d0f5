//go:build linux

package ring_test

import (
	"fmt"
	"io"
	"net"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/engine/ring"
)

// Example_echo has a server that returns what it receives. Each connection has one
// request at a time: a receive, for which the kernel takes a buffer of the group
// when there is data, then a send of that buffer. The server returns when the
// accept ends, as by a shutdown of the listener.
func Example_echo() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	defer ln.Close()
	fd := fileOf(ln.(*net.TCPListener))
	done := make(chan error)
	go func() { done <- echo(fd) }()

	c, err := net.Dial("tcp", ln.Addr().String())
	check(err)
	fmt.Fprint(c, "hello")
	c.(*net.TCPConn).CloseWrite()
	answer, err := io.ReadAll(c)
	check(err)
	c.Close()
	fmt.Printf("%s\n", answer)
	unix.Shutdown(int(fd), unix.SHUT_RDWR)
	fmt.Println("the accept:", <-done)
	unix.Close(int(fd))
	// Output:
	// hello
	// the accept: invalid argument
}

// The kinds of requests of echo.
const (
	accept ring.Kind = iota
	receive
	send
)

func echo(listener int32) error {
	runtime.LockOSThread() // the ring belongs to this thread
	defer runtime.UnlockOSThread()
	r, err := ring.New(&ring.Params{
		Entries: 1024, CQEntries: 1024, // so that each completion of a turn has an entry
		Flags: ring.SetupSingleIssuer | ring.SetupDeferTaskrun,
	})
	if err != nil {
		return err
	}
	defer r.Close()
	bufs, err := r.SetupBufRing(1024, 0, 0)
	if err != nil {
		return err
	}
	defer bufs.Close()
	for bid := range uint16(1024) {
		bufs.Add(bid, make([]byte, 4096))
	}
	bufs.Publish()
	return serve(r, bufs, listener)
}

func serve(r *ring.Ring, bufs *ring.BufRing, listener int32) error {
	arm := func(fd int32) {
		s := r.NextSQE()
		s.PrepRecv(fd, nil, 0, ring.NewUserData(receive, 0, uint32(fd)))
		s.SetBufferGroup(bufs.ID())
	}
	r.NextSQE().PrepAcceptMultishot(listener, unix.SOCK_CLOEXEC, ring.NewUserData(accept, 0, 0))
	for {
		if err := r.WaitCQEs(1, -1); err != nil {
			return err
		}
		for c := range r.CQEs() {
			kind, fd := c.UserData.Kind(), int32(c.UserData.Slot())
			if kind == send { // its generation has room for the buffer's number
				bufs.Return(uint16(c.UserData.Gen()))
			}
			switch {
			case kind == accept && !c.More():
				return c.Err()
			case kind == accept:
				arm(c.Res)
			case c.Res <= 0: // the end of the stream, an error, or no buffer left
				unix.Close(int(fd))
			case kind == send:
				arm(fd)
			}
			for bid, data := range bufs.Buffers(c) {
				r.NextSQE().PrepSend(fd, data, unix.MSG_WAITALL|unix.MSG_NOSIGNAL,
					ring.NewUserData(send, uint32(bid), uint32(fd)))
			}
		}
		bufs.Publish()
	}
}
