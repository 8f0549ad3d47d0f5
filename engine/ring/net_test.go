//go:build linux

package ring

import (
	"bytes"
	"net/netip"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/engine/pbuf"
	"github.com/quoit-go/quoit/internal/testenv"
)

func newGroup(t testing.TB, r *Ring, entries, bufBytes int) *pbuf.Group {
	t.Helper()
	g, err := pbuf.New(r, 7, entries, bufBytes)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// cancel ends ud's request and eats both completions.
func cancel(t testing.TB, r *Ring, ud UserData) {
	t.Helper()
	r.NextSQE().PrepCancel(ud, 0, 1<<63)
	for _, c := range reap(t, r, 2) {
		switch {
		case c.UserData == 1<<63 && c.Res == 0:
		case c.UserData == ud && c.Err() == syscall.ECANCELED && !c.More():
		default:
			t.Errorf("cancel: %+v: %v", c, c.Err())
		}
	}
}

// A connection's life: connect and accept, data both ways, end.
func TestTCP(t *testing.T) {
	eachMode(t, Params{Entries: 8}, func(t *testing.T, r *Ring) {
		const acceptUD, connectUD, recvUD, sendUD = 1, 2, 3, 4
		g := newGroup(t, r, 8, 64)
		ln, port := listenTCP(t)
		r.NextSQE().PrepAcceptMultishot(ln, unix.SOCK_CLOEXEC, acceptUD)
		var sa Sockaddr
		sa.SetIP(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port), false, 0)
		for range 2 { // the accept stays armed
			client := socket(t, unix.AF_INET)
			r.NextSQE().PrepConnect(client, &sa, connectUD)
			server := int32(-1)
			for _, c := range reap(t, r, 2) {
				switch {
				case c.UserData == acceptUD && c.Res >= 0 && c.More():
					server = closeLater(t, int(c.Res))
				case c.UserData == connectUD && c.Res == 0:
				default:
					t.Fatalf("got %+v: %v", c, c.Err())
				}
			}
			if flags, err := unix.FcntlInt(uintptr(server), unix.F_GETFD, 0); err != nil || flags != unix.FD_CLOEXEC {
				t.Errorf("accepted fd has flags %#x, %v", flags, err)
			}

			r.NextSQE().PrepRecvMultishot(server, g.ID(), 0, recvUD)
			for _, msg := range []string{"hello", "world!"} {
				b := []byte(msg)
				r.NextSQE().PrepSend(client, b, unix.MSG_NOSIGNAL, sendUD)
				for _, c := range reap(t, r, 2) {
					switch {
					case c.UserData == sendUD && int(c.Res) == len(b):
					case c.UserData == recvUD && c.More():
						if got := takeBuffer(t, g, c); got != msg {
							t.Errorf("received %q, want %q", got, msg)
						}
					default:
						t.Fatalf("got %+v: %v", c, c.Err())
					}
				}
				runtime.KeepAlive(b)
			}
			unix.Shutdown(int(client), unix.SHUT_WR)
			if c := reap(t, r, 1)[0]; c.UserData != recvUD || c.Res != 0 || c.More() {
				t.Errorf("end of stream: %+v", c)
			}
		}
		cancel(t, r, acceptUD)
		idle(t, r)
	})
}

// takeBuffer returns a receive's data and gives the buffer back.
func takeBuffer(t testing.TB, g *pbuf.Group, c CQE) string {
	t.Helper()
	bid, ok := c.Buffer()
	if !ok || c.Res <= 0 {
		t.Fatalf("no buffer in %+v", c)
	}
	g.Take(bid)
	s := string(g.Bytes(bid, int(c.Res)))
	g.Return(bid)
	g.Refill()
	return s
}

func TestConnectRefused(t *testing.T) {
	r := newRing(t, Params{Entries: 4})
	ln, port := listenTCP(t)
	unix.Shutdown(int(ln), unix.SHUT_RDWR)
	var sa Sockaddr
	sa.SetIP(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port), false, 0)
	r.NextSQE().PrepConnect(socket(t, unix.AF_INET), kept(t, &sa), 1)
	if c := reap(t, r, 1)[0]; c.Err() != syscall.ECONNREFUSED {
		t.Errorf("got %v", c.Err())
	}
}

