//go:build linux

package steering

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/quoit-go/quoit/internal/testenv"
	"golang.org/x/sys/unix"
)

const loopback = "127.0.0.1:0"

func TestRoundRobin(t *testing.T) {
	needBPF(t)
	for _, n := range []int{1, 2, 3, 5} {
		g := newGroup(t, loopback, n)
		g.attach(&Config{Policy: RoundRobin}, nil)
		g.serve()
		for i := range 5 * n {
			if r, err := visit(g.addr, netip.Addr{}); err != nil || r != i%n {
				t.Fatalf("%d rings: conn %d came to ring %d, %v", n, i, r, err)
			}
		}
	}
}

// A ring that is passed over leaves the others in step.
func TestRoundRobinHeld(t *testing.T) {
	needBPF(t)
	g := newGroup(t, loopback, 4)
	s := g.attach(&Config{Policy: RoundRobin}, nil)
	g.serve()
	s.Hold(1, true)
	if got := g.visits(30); !slices.Equal(got, []int{10, 0, 10, 10}) {
		t.Errorf("ring 1 held: %v", got)
	}
	s.Hold(1, false)
	if got := g.visits(40); !slices.Equal(got, []int{10, 10, 10, 10}) {
		t.Errorf("ring 1 no longer held: %v", got)
	}
}

func TestRoundRobinWeights(t *testing.T) {
	needBPF(t)
	g := newGroup(t, loopback, 4)
	s := g.attach(&Config{Policy: RoundRobin}, nil)
	g.serve()
	for _, tt := range []struct{ weights, want []int }{
		{[]int{100, 100, 100, 50}, []int{20, 20, 20, 10}},
		{[]int{0, 100, 0, 1}, []int{0, 100, 0, 1}},
		{[]int{0, 0, 0, 0}, []int{9, 9, 9, 9}},
		{[]int{7, 7, 7, 7}, []int{8, 8, 8, 8}},
	} {
		total := 0
		for ring, w := range tt.weights {
			if err := s.SetWeight(ring, w); err != nil {
				t.Fatal(err)
			}
			if got := s.Weight(ring); got != w {
				t.Errorf("weight %d, want %d", got, w)
			}
			total += tt.want[ring]
		}
		if got := g.visits(total); !slices.Equal(got, tt.want) {
			t.Errorf("weights %v: %v, want %v", tt.weights, got, tt.want)
		}
	}
}

// All policies keep away from a ring that is held or of weight 0 or whose
// socket has closed, and come back to it.
func TestRingsPassedOver(t *testing.T) {
	needBPF(t)
	for p := range Policy(len(policyNames)) {
		t.Run(p.String(), func(t *testing.T) {
			g := newGroup(t, loopback, 3)
			s := g.attach(&Config{Policy: p}, nil)
			g.serve()
			steps := []struct {
				name    string
				do      func() error
				without []int
			}{
				{"held", func() error { s.Hold(0, true); return nil }, []int{0}},
				{"and of weight 0", func() error { return s.SetWeight(1, 0) }, []int{0, 1}},
				{"none left but held ones", func() error { s.Hold(2, true); return nil }, []int{1}},
				{"free again", func() error { s.Hold(0, false); s.Hold(2, false); return s.SetWeight(1, 100) }, nil},
				{"closed", func() error { g.close(2); return nil }, []int{2}},
				{"and held", func() error { s.Hold(0, true); return nil }, []int{0, 2}},
				{"none left but one of weight 0", func() error { g.close(0); return s.SetWeight(1, 0) }, []int{0, 2}},
			}
			source := 0
			for _, step := range steps {
				if err := step.do(); err != nil {
					t.Fatal(err)
				}
				counts := make([]int, 3)
				for range 60 {
					source++
					r, err := visit(g.addr, netip.AddrFrom4([4]byte{127, 1, byte(source >> 8), byte(source)}))
					if err != nil {
						t.Fatal(err)
					}
					counts[r]++
				}
				for ring, n := range counts {
					without := slices.Contains(step.without, ring)
					if without && n > 0 || !without && n == 0 && p != ByCPU { // we are on one CPU, or few
						t.Errorf("%s: %v, want 0 at %v only", step.name, counts, step.without)
					}
				}
			}
			if n := s.Unsteered(); n != 0 {
				t.Errorf("%d left to the hash", n)
			}
		})
	}
}

