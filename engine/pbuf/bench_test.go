//go:build linux

package pbuf_test

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/engine/pbuf"
	"github.com/quoit-go/quoit/engine/ring"
	"github.com/quoit-go/quoit/internal/testenv"
)

// BenchmarkReceive receives a message of 64 bytes on each of so many conns and hands
// its buffer back: by read(2) into a buffer a conn, and by a multishot request a conn with
// a group. The other side writes by system calls, on the same thread. ns/op is the mean time
// of both sides, ns/req the median of what one conn took of the receiving.
func BenchmarkReceive(b *testing.B) {
	testenv.NeedKernel(b, "6.1")
	for _, conns := range []int{1, 16, 64} {
		for _, by := range []struct {
			name string
			make func(*testing.B, []int) func() int
		}{{"syscall", bySyscall}, {"group", byGroup}} {
			b.Run(fmt.Sprintf("conns=%d/by=%s", conns, by.name), func(b *testing.B) {
				var clients, servers []int
				for range conns {
					c, s := testenv.TCPSockets(b, unix.SOCK_NONBLOCK)
					clients, servers = append(clients, c), append(servers, s)
				}
				receive, msg := by.make(b, servers), make([]byte, 64)
				receiving := make([]time.Duration, 0, 1<<14) // of the first rounds
				b.ReportAllocs()
				for b.Loop() {
					for _, fd := range clients {
						if _, err := unix.Write(fd, msg); err != nil {
							b.Fatal(err)
						}
					}
					start := time.Now()
					for got := 0; got < conns*len(msg); {
						got += receive()
					}
					if took := time.Since(start); len(receiving) < cap(receiving) {
						receiving = append(receiving, took)
					}
				}
				slices.Sort(receiving)
				b.ReportMetric(float64(receiving[len(receiving)/2])/float64(conns), "ns/req")
			})
		}
	}
}

func bySyscall(b *testing.B, fds []int) func() int {
	buf := make([]byte, 4096*len(fds))
	return func() (sum int) {
		for i, fd := range fds {
			n, err := unix.Read(fd, buf[4096*i:][:4096])
			if err != nil {
				b.Fatal(err)
			}
			sum += n
		}
		return sum
	}
}

func byGroup(b *testing.B, fds []int) func() int {
	runtime.LockOSThread()
	b.Cleanup(runtime.UnlockOSThread)
	r, err := ring.New(&ring.Params{Entries: 64, CQEntries: 256, Flags: ring.SetupSingleIssuer | ring.SetupDeferTaskrun})
	if err != nil {
		b.Fatal(err)
	}
	g, err := pbuf.New(r, 1, 128, 4096)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		g.Close()
		r.Close()
	})
	for _, fd := range fds {
		r.NextSQE().PrepRecvMultishot(int32(fd), g.ID(), 0, 1)
	}
	return func() (sum int) {
		if err := r.WaitCQEs(1, -1); err != nil {
			b.Fatal(err)
		}
		for c := range r.CQEs() {
			bid, ok := c.Buffer()
			if !ok {
				b.Fatal(c.Err())
			}
			g.Take(bid)
			sum += len(g.Bytes(bid, int(c.Res)))
			g.Return(bid)
		}
		g.Refill()
		return sum
	}
}
