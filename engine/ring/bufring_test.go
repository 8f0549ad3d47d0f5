//go:build linux

package ring

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/internal/testenv"
)

// bufRing makes group 9 a ring with n buffers of size bytes, until the test ends.
func bufRing(t testing.TB, r *Ring, n, size int, flags BufRingFlags) *BufRing {
	t.Helper()
	b, err := r.SetupBufRing(uint32(n), 9, flags)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	for bid := range uint16(n) {
		b.Add(bid, make([]byte, size))
	}
	b.Publish()
	return b
}

// used returns what Buffers shows of c: numbers and bytes.
func used(b *BufRing, c *CQE) (out string) {
	for bid, data := range b.Buffers(c) {
		out += fmt.Sprintf("%d:%s ", bid, data)
	}
	return strings.TrimSpace(out)
}

// recvFrom receives once into b's buffers.
func recvFrom(t testing.TB, r *Ring, b *BufRing, fd int32) CQE {
	t.Helper()
	return do(t, r, func(s *SQE) { s.PrepRecv(fd, nil, 0, 1); s.SetBufferGroup(b.ID()) })
}

func TestBufRing(t *testing.T) {
	eachMode(t, Params{Entries: 8}, func(t *testing.T, r *Ring) {
		b := bufRing(t, r, 4, 8, 0)
		x, y := socketPair(t)
		for i := range uint16(100) { // many times round
			unix.Write(int(x), []byte("hello"))
			c := recvFrom(t, r, b, y)
			if got, want := used(b, &c), fmt.Sprintf("%d:hello", i%4); got != want {
				t.Fatalf("got %q, want %q", got, want)
			}
			b.Return(i % 4)
			b.Publish()
		}
		// Other memory in a buffer's place, and none: the group runs dry.
		unix.Write(int(x), []byte("a longer message"))
		c := recvFrom(t, r, b, y)
		if got := used(b, &c); got != "0:a longer" {
			t.Errorf("got %q", got)
		}
		b.Add(0, make([]byte, 3))
		b.Publish()
		for _, tt := range []struct{ send, want string }{
			{"", "1: message"}, {"23", "2:23"}, {"12345678abc", "3:12345678"}, {"", "0:abc"},
		} {
			unix.Write(int(x), []byte(tt.send))
			c := recvFrom(t, r, b, y)
			if got := used(b, &c); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		}
		unix.Write(int(x), []byte("x"))
		if c := recvFrom(t, r, b, y); c.Err() != syscall.ENOBUFS || used(b, &c) != "" {
			t.Errorf("of an empty group: %+v", c)
		}
	})
}

func TestSetupBufRingErrors(t *testing.T) {
	r := newRing(t, Params{Entries: 4})
	for _, n := range []uint32{0, 3, 65536} {
		_, err := r.SetupBufRing(n, 9, 0)
		fails(t, err, syscall.EINVAL)
	}
	bufRing(t, r, 2, 8, 0)
	_, err := r.SetupBufRing(2, 9, 0)
	fails(t, err, syscall.EEXIST)
	b, err := r.SetupBufRing(2, 10, 0)
	ok(t, err)
	ok(t, b.Close())
	ok(t, b.Close())
	b, err = r.SetupBufRing(2, 10, 0) // the number is free again
	ok(t, err)
	ok(t, r.UnregisterBufRing(10))
	if b.Close() == nil { // gone by other means: the memory stays
		t.Error("closed what is gone")
	}
	ok(t, unix.Munmap(b.mem))
}

// A kernel that does not know BufRingInc makes an ordinary ring, once.
func TestBufRingIncRefused(t *testing.T) {
	r := newRing(t, Params{Entries: 4})
	var asked []BufRingFlags
	old := func(mem unsafe.Pointer, entries uint32, bgid uint16, flags BufRingFlags) error {
		if asked = append(asked, flags); flags != 0 {
			return registerError(registerPbufRing, syscall.EINVAL)
		}
		return r.RegisterBufRing(mem, entries, bgid)
	}
	b, err := r.setupBufRing(2, 9, BufRingInc, old)
	ok(t, err)
	defer b.Close()
	if b.Flags() != 0 || len(asked) != 2 {
		t.Errorf("flags %v, asked for %v", b.Flags(), asked)
	}
	if testenv.HaveKernel(t, "6.12") {
		inc, err := r.SetupBufRing(2, 10, BufRingInc)
		ok(t, err)
		defer inc.Close()
		if inc.Flags() != BufRingInc {
			t.Errorf("flags %v", inc.Flags())
		}
	}
}

