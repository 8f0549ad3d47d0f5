//go:build linux

package pbuf

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"unsafe"
)

// registrar records registrations.
type registrar struct {
	err      error
	rings    map[uint16]uint32
	register int
}

func (r *registrar) RegisterBufRing(mem unsafe.Pointer, entries uint32, bgid uint16) error {
	r.register++
	if r.err != nil {
		return r.err
	}
	if r.rings == nil {
		r.rings = map[uint16]uint32{}
	}
	r.rings[bgid] = entries
	return nil
}

func (r *registrar) UnregisterBufRing(bgid uint16) error {
	if r.err != nil {
		return r.err
	}
	delete(r.rings, bgid)
	return nil
}

// newGroup makes a group without a ring.
func newGroup(t testing.TB, entries, bufBytes int) *Group {
	t.Helper()
	g, err := New(nil, 3, entries, bufBytes)
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

// receive plays a completion with data.
func receive(t testing.TB, g *Group, data string) uint16 {
	t.Helper()
	bid, buf, ok := g.Consume()
	if !ok || len(buf) != g.BufBytes() {
		t.Fatalf("Consume = %d, %d bytes, %v", bid, len(buf), ok)
	}
	copy(buf, data)
	g.Take(bid)
	return bid
}

// mustPanic returns f's panic.
func mustPanic(t *testing.T, f func()) (msg string) {
	t.Helper()
	defer func() {
		s, ok := recover().(string)
		if !ok || !strings.HasPrefix(s, "pbuf: ") {
			t.Errorf("panic %v, want one of pbuf's", s)
		}
		msg = s
	}()
	f()
	return
}

func TestDescLayout(t *testing.T) {
	var d desc
	for _, tt := range []struct{ got, want uintptr }{
		{unsafe.Sizeof(d), sizeofDesc},
		{unsafe.Offsetof(d.addr), 0},
		{unsafe.Offsetof(d.len), 8},
		{unsafe.Offsetof(d.bid), 12},
		{unsafe.Offsetof(d.resv), 14},
	} {
		if tt.got != tt.want {
			t.Errorf("got %d, want %d", tt.got, tt.want)
		}
	}
}

func TestNewErrors(t *testing.T) {
	for _, tt := range [][2]int{{0, 1}, {-1, 1}, {3, 1}, {65536, 1}, {8, 0}, {8, -1}, {8, math.MaxInt}} {
		if g, err := New(nil, 0, tt[0], tt[1]); g != nil || !errors.Is(err, syscall.EINVAL) {
			t.Errorf("New(%d, %d): %v", tt[0], tt[1], err)
		}
	}
	r := &registrar{err: syscall.EEXIST}
	if g, err := New(r, 0, 8, 8); g != nil || err != syscall.EEXIST {
		t.Errorf("registration failed: %v", err)
	}
}

func TestRegistration(t *testing.T) {
	r := &registrar{}
	g, err := New(r, 5, 8, 100)
	if err != nil {
		t.Fatal(err)
	}
	if r.rings[5] != 8 || g.Entries() != 8 || g.BufBytes() != 100 || g.ID() != 5 || g.Free() != 8 || g.Out() != 0 {
		t.Errorf("%v, %+v", r.rings, g)
	}
	g.Take(1)
	if err := g.Close(); !errors.Is(err, syscall.EBUSY) {
		t.Errorf("Close with a buffer out: %v", err)
	}
	g.Return(1)
	r.err = syscall.EEXIST
	if err := g.Close(); err != syscall.EEXIST || g.bufMem == nil {
		t.Errorf("Close when unregistering fails: %v", err)
	}
	r.err = nil
	for range 2 {
		if err := g.Close(); err != nil || len(r.rings) != 0 {
			t.Errorf("Close: %v, %v", err, r.rings)
		}
	}
}

func TestLendAndReturn(t *testing.T) {
	g := newGroup(t, 4, 16)
	a := receive(t, g, "first")
	b := receive(t, g, "second")
	if g.Free() != 2 || g.Out() != 2 {
		t.Errorf("%d free, %d out", g.Free(), g.Out())
	}
	if got := g.Bytes(a, 5); string(got) != "first" || cap(got) != 5 {
		t.Errorf("got %q, capacity %d", got, cap(got))
	}
	if got := g.Bytes(b, 16); !bytes.HasPrefix(got, []byte("second")) {
		t.Errorf("got %q", got)
	}
	if len(g.Bytes(a, 0)) != 0 {
		t.Error("0 bytes")
	}
	g.Return(a)
	if g.Out() != 2 {
		t.Error("returned is still out until Refill")
	}
	if g.Refill() != 1 || g.Refill() != 0 || g.Out() != 1 || g.Free() != 3 {
		t.Errorf("%d free, %d out", g.Free(), g.Out())
	}
	g.Return(b)
	g.Refill()
}

func TestContractPanics(t *testing.T) {
	g := newGroup(t, 4, 16)
	for _, f := range []func(){
		func() { g.Take(4) },
		func() { g.Return(4) },
		func() { g.Bytes(4, 1) },
		func() { g.Bytes(0, 17) },
		func() { g.Bytes(0, -1) },
	} {
		mustPanic(t, f)
	}
}

// Consume hands buffers out in the order they were published.
func TestConsumeOrder(t *testing.T) {
	g := newGroup(t, 8, 16)
	for want := range uint16(8) {
		if got := receive(t, g, ""); got != want {
			t.Errorf("got %d, want %d", got, want)
		}
	}
	if _, _, ok := g.Consume(); ok {
		t.Error("a ninth buffer")
	}
	for _, order := range [][]uint16{{3, 1}, {5}, {0, 7, 2}} {
		for i := range order {
			g.Return(order[len(order)-1-i]) // a stack
		}
		if _, _, ok := g.Consume(); ok {
			t.Error("a buffer before Refill")
		}
		g.Refill()
		for _, want := range order {
			if got := receive(t, g, ""); got != want {
				t.Errorf("got %d, want %d", got, want)
			}
		}
	}
	for bid := range uint16(8) {
		g.Return(bid)
	}
}

// The kernel gets more buffers when more than half of what it has are out,
// until there are no more; and it goes on with those.
func TestGrows(t *testing.T) {
	const entries = 4 * firstEntries
	g := newGroup(t, entries, 8)
	g.SetPoison(true)
	var out []uint16
	take := func(n int) {
		for range n {
			out = append(out, receive(t, g, ""))
		}
	}
	giveBack := func() {
		for _, bid := range out {
			g.Return(bid)
		}
		out = nil
		g.Refill()
	}
	for range 10 { // few at a time need no more
		take(firstEntries / 2)
		g.Refill()
		giveBack()
	}
	if g.given != firstEntries {
		t.Errorf("%d buffers for half of %d", g.given, firstEntries)
	}
	for want := firstEntries; want < entries; want *= 2 {
		take(want - len(out))
		if _, _, ok := g.Consume(); ok {
			t.Errorf("a buffer after %d", want)
		}
		if n := g.Refill(); n != 0 {
			t.Errorf("Refill = %d without returns", n)
		}
	}
	take(entries - len(out))
	if g.Refill(); g.Free() != 0 {
		t.Errorf("%d free of %d", g.Free(), entries)
	}
	if _, _, ok := g.Consume(); ok {
		t.Error("more buffers than there are")
	}
	giveBack()
	take(entries)
	giveBack()
}

// Every buffer goes round while the 16-bit tail wraps several times.
func TestTailWraps(t *testing.T) {
	for _, entries := range []int{1, 2, 8, MaxEntries} {
		g := newGroup(t, entries, 8)
		g.SetPoison(true)
		g.give(entries)
		g.publish()
		batch := min(entries, 5000)
		for total := 0; total < 200_000; total += batch {
			var bids []uint16
			for range batch {
				bids = append(bids, receive(t, g, ""))
			}
			for _, bid := range bids {
				g.Return(bid)
			}
			if n := g.Refill(); n != batch {
				t.Fatalf("Refill = %d, want %d", n, batch)
			}
		}
	}
}

// Many goroutines return while the owner refills: no buffer is lost, doubled
// or changed while out.
func TestConcurrentReturn(t *testing.T) {
	g := newGroup(t, 64, 8)
	g.SetPoison(true)
	type loan struct {
		bid uint16
		tag byte
	}
	lent := make(chan loan, 64)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			var held []loan
			giveBack := func() {
				for _, l := range held {
					for _, b := range g.Bytes(l.bid, 8) {
						if b != l.tag {
							t.Errorf("buffer %d holds %#x, want %#x", l.bid, b, l.tag)
						}
					}
					g.Return(l.bid)
				}
				held = held[:0]
			}
			for l := range lent {
				if held = append(held, l); len(held) > 3 || l.tag%2 == 0 {
					giveBack()
				}
			}
			giveBack()
		})
	}
	for i := 0; i < 50_000; {
		bid, buf, ok := g.Consume()
		if !ok {
			if g.Refill() == 0 {
				runtime.Gosched()
			}
			continue
		}
		for j := range buf {
			buf[j] = byte(i)
		}
		g.Take(bid)
		lent <- loan{bid, byte(i)}
		i++
	}
	close(lent)
	wg.Wait()
	g.Refill()
	if g.Free() != 64 || g.Out() != 0 {
		t.Errorf("%d free, %d out", g.Free(), g.Out())
	}
}