// sources asks which ring each of n source addresses comes to.
func sources(t *testing.T, to netip.AddrPort, n int) []int {
	t.Helper()
	var out []int
	for i := range n {
		from := netip.AddrFrom4([4]byte{127, byte(2 + i%7), byte(i / 7), byte(1 + 5*i%250)})
		r, err := visit(to, from)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

// onlyMoved fails the test unless those that were at ring, and only they, are
// elsewhere now.
func onlyMoved(t *testing.T, what string, before, now []int, ring int) {
	t.Helper()
	for i := range before {
		if (before[i] == ring) != (now[i] != before[i]) {
			t.Errorf("%s, only ring %d's should move: source %d went from ring %d to %d", what, ring, i, before[i], now[i])
		}
	}
}

func TestBySource(t *testing.T) {
	needBPF(t)
	const n = 200
	g := newGroup(t, loopback, 4)
	s := g.attach(&Config{Policy: BySource}, nil)
	g.serve()
	first := sources(t, g.addr, n)
	counts := make([]int, 4)
	for _, r := range first {
		counts[r]++
	}
	within(t, "sources", counts, 0.6, 1, 1, 1, 1)
	same := func(what string, want []int) {
		t.Helper()
		if now := sources(t, g.addr, n); !slices.Equal(now, want) {
			t.Errorf("%s: sources come to other rings", what)
		}
	}
	same("asked again", first)

	if err := s.SetWeight(1, 0); err != nil {
		t.Fatal(err)
	}
	onlyMoved(t, "weight 0", first, sources(t, g.addr, n), 1)
	if err := s.SetWeight(1, DefaultWeight); err != nil {
		t.Fatal(err)
	}
	same("weight restored", first)

	s.Hold(2, true)
	held := sources(t, g.addr, n)
	onlyMoved(t, "held", first, held, 2)
	same("still held", held)
	s.Hold(2, false)
	same("no longer held", first)

	other := newGroup(t, "[::]:0", 4) // IPv4 arrives here, too
	other.attach(&Config{Policy: BySource}, nil)
	other.serve()
	to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), other.addr.Port())
	if now := sources(t, to, n); !slices.Equal(now, first) {
		t.Error("another listener, of both address families, disagrees")
	}
	seeded := newGroup(t, loopback, 4)
	seeded.attach(&Config{Policy: BySource, Seed: 1}, nil)
	seeded.serve()
	if now := sources(t, seeded.addr, n); slices.Equal(now, first) {
		t.Error("another seed makes no difference")
	}

	g.close(3)
	onlyMoved(t, "closed", first, sources(t, g.addr, n), 3)
}

func TestBySourceIPv6(t *testing.T) {
	needBPF(t)
	g := newGroup(t, "[::1]:0", 4)
	g.attach(&Config{Policy: BySource}, nil)
	g.serve()
	counts := g.visits(20)
	slices.Sort(counts)
	if counts[3] != 20 {
		t.Errorf("one source came to several rings: %v", counts)
	}
}

// On loopback the CPU that sends a SYN also takes it in.
func TestByCPU(t *testing.T) {
	needBPF(t)
	var may unix.CPUSet
	if err := unix.SchedGetaffinity(0, &may); err != nil {
		t.Fatal(err)
	}
	var cpus []int
	for cpu := range maxCPUs {
		if may.IsSet(cpu) && len(cpus) < 4 {
			cpus = append(cpus, cpu)
		}
	}
	shared := append(slices.Clone(cpus), cpus...) // two rings a CPU
	backwards := slices.Clone(cpus)
	slices.Reverse(backwards)
	for _, pins := range [][]int{cpus, backwards, shared, nil} {
		t.Run(fmt.Sprint(pins), func(t *testing.T) {
			n := max(len(pins), len(cpus))
			g := newGroup(t, loopback, n)
			g.attach(&Config{Policy: ByCPU}, pins)
			g.serve()
			for _, cpu := range cpus {
				got := map[int]bool{}
				for _, r := range visitsFrom(t, cpu, g.addr, 40) {
					got[r] = true
				}
				want := map[int]bool{}
				for ring, pin := range pins {
					if pin == cpu {
						want[ring] = true
					}
				}
				if pins == nil {
					want[cpu%n] = true
				}
				if fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("CPU %d's came to rings %v, want %v", cpu, got, want)
				}
			}
		})
	}
}

// visitsFrom visits on one CPU.
func visitsFrom(t *testing.T, cpu int, to netip.AddrPort, n int) []int {
	t.Helper()
	var rings []int
	err := testenv.OnCPU(cpu, func() error {
		for range n {
			r, err := visit(to, netip.Addr{})
			if err != nil {
				return err
			}
			rings = append(rings, r)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rings
}

func TestSetPolicyUnderLoad(t *testing.T) {
	needBPF(t)
	g := newGroup(t, loopback, 4)
	s, err := New(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SetPolicy(BySource); err != nil { // before Attach
		t.Fatal(err)
	}
	for _, r := range g.rings {
		r.s = s
	}
	if err := s.Attach(g.fds(), nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Detach)
	g.serve()
	if got := s.String(); got != "by source (eBPF)" {
		t.Errorf("before the load: %s", got)
	}
	stop := traffic(g.addr, 8)
	for i := range 40 {
		p := Policy(i % len(policyNames))
		if err := s.SetPolicy(p); err != nil {
			t.Fatal(err)
		}
		if err := s.SetWeight(i%4, i*25); err != nil {
			t.Fatal(err)
		}
		s.Hold(i%3, i%2 == 0)
		if got := s.Policy(); got != p {
			t.Errorf("policy %v, want %v", got, p)
		}
		seen := sum(s.Decisions(nil)) // some conns later
		until(t, "more conns", func() bool { return sum(s.Decisions(nil)) >= seen+20 })
	}
	if n, errs := stop(); len(errs) > 0 {
		t.Errorf("of %d: %v", n, errors.Join(errs...))
	}
	// It is what was set last that counts.
	for ring := range 4 {
		s.Hold(ring, false)
		if err := s.SetWeight(ring, DefaultWeight); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.SetPolicy(RoundRobin); err != nil {
		t.Fatal(err)
	}
	if got := g.visits(40); !slices.Equal(got, []int{10, 10, 10, 10}) {
		t.Errorf("round robin in the end: %v", got)
	}
}

func sum(counts []uint64) (total uint64) {
	for _, n := range counts {
		total += n
	}
	return total
}

// keep opens n conns and leaves them open.
func keep(t testing.TB, to netip.AddrPort, n int) []*net.TCPConn {
	t.Helper()
	var conns []*net.TCPConn
	for range n {
		c, err := dial(to, netip.Addr{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		conns = append(conns, c)
	}
	return conns
}
