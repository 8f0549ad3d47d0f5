//go:build linux

package steering

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// 10,000 short conns and 1,000 long ones, one after the other and in bursts.
func TestLeastLoaded(t *testing.T) {
	needBPF(t)
	const long, short, burst = 1000, 10000, 200
	for name, open := range map[string]func(conns int, visit func()){
		"paced": func(conns int, visit func()) {
			for range conns {
				visit()
			}
		},
		"burst": func(conns int, visit func()) {
			for range conns / burst {
				var wg sync.WaitGroup
				for range burst {
					wg.Go(visit)
				}
				wg.Wait()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGroup(t, loopback, 4)
			s := g.attach(nil, nil)
			g.serve()
			var mu sync.Mutex
			var served int
			counts := make([]int, 4)
			open(long+short, func() {
				mu.Lock()
				served++
				stay := served%(1+short/long) == 0
				mu.Unlock()
				c, err := dial(g.addr, netip.Addr{})
				if err != nil {
					t.Error(err)
					return
				}
				r, err := greeting(c)
				if err != nil {
					t.Error(err)
					return
				}
				if stay {
					t.Cleanup(func() { c.Close() })
				} else {
					c.Close()
				}
				mu.Lock()
				counts[r]++
				mu.Unlock()
			})
			// Medians are 4%. A tenth happens, by chance.
			within(t, "all", counts, 0.15, 1, 1, 1, 1)
			until(t, "the short ones end", func() bool { return total(g.opened()) == long })
			within(t, "long", g.opened(), 0.15, 1, 1, 1, 1)
			for ring, n := range s.Decisions(nil) {
				if int(n) != counts[ring] {
					t.Errorf("ring %d: %d decisions, %d conns", ring, n, counts[ring])
				}
			}
			t.Logf("all %v, long %v", counts, g.opened())
		})
	}
}