func TestPoison(t *testing.T) {
	g, err := New(nil, 3, 4, 16)
	if err != nil {
		t.Fatal(err)
	}
	defer g.unmap() // a caught misuse leaves buffers astray: Close would refuse
	g.SetPoison(true)
	bid := receive(t, g, "data")
	stale := g.Bytes(bid, 4)
	g.Return(bid)
	if want := bytes.Repeat([]byte{0xDB}, 4); !bytes.Equal(stale, want) {
		t.Errorf("a stale slice holds % x", stale)
	}
	tests := []struct {
		what string
		f    func()
	}{
		{"Return of buffer 0, which is returned", func() { g.Return(bid) }},
		{"Bytes of buffer 0, which is returned", func() { g.Bytes(bid, 1) }},
		{"Take of buffer 0, which is returned", func() { g.Take(bid) }},
		{"Return of buffer 1, which is the kernel's", func() { g.Return(1) }},
	}
	for _, tt := range tests {
		if got := mustPanic(t, tt.f); got != "pbuf: "+tt.what {
			t.Errorf("got %q, want %q", got, tt.what)
		}
	}
	stale[0] = 'x'
	if got := mustPanic(t, func() { g.Refill() }); got != "pbuf: buffer 0 was written after its Return" {
		t.Errorf("got %q", got)
	}
}

