//go:build linux

package ring

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/internal/testenv"
)

// The benchmarks of this file do the same by system calls and by a ring's requests,
// for a number of conns at a time and by one thread. The other side is the same:
// system calls, on the same thread, before and after. ns/op is the mean time of both
// sides; ns/req is the median of what one conn took of the side that is compared,
// which other programs on the machine change less.

// benchBytes is the size of messages.
const benchBytes = 64

// benchConns are the numbers of conns.
var benchConns = []int{1, 16, 64}

// benchRing makes a ring as a transport has it, with room for n requests.
func benchRing(b *testing.B, n int) *Ring {
	return newRing(b, Params{Entries: uint32(max(n, 8)), Flags: engineFlags})
}

// benchPairs opens n connected TCP sockets that do not block.
func benchPairs(b *testing.B, n int) (clients, servers []int) {
	for range n {
		c, s := testenv.TCPSockets(b, unix.SOCK_NONBLOCK)
		clients, servers = append(clients, c), append(servers, s)
	}
	return clients, servers
}

// each calls f, which returns a number of bytes, for every fd; f has to move a
// message.
func each(b *testing.B, fds []int, f func(fd int, msg []byte) (int, error), msg []byte) {
	for _, fd := range fds {
		if n, err := f(fd, msg); n != benchBytes {
			b.Fatal(n, err)
		}
	}
}

// completed waits for n completions, each of which has to have res for its result,
// and gives them to f.
func completed(b *testing.B, r *Ring, n int, res int32, f func(*CQE)) {
	for seen := 0; seen < n; {
		if err := r.WaitCQEs(1, -1); err != nil {
			b.Fatal(err)
		}
		for c := range r.CQEs() {
			if seen++; c.Res != res {
				b.Fatalf("%+v: %v", c, c.Err())
			}
			if f != nil {
				f(c)
			}
		}
	}
}

// turn is what one round of a benchmark does: serve is what is compared.
type turn struct{ before, serve, after func() }

// byConns runs a benchmark for each number of conns and each way to serve them.
func byConns(b *testing.B, ways []string, newTurn func(b *testing.B, way string, n int) turn) {
	testenv.NeedKernel(b, "6.6")
	for _, n := range benchConns {
		for _, way := range ways {
			b.Run(fmt.Sprintf("conns=%d/by=%s", n, way), func(b *testing.B) {
				t := newTurn(b, way, n)
				serving := make([]time.Duration, 0, 1<<14) // of the first turns
				b.ReportAllocs()
				for b.Loop() {
					t.before()
					start := time.Now()
					t.serve()
					if took := time.Since(start); len(serving) < cap(serving) {
						serving = append(serving, took)
					}
					t.after()
				}
				slices.Sort(serving)
				b.ReportMetric(float64(serving[len(serving)/2])/float64(n), "ns/req")
			})
		}
	}
}

// BenchmarkRecv receives a message on each conn: by recv(2) of conns that are known to
// have one, by epoll_wait(2) and recv(2), by one request a message, and by a
// multishot request a conn with a buffer ring.
func BenchmarkRecv(b *testing.B) {
	byConns(b, []string{"syscall", "epoll", "recv", "multishot"}, func(b *testing.B, way string, n int) turn {
		clients, servers := benchPairs(b, n)
		msg, buf := make([]byte, benchBytes), make([]byte, n*benchBytes)
		var serve func()
		switch way {
		case "syscall":
			serve = func() { each(b, servers, unix.Read, buf) }
		case "epoll":
			serve = epollServer(b, servers, buf)
		case "recv":
			r := benchRing(b, n)
			serve = func() {
				for i, fd := range servers {
					r.NextSQE().PrepRecv(int32(fd), buf[i*benchBytes:][:benchBytes], 0, UserData(i))
				}
				completed(b, r, n, benchBytes, nil)
			}
		case "multishot":
			r := benchRing(b, n)
			bufs := bufRing(b, r, 128, benchBytes, 0)
			for i, fd := range servers {
				r.NextSQE().PrepRecvMultishot(int32(fd), bufs.ID(), 0, UserData(i))
			}
			serve = func() {
				completed(b, r, n, benchBytes, func(c *CQE) {
					for bid := range bufs.Buffers(c) {
						bufs.Return(bid)
					}
				})
				bufs.Publish()
			}
		}
		return turn{func() { each(b, clients, unix.Write, msg) }, serve, func() {}}
	})
}

