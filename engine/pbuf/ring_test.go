//go:build linux

package pbuf_test

import (
	"bytes"
	"errors"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/engine/pbuf"
	"github.com/quoit-go/quoit/engine/ring"
	"github.com/quoit-go/quoit/internal/testenv"
)

// newRing makes a ring and its group of 8 buffers of 100 bytes, on a locked
// thread, until the test ends.
func newRing(t *testing.T) (*ring.Ring, *pbuf.Group) {
	t.Helper()
	testenv.NeedKernel(t, "6.1")
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	r, err := ring.New(&ring.Params{Entries: 8, Flags: ring.SetupSingleIssuer | ring.SetupDeferTaskrun})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	g, err := pbuf.New(r, 1, 8, 100)
	if err != nil {
		t.Fatal(err)
	}
	g.SetPoison(true)
	return r, g
}

func TestRealRingRegistration(t *testing.T) {
	r, g := newRing(t)
	if _, err := pbuf.New(r, 1, 8, 100); !errors.Is(err, syscall.EEXIST) {
		t.Errorf("the same group again: %v", err)
	}
	for range 2 {
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.UnregisterBufRing(1); err == nil {
		t.Error("still registered")
	}
}

// write sends b on fd and closes it.
func write(t *testing.T, fd int, b []byte) {
	defer unix.Close(fd)
	for len(b) > 0 {
		n, err := unix.Write(fd, b)
		if err != nil {
			t.Error(err)
			return
		}
		b = b[n:]
	}
}

// arrival is one completion's data.
type arrival struct {
	bid uint16
	n   int
}

// receive keeps a receive armed on fd until its end, passes what arrives to
// arrivals and returns how often the group ran dry.
func receive(t *testing.T, r *ring.Ring, g *pbuf.Group, fd int, arrivals chan<- arrival) (dry int) {
	r.NextSQE().PrepRecvMultishot(int32(fd), g.ID(), 0, 1)
	var cqes [16]ring.CQE
	for {
		if _, err := r.SubmitAndWait(1, 5*time.Second); err != nil && !errors.Is(err, unix.EINTR) {
			t.Error(err)
			return dry
		}
		for _, c := range cqes[:r.PeekCQEs(cqes[:])] {
			if bid, ok := c.Buffer(); ok {
				g.Take(bid)
				arrivals <- arrival{bid, int(c.Res)}
			}
			switch {
			case c.More():
			case c.Res > 0 || c.Err() == syscall.ENOBUFS:
				dry++
				for g.Refill() == 0 {
					runtime.Gosched()
				}
				r.NextSQE().PrepRecvMultishot(int32(fd), g.ID(), 0, 1)
			default:
				if c.Res != 0 {
					t.Error(c.Err())
				}
				return dry
			}
		}
		g.Refill()
	}
}

// A stream through few small buffers, returned by other goroutines, arrives
// whole while the group runs dry again and again.
func TestRealRingStream(t *testing.T) {
	r, g := newRing(t)
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	sent := make([]byte, 1<<20)
	for i := range sent {
		sent[i] = byte(i * 7 / 3)
	}
	var wg sync.WaitGroup
	wg.Go(func() { write(t, fds[1], sent) })

	var got []byte
	arrivals, spent := make(chan arrival, 8), make(chan uint16, 8)
	wg.Go(func() {
		defer close(spent)
		for a := range arrivals {
			got = append(got, g.Bytes(a.bid, a.n)...)
			spent <- a.bid
		}
	})
	for range 3 { // they return in any order
		wg.Go(func() {
			for bid := range spent {
				g.Return(bid)
			}
		})
	}
	dry := receive(t, r, g, fds[0], arrivals)
	close(arrivals)
	wg.Wait()
	if !bytes.Equal(got, sent) {
		t.Errorf("%d of %d bytes, or not the same", len(got), len(sent))
	}
	if dry == 0 {
		t.Error("the group never ran dry")
	}
	if err := g.Close(); err != nil || g.Out() != 0 {
		t.Errorf("Close: %v, %d out", err, g.Out())
	}
}