// Misuse panics before the kernel gets to see it.
func TestBufRingPanics(t *testing.T) {
	r := newRing(t, Params{Entries: 4})
	b := bufRing(t, r, 2, 8, 0)
	for what, f := range map[string]func(){
		"buffer 2 of 2":                func() { b.Add(2, make([]byte, 1)) },
		"buffer 0 is the kernel's":     func() { b.Return(0) },
		"buffer 1 is the kernel's":     func() { b.Add(1, make([]byte, 1)) },
		"buffer 3 of 2":                func() { used(b, &CQE{Flags: CQEBuffer | 3<<cqeBufferShift}) },
		"buffer 0 has no memory":       func() { used(b, &CQE{Flags: CQEBuffer}); b.Add(0, nil) },
		"buffer 0 is not the kernel's": func() { used(b, &CQE{Flags: CQEBuffer}); used(b, &CQE{Flags: CQEBuffer}) },
	} {
		func() {
			defer func() {
				if p := recover(); p != "ring: "+what {
					t.Errorf("panic %v, want %q", p, what)
				}
				if !b.bufs[0].lent {
					b.Return(0)
				}
			}()
			f()
		}()
	}
}

// byteOf is a byte of a conn's stream.
func byteOf(conn, i int) byte { return byte(i*7 + conn*31 + i>>8) }

// writeSome writes n bytes of a conn's stream from at on, or fewer, to fd, which does
// not block, and returns how many it wrote.
func writeSome(conn, fd, at, n int) int {
	msg := make([]byte, n)
	for j := range msg {
		msg[j] = byteOf(conn, at+j)
	}
	n, _ = unix.Write(fd, msg)
	return max(n, 0)
}

// Streams through a group arrive whole, each in its order, whether buffers are used
// whole, so that the group runs dry again and again, or in parts, and buffers come
// back in any order.
func TestBufRingIncStreams(t *testing.T) {
	testenv.NeedKernel(t, "6.12")
	for _, flags := range []BufRingFlags{0, BufRingInc} {
		t.Run(fmt.Sprint("flags=", flags), func(t *testing.T) {
			const conns, total = 5, 64 << 10
			r := newRing(t, Params{Entries: 64, Flags: SetupSingleIssuer | SetupDeferTaskrun})
			b := bufRing(t, r, 8, 1000, flags)
			var peers [conns]int32
			var fds [conns]int32
			arm := func(i UserData) { r.NextSQE().PrepRecvMultishot(fds[i], b.ID(), 0, i) }
			for i := range fds {
				fds[i], peers[i] = socketPair(t)
				ok(t, unix.SetNonblock(int(peers[i]), true))
				arm(UserData(i))
			}
			rnd := rand.New(rand.NewPCG(1, 2))
			var sent, got [conns]int
			var held []uint16
			dry, more := 0, 0
			for sum := 0; sum < conns*total; {
				for range 4 {
					i := rnd.IntN(conns)
					sent[i] += writeSome(i, int(peers[i]), sent[i], min(1+rnd.IntN(700), total-sent[i]))
				}
				if err := r.WaitCQEs(0, 0); err != nil {
					t.Fatal(err)
				}
				for c := range r.CQEs() {
					i := c.UserData
					for bid, data := range b.Buffers(c) {
						for _, v := range data {
							if v != byteOf(int(i), got[i]) {
								t.Fatalf("conn %d: byte %d is wrong", i, got[i])
							}
							got[i]++
							sum++
						}
						if c.BufMore() {
							more++
						} else {
							held = append(held, bid)
						}
					}
					if err := c.Err(); err == syscall.ENOBUFS {
						dry++
					} else if err != nil {
						t.Fatal(err)
					}
					if !c.More() {
						arm(i)
					}
				}
				rnd.Shuffle(len(held), func(i, j int) { held[i], held[j] = held[j], held[i] })
				if n := rnd.IntN(len(held) + 1); n > 0 {
					for _, bid := range held[:n] {
						b.Return(bid)
					}
					held = held[n:]
					b.Publish()
				}
			}
			if dry == 0 && flags == 0 || (more > 0) != (flags != 0) {
				t.Errorf("dry %d times, %d parts: the test tested nothing", dry, more)
			}
		})
	}
}