// epollServer returns what receives from all of servers.
func epollServer(b *testing.B, servers []int, buf []byte) func() {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		b.Fatal(err)
	}
	closeLater(b, epoll)
	for _, fd := range servers {
		if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}); err != nil {
			b.Fatal(err)
		}
	}
	events := make([]unix.EpollEvent, len(servers))
	return func() {
		for seen := 0; seen < len(servers); {
			got, err := unix.EpollWait(epoll, events, -1)
			if err != nil && err != unix.EINTR {
				b.Fatal(err)
			}
			for _, e := range events[:max(got, 0)] {
				if n, err := unix.Read(int(e.Fd), buf); n != benchBytes {
					b.Fatal(n, err)
				}
				seen++
			}
		}
	}
}

// BenchmarkSend sends a message on each conn: by send(2), and by one request each.
func BenchmarkSend(b *testing.B) {
	byConns(b, []string{"syscall", "send"}, func(b *testing.B, way string, n int) turn {
		clients, servers := benchPairs(b, n)
		msg, buf := make([]byte, benchBytes), make([]byte, benchBytes)
		serve := func() { each(b, servers, unix.Write, msg) }
		if way == "send" {
			r := benchRing(b, n)
			serve = func() {
				for i, fd := range servers {
					r.NextSQE().PrepSend(int32(fd), msg, unix.MSG_NOSIGNAL, UserData(i))
				}
				completed(b, r, n, benchBytes, nil)
			}
		}
		return turn{func() {}, serve, func() { each(b, clients, unix.Read, buf) }}
	})
}

// BenchmarkAccept accepts conns that a client has just opened: by accept4(2), and by
// a multishot request.
func BenchmarkAccept(b *testing.B) {
	byConns(b, []string{"syscall", "multishot"}, func(b *testing.B, way string, n int) turn {
		const flags = unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK
		ln, port := listenTCP(b)
		if err := unix.Listen(int(ln), n); err != nil {
			b.Fatal(err)
		}
		to := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: int(port)}
		clients, servers := make([]int, n), make([]int, 0, n)
		serve := func() {
			for range n { // unix.Accept4 would ask for the address, too
				fd, _, errno := unix.Syscall6(unix.SYS_ACCEPT4, uintptr(ln), 0, 0, flags, 0, 0)
				if errno != 0 {
					b.Fatal(errno)
				}
				servers = append(servers, int(fd))
			}
		}
		if way == "multishot" {
			r := benchRing(b, n)
			r.NextSQE().PrepAcceptMultishot(ln, flags, 1)
			serve = func() {
				for len(servers) < n {
					if err := r.WaitCQEs(1, -1); err != nil {
						b.Fatal(err)
					}
					for c := range r.CQEs() {
						if !c.More() {
							b.Fatal(c.Err())
						}
						servers = append(servers, int(c.Res))
					}
				}
			}
		}
		return turn{func() {
			for i := range clients {
				clients[i] = benchDial(b, to)
			}
		}, serve, func() {
			for i := range clients {
				unix.Close(clients[i])
				unix.Close(servers[i])
			}
			servers = servers[:0]
		}}
	})
}

// benchDial opens a conn that leaves no TIME_WAIT behind.
func benchDial(b *testing.B, to unix.Sockaddr) int {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	}
	if err == nil {
		err = unix.Connect(fd, to)
	}
	if err != nil {
		b.Fatal(err)
	}
	return fd
}

// BenchmarkGiveBack gives buffers back to the kernel, 64 at a time: to a buffer ring
// by one store, to a classic group by a request each and one system call.
func BenchmarkGiveBack(b *testing.B) {
	testenv.NeedKernel(b, "6.6")
	const n = 64
	b.Run("by=bufring", func(b *testing.B) {
		bufs := bufRing(b, benchRing(b, n), n, benchBytes, 0)
		b.ReportAllocs()
		for b.Loop() {
			for bid := range uint16(n) {
				c := CQE{Res: benchBytes, Flags: CQEBuffer | CQEFlags(bid)<<cqeBufferShift} // as the kernel's
				for bid := range bufs.Buffers(&c) {
					bufs.Return(bid)
				}
			}
			bufs.Publish()
		}
		perRequest(b, n)
		b.ReportMetric(0, "enters/req")
	})
	b.Run("by=provide", func(b *testing.B) {
		r := benchRing(b, 2*n)
		mem := anonymous(b, n*benchBytes)
		b.ReportAllocs()
		for b.Loop() {
			for bid := range uint16(n) {
				r.NextSQE().PrepProvideBuffers(mem[int(bid)*benchBytes:][:benchBytes], benchBytes, 1, 5, bid, 1)
			}
			completed(b, r, n, 0, nil)
			b.StopTimer() // the kernel has no use for more and more of them
			r.NextSQE().PrepRemoveBuffers(n, 5, 1)
			completed(b, r, 1, n, nil)
			b.StartTimer()
		}
		perRequest(b, n)
	})
}