func total(counts []int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

// The program sees what it has done itself: nobody accepts here, nor tells it
// of any load.
func TestLeastLoadedUnanswered(t *testing.T) {
	needBPF(t)
	const conns = 2000
	g := newGroup(t, loopback, 4)
	s := g.attach(nil, nil)
	keep(t, g.addr, conns)
	for ring, n := range s.Decisions(nil) {
		if n < conns/4-40 || n > conns/4+40 {
			t.Errorf("ring %d: %d of %d", ring, n, conns)
		}
	}
}

// A ring that is loaded by others gets its share only when the rest have as
// much to do.
func TestLeastLoadedOthersLoad(t *testing.T) {
	needBPF(t)
	g := newGroup(t, loopback, 4)
	s := g.attach(nil, nil)
	s.Load(2, 50)
	keep(t, g.addr, 120)
	if got := s.Decisions(nil); got[2] > 3 {
		t.Errorf("ring 2 is loaded, others are not: %v", got)
	}
	keep(t, g.addr, 400)
	if got := s.Decisions(nil); got[2] < 60 || got[2] > 120 { // (520+50)/4-50 = 92
		t.Errorf("all are loaded: %v", got)
	}
}

func TestLeastLoadedWeights(t *testing.T) {
	needBPF(t)
	g := newGroup(t, loopback, 4)
	s := g.attach(nil, nil)
	weights := []int{100, 50, 0, 25}
	for ring, w := range weights {
		if err := s.SetWeight(ring, w); err != nil {
			t.Fatal(err)
		}
	}
	keep(t, g.addr, 1050) // all stay
	var long []int
	for _, n := range s.Decisions(nil) {
		long = append(long, int(n))
	}
	within(t, "long", long, 0.1, weights...)

	g.serve()
	until(t, "all accepted", func() bool {
		for ring, n := range g.opened() {
			if n != long[ring] {
				return false
			}
		}
		return true
	})
	within(t, "short", g.visits(2100), 0.2, weights...)
}

func TestBySourceWeights(t *testing.T) {
	needBPF(t)
	g := newGroup(t, loopback, 3)
	s := g.attach(&Config{Policy: BySource}, nil)
	g.serve()
	weights := []int{300, 100, 100}
	for ring, w := range weights {
		if err := s.SetWeight(ring, w); err != nil {
			t.Fatal(err)
		}
	}
	counts := make([]int, 3)
	for _, r := range sources(t, g.addr, 1000) {
		counts[r]++
	}
	within(t, "sources", counts, 0.3, weights...)
}

// Handshakes that are never finished count as load, until Drained.
func TestUnfinishedHandshakes(t *testing.T) {
	needBPF(t)
	const flood = 500
	g := newGroup(t, loopback, 4)
	s := g.attach(&Config{Policy: BySource}, nil)
	attacker := netip.MustParseAddr("127.66.6.6")
	segments(t, g.addr, attacker, syn, flood)
	victim := -1
	for ring, n := range s.Decisions(nil) {
		if n == flood {
			victim = ring
		}
	}
	if victim < 0 {
		t.Fatalf("%d SYNs of one source: %v", flood, s.Decisions(nil))
	}
	if err := s.SetPolicy(LeastLoaded); err != nil {
		t.Fatal(err)
	}
	keep(t, g.addr, 200)                                // nobody accepts, so nobody calls Drained
	if got := s.Decisions(nil); got[victim] > flood+8 { // chance may draw it each time
		t.Errorf("before Drained: %v, want little more than %d at ring %d", got, flood, victim)
	}
	s.Drained(victim)
	keep(t, g.addr, 1200)
	var counts []int
	for _, n := range s.Decisions(nil) {
		counts = append(counts, int(n))
	}
	counts[victim] -= flood
	within(t, "after Drained", counts, 0.1, 1, 1, 1, 1)
}

// Packets that belong to no connection are not counted, and take no turn.
func TestStrayPackets(t *testing.T) {
	needBPF(t)
	g := newGroup(t, loopback, 3)
	s := g.attach(&Config{Policy: RoundRobin}, nil)
	g.serve()
	const ack, rst = 0x10, 0x04
	for i := range 6 {
		for _, flags := range []byte{ack, syn | ack, rst} {
			segments(t, g.addr, netip.MustParseAddr("127.66.6.7"), flags, 1)
		}
		if r, err := visit(g.addr, netip.Addr{}); err != nil || r != i%3 {
			t.Errorf("conn %d came to ring %d, %v", i, r, err)
		}
	}
	if got := s.Decisions(nil); !slices.Equal(got, []uint64{2, 2, 2}) {
		t.Errorf("%v", got)
	}
}

const syn = 0x02

// segments sends TCP segments from different ports. The kernel itself answers
// what comes back, with RST.
func segments(t *testing.T, to netip.AddrPort, from netip.Addr, flags byte, n int) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err == unix.EPERM {
		t.Skip("no CAP_NET_RAW")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: from.As4()}); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		var b []byte
		b = binary.BigEndian.AppendUint16(b, uint16(10000+i))
		b = binary.BigEndian.AppendUint16(b, to.Port())
		b = append(b, 0, 0, 0, 1, 0, 0, 0, 0, 5<<4, flags, 0xff, 0xff, 0, 0, 0, 0)
		pseudo := append(from.AsSlice(), to.Addr().AsSlice()...)
		pseudo = append(pseudo, 0, unix.IPPROTO_TCP, 0, byte(len(b)))
		binary.BigEndian.PutUint16(b[16:], checksum(append(pseudo, b...)))
		if err := unix.Sendto(fd, b, 0, &unix.SockaddrInet4{Addr: to.Addr().As4()}); err != nil {
			t.Fatal(err)
		}
	}
}

func checksum(b []byte) uint16 {
	var s uint32
	for i := 0; i < len(b); i += 2 {
		s += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return ^uint16(s)
}