// A bundle's completion names the first of several buffers, for sends and receives.
func TestBufRingBundle(t *testing.T) {
	testenv.NeedKernel(t, "6.12")
	for _, flags := range []BufRingFlags{0, BufRingInc} {
		t.Run(fmt.Sprint("flags=", flags), func(t *testing.T) {
			r := newRing(t, Params{Entries: 8})
			in := bufRing(t, r, 8, 10, flags)
			out, err := r.SetupBufRing(4, 10, 0)
			ok(t, err)
			defer out.Close()
			x, y := socketPair(t)
			rnd := rand.New(rand.NewPCG(1, 2))
			for round := range 100 {
				var sent []byte
				n := 1 + round%4
				for _, bid := range rnd.Perm(4)[:n] {
					piece := bytes.Repeat([]byte{byte(round), byte(bid)}, 1+round%5)
					out.Add(uint16(bid), piece)
					sent = append(sent, piece...)
				}
				out.Publish()
				c := do(t, r, func(s *SQE) { s.PrepSendBundle(x, out.ID(), 0, unix.MSG_WAITALL, 1) })
				var shown []byte
				for _, data := range out.Buffers(&c) {
					shown = append(shown, data...)
					n--
				}
				if n != 0 || !bytes.Equal(shown, sent) {
					t.Fatalf("round %d: sent % x, shown % x", round, sent, shown)
				}
				if got := recvBundles(t, r, in, y, len(sent)); !bytes.Equal(got, sent) {
					t.Fatalf("round %d: sent % x, received % x", round, sent, got)
				}
			}
		})
	}
}

// recvBundles receives n bytes by bundles, of which each may use fewer buffers than
// there are data for, and gives the buffers back.
func recvBundles(t *testing.T, r *Ring, b *BufRing, fd int32, n int) (got []byte) {
	t.Helper()
	for len(got) < n {
		c := do(t, r, func(s *SQE) { s.PrepRecv(fd, nil, 0, 1); s.SetBufferGroup(b.ID()); s.SetBundle() })
		ok(t, c.Err())
		var bids []uint16
		for bid, data := range b.Buffers(&c) {
			got, bids = append(got, data...), append(bids, bid)
		}
		if c.BufMore() {
			bids = bids[:len(bids)-1]
		}
		for _, bid := range bids {
			b.Return(bid)
		}
		b.Publish()
	}
	return got
}

// The loop may end early: the buffers that it leaves out are the caller's too.
func TestBufRingLoopEnds(t *testing.T) {
	r := newRing(t, Params{Entries: 4})
	b := bufRing(t, r, 4, 10, 0)
	for range b.Buffers(&CQE{Res: 25, Flags: CQEBuffer}) {
		break
	}
	for bid := range uint16(3) {
		b.Return(bid)
	}
	if !b.bufs[3].lent {
		t.Error("a fourth buffer")
	}
}

// The ring keeps the buffers' memory although the caller does not.
func TestBufRingKeeps(t *testing.T) {
	r := newRing(t, Params{Entries: 4})
	func() {
		b, err := r.SetupBufRing(2, 9, 0)
		ok(t, err)
		b.Add(0, bytes.Repeat([]byte("."), 1<<16))
		b.Publish()
	}()
	x, y := socketPair(t)
	for range 3 {
		runtime.GC()
	}
	unix.Write(int(x), []byte("kept"))
	c := do(t, r, func(s *SQE) { s.PrepRecv(y, nil, 0, 1); s.SetBufferGroup(9) })
	b := r.keep[9].(*BufRing)
	if got := used(b, &c); got != "0:kept" || b.bufs[0].mem[4] != '.' {
		t.Errorf("got %q", got)
	}
	ok(t, b.Close())
	if len(r.keep) != 0 {
		t.Error("kept after Close")
	}
}

func TestBufRingAllocs(t *testing.T) {
	if testenv.Race {
		t.Skip("the race detector allocates")
	}
	r := newRing(t, Params{Entries: 4})
	b := bufRing(t, r, 4, 10, 0)
	var bid uint16
	if n := testing.AllocsPerRun(1000, func() {
		c := CQE{Res: 5, Flags: CQEBuffer | CQEFlags(bid)<<cqeBufferShift}
		for bid := range b.Buffers(&c) {
			b.Return(bid)
		}
		b.Publish()
		bid = (bid + 1) % 4
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