// An empty group ends the receive and leaves the data in the socket.
func TestRecvNoBuffers(t *testing.T) {
	eachMode(t, Params{Entries: 8}, func(t *testing.T, r *Ring) {
		g := newGroup(t, r, 2, 4)
		a, b := socketPair(t)
		r.NextSQE().PrepRecvMultishot(a, g.ID(), 0, 1)
		if _, err := r.Submit(); err != nil {
			t.Fatal(err)
		}
		if _, err := unix.Write(int(b), []byte("0123456789")); err != nil {
			t.Fatal(err)
		}
		var got []byte
		var bids []uint16
		for _, c := range reap(t, r, 3) {
			if bid, ok := c.Buffer(); ok {
				g.Take(bid)
				got, bids = append(got, g.Bytes(bid, int(c.Res))...), append(bids, bid)
			} else if c.Err() != syscall.ENOBUFS || c.More() {
				t.Errorf("got %+v: %v", c, c.Err())
			}
		}
		if string(got) != "01234567" || g.Free() != 0 {
			t.Errorf("received %q, %d free", got, g.Free())
		}

		// Armed on the empty group: with POLL_FIRST it waits for the event.
		c, d := socketPair(t)
		r.NextSQE().PrepRecvMultishot(c, g.ID(), 0, 2)
		if c := reap(t, r, 1)[0]; c.Err() != syscall.ENOBUFS {
			t.Errorf("armed on an empty group: %+v", c)
		}
		s := r.NextSQE()
		s.PrepRecvMultishot(c, g.ID(), 0, 2)
		s.SetPollFirst()
		idle(t, r)
		for _, bid := range bids {
			g.Return(bid)
		}
		if g.Refill() != 2 {
			t.Error("buffers missing")
		}
		unix.Write(int(d), []byte("abc"))
		if c := reap(t, r, 1)[0]; takeBuffer(t, g, c) != "abc" || !c.More() {
			t.Errorf("got %+v", c)
		}
		cancel(t, r, 2)

		r.NextSQE().PrepRecvMultishot(a, g.ID(), 0, 1)
		if c := reap(t, r, 1)[0]; takeBuffer(t, g, c) != "89" {
			t.Errorf("after refill: %+v", c)
		}
		cancel(t, r, 1)
	})
}

func TestRecvLimit(t *testing.T) {
	testenv.NeedKernel(t, "6.17")
	eachMode(t, Params{Entries: 8}, func(t *testing.T, r *Ring) {
		g := newGroup(t, r, 16, 4)
		a, b := socketPair(t)
		if _, err := unix.Write(int(b), []byte("0123456789abcdef")); err != nil {
			t.Fatal(err)
		}
		var got string
		for _, want := range []string{"01234567", "89abcdef"} { // 6 bytes, rounded up
			r.NextSQE().PrepRecvMultishot(a, g.ID(), 6, 1)
			got = ""
			for more := true; more; {
				c := reap(t, r, 1)[0]
				got += takeBuffer(t, g, c) // the last completion carries data too
				more = c.More()
			}
			if got != want {
				t.Errorf("received %q, want %q", got, want)
			}
		}
		idle(t, r)
	})
}

// Data that came before the end of a stream does not hide the end, whether
// the receive was armed before both or after.
func TestRecvDataThenEnd(t *testing.T) {
	tests := []struct {
		name     string
		pair     func(testing.TB) (a, b int32)
		reset    bool
		prearmed bool
		want     int32
	}{
		{"unix", socketPair, false, false, 0},
		{"tcp", tcpPair, false, false, 0},
		{"tcp armed before", tcpPair, false, true, 0},
		{"tcp reset", tcpPair, true, false, -int32(syscall.ECONNRESET)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			eachMode(t, Params{Entries: 8}, func(t *testing.T, r *Ring) {
				g := newGroup(t, r, 8, 64)
				a, b := tt.pair(t)
				if r.NextSQE().PrepRecvMultishot(a, g.ID(), 0, 1); tt.prearmed {
					idle(t, r)
				}
				if _, err := unix.Write(int(b), []byte("data")); err != nil {
					t.Fatal(err)
				}
				if tt.reset {
					l := &unix.Linger{Onoff: 1}
					if err := unix.SetsockoptLinger(int(b), unix.SOL_SOCKET, unix.SO_LINGER, l); err != nil {
						t.Fatal(err)
					}
				}
				unix.Close(int(b))
				if got := takeBuffer(t, g, reap(t, r, 1)[0]); got != "data" {
					t.Errorf("received %q", got)
				}
				if c := reap(t, r, 1)[0]; c.Res != tt.want || c.More() {
					t.Errorf("end: %+v: %v", c, c.Err())
				}
			})
		})
	}
}

func TestSendLarge(t *testing.T) {
	eachMode(t, Params{Entries: 8}, func(t *testing.T, r *Ring) {
		a, b := socketPair(t)
		msg := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // more than the socket holds
		r.NextSQE().PrepSend(a, msg, unix.MSG_NOSIGNAL|unix.MSG_WAITALL, 1)
		if _, err := r.Submit(); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 0, len(msg))
		buf := make([]byte, 1<<15)
		for len(got) < len(msg) {
			n, _, err := unix.Recvfrom(int(b), buf, unix.MSG_DONTWAIT)
			switch {
			case err == unix.EAGAIN:
				if _, err := r.SubmitAndGet(); err != nil {
					t.Fatal(err)
				}
			case err != nil:
				t.Fatal(err)
			}
			got = append(got, buf[:max(n, 0)]...)
		}
		if c := reap(t, r, 1)[0]; int(c.Res) != len(msg) || !bytes.Equal(got, msg) {
			t.Errorf("sent %d (%v), received %d", c.Res, c.Err(), len(got))
		}
	})
}