func TestPoisonWhileOut(t *testing.T) {
	g := newGroup(t, 4, 16)
	bid := receive(t, g, "")
	mustPanic(t, func() { g.SetPoison(true) })
	g.Return(bid)
	g.Refill()
	g.SetPoison(true)
	g.SetPoison(false)
	bid = receive(t, g, "data")
	stale := g.Bytes(bid, 4)
	g.Return(bid)
	if string(stale) != "data" {
		t.Errorf("poisoned while off: %q", stale)
	}
}

func TestAllocs(t *testing.T) {
	g := newGroup(t, 8, 64)
	var sum int
	n := testing.AllocsPerRun(100, func() {
		bid, _, _ := g.Consume()
		g.Take(bid)
		sum += len(g.Bytes(bid, 10))
		g.Return(bid)
		g.Refill()
		sum += g.Free() + g.Out()
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzGroup compares a group with a queue, a set and a stack.
func FuzzGroup(f *testing.F) {
	f.Add(uint8(2), uint16(0), []byte{0, 0, 1, 2, 0, 3, 1})
	f.Add(uint8(0), uint16(65533), []byte{0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2})
	f.Add(uint8(3), uint16(65530), bytes.Repeat([]byte{0, 0, 0, 1, 1, 2}, 10))
	f.Fuzz(func(t *testing.T, logEntries uint8, start uint16, ops []byte) {
		entries := 1 << (logEntries % 6)
		g := newGroup(t, entries, 8)
		g.SetPoison(true)
		g.tail, g.consumed = start, start
		for bid := range uint16(entries) {
			g.put(bid)
		}
		g.publish()
		var kernel, out, returned []uint16
		for bid := range uint16(entries) {
			kernel = append(kernel, bid)
		}
		rnd := rand.New(rand.NewPCG(1, uint64(start)))
		for _, op := range ops {
			switch op % 3 {
			case 0:
				bid, _, ok := g.Consume()
				if ok != (len(kernel) > 0) {
					t.Fatalf("Consume: %v with %v", ok, kernel)
				}
				if !ok {
					continue
				}
				if bid != kernel[0] {
					t.Fatalf("Consume = %d, want %d", bid, kernel[0])
				}
				g.Take(bid)
				kernel, out = kernel[1:], append(out, bid)
			case 1:
				if len(out) == 0 {
					continue
				}
				i := rnd.IntN(len(out))
				g.Return(out[i])
				returned = append(returned, out[i])
				out = append(out[:i], out[i+1:]...)
			case 2:
				if n := g.Refill(); n != len(returned) {
					t.Fatalf("Refill = %d, want %d", n, len(returned))
				}
				for i := range returned {
					kernel = append(kernel, returned[len(returned)-1-i])
				}
				returned = nil
			}
			if g.Free() != len(kernel) || g.Out() != len(out)+len(returned) {
				t.Fatalf("%d free, %d out; want %d, %d", g.Free(), g.Out(), len(kernel), len(out)+len(returned))
			}
		}
		for _, bid := range out {
			g.Return(bid)
		}
	})
}

func BenchmarkTakeReturn(b *testing.B) {
	g := newGroup(b, 64, 4096)
	b.ReportAllocs()
	for b.Loop() {
		bid, _, _ := g.Consume()
		g.Take(bid)
		_ = g.Bytes(bid, 100)
		g.Return(bid)
		g.Refill()
	}
}