func TestSendSkipsSuccess(t *testing.T) {
	eachMode(t, Params{Entries: 8}, func(t *testing.T, r *Ring) {
		a, b := socketPair(t)
		msg := kept(t, []byte("x"))
		s := r.NextSQE()
		s.PrepSend(a, msg, 0, 1)
		s.SetFlags(SQECQESkipSuccess)
		idle(t, r)
		unix.Close(int(b))
		s = r.NextSQE()
		s.PrepSend(a, msg, unix.MSG_NOSIGNAL, 2)
		s.SetFlags(SQECQESkipSuccess)
		if c := reap(t, r, 1)[0]; c.UserData != 2 || c.Err() != syscall.EPIPE {
			t.Errorf("got %+v: %v", c, c.Err())
		}
	})
}

func TestPoll(t *testing.T) {
	eachMode(t, Params{Entries: 8}, func(t *testing.T, r *Ring) {
		fd := eventFD(t)
		r.NextSQE().PrepPollAdd(fd, unix.POLLIN, 1)
		r.NextSQE().PrepPollMultishot(fd, unix.POLLIN, 2)
		idle(t, r)
		signalEvent(t, fd)
		for _, c := range reap(t, r, 2) {
			if c.Res&unix.POLLIN == 0 || c.More() != (c.UserData == 2) {
				t.Errorf("got %+v: %v", c, c.Err())
			}
		}
		signalEvent(t, fd)
		if c := reap(t, r, 1)[0]; c.UserData != 2 || !c.More() {
			t.Errorf("multishot: %+v", c)
		}
		cancel(t, r, 2)
	})
}

func TestCancel(t *testing.T) {
	eachMode(t, Params{Entries: 8}, func(t *testing.T, r *Ring) {
		fd, other := eventFD(t), eventFD(t)
		arm := func(fd int32, uds ...UserData) {
			for _, ud := range uds {
				r.NextSQE().PrepPollAdd(fd, unix.POLLIN, ud)
			}
			idle(t, r)
		}
		ended := func(want int32, n int) {
			t.Helper()
			for _, c := range reap(t, r, n+1) {
				if c.UserData == 9 && c.Res != want || c.UserData != 9 && c.Err() != syscall.ECANCELED {
					t.Errorf("got %+v: %v", c, c.Err())
				}
			}
			idle(t, r)
		}
		r.NextSQE().PrepCancel(1, 0, 9)
		ended(-int32(syscall.ENOENT), 0)
		arm(fd, 1, 1, 2)
		r.NextSQE().PrepCancel(1, CancelAll, 9)
		ended(2, 2)
		r.NextSQE().PrepCancel(2, 0, 9)
		ended(0, 1)
		arm(fd, 1, 2)
		arm(other, 3)
		r.NextSQE().PrepCancelFD(fd, CancelAll, 9)
		ended(2, 2)
		r.NextSQE().PrepCancel(0, CancelAny, 9)
		ended(1, 1)
	})
}

func TestMsgRing(t *testing.T) {
	eachMode(t, Params{Entries: 8}, func(t *testing.T, r *Ring) {
		to := newRing(t, Params{Entries: 8, Flags: r.Flags()})
		r.NextSQE().PrepMsgRing(int32(to.FD()), 42, 1<<64-1, 1)
		if c := reap(t, r, 1)[0]; c.UserData != 1 || c.Res != 0 {
			t.Errorf("sender: %+v: %v", c, c.Err())
		}
		if c := reap(t, to, 1)[0]; c.UserData != 1<<64-1 || c.Res != 42 || c.Flags != 0 {
			t.Errorf("receiver: %+v", c)
		}
		r.NextSQE().PrepMsgRing(eventFD(t), 0, 0, 2)
		if c := reap(t, r, 1)[0]; c.Err() != syscall.EBADFD {
			t.Errorf("message to no ring: %v", c.Err())
		}
	})
}

func TestBufRingErrors(t *testing.T) {
	r := newRing(t, Params{Entries: 8})
	newGroup(t, r, 4, 64)
	if _, err := pbuf.New(r, 7, 4, 64); err == nil {
		t.Error("the same group twice")
	}
	if err := r.UnregisterBufRing(8); err == nil {
		t.Error("unregistered a group that is not there")
	}
}
