//go:build linux

package steering

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/quoit-go/quoit/internal/testenv"
	"golang.org/x/sys/unix"
)

// The verifier accepts the program for any number of rings, also from a
// process that has CAP_BPF and nothing else: then it follows more paths.
func TestVerifier(t *testing.T) {
	needBPF(t)
	for _, caps := range []string{"all", "CAP_BPF"} {
		for _, n := range []int{1, 2, 3, 64, MaxRings} {
			for _, off := range []bool{false, true} {
				if n == MaxRings && off {
					continue // seconds
				}
				t.Run(fmt.Sprintf("%s/%d/NoMigration=%v", caps, n, off), func(t *testing.T) {
					g := newGroup(t, loopback, n)
					s, err := New(&Config{NoMigration: off, Seed: rand.Uint64()})
					if err != nil {
						t.Fatal(err)
					}
					attach := func() error { return s.Attach(g.fds(), nil) }
					if caps == "CAP_BPF" {
						err = onlyCapBPF(attach)
					} else {
						err = attach()
					}
					if err != nil {
						t.Fatalf("%+v", err)
					}
					defer s.Detach()
					if got := s.String(); got != "least loaded (eBPF)" || s.Err() != nil {
						t.Errorf("%s, %v", got, s.Err())
					}
					if info, err := s.live.Load().prog.Info(); err == nil {
						steps, _ := info.VerifiedInstructions()
						t.Logf("%d instructions looked at, of 1000000", steps)
					}
				})
			}
		}
	}
}

// What is taken modulo a constant has a limit that verifiers do not agree on,
// and one that refuses the program may be newer than the kernel here.
func TestProgramLimits(t *testing.T) {
	needBPF(t)
	for _, n := range []int{1, 3, MaxRings} {
		k := newGroup(t, loopback, n).attach(nil, nil).live.Load()
		for i, ins := range program(n, 1, k.words, k.sockets) {
			if op := ins.OpCode; op.Class().IsALU() && op.ALUOp() == asm.Mod && op.Source() == asm.ImmSource {
				t.Fatalf("%d rings: instruction %d is %v", n, i, ins)
			}
		}
	}
}

// onlyCapBPF calls fn in a thread without other capabilities.
func onlyCapBPF(fn func() error) error {
	return testenv.OnThread(func() error {
		h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var d [2]unix.CapUserData
		d[unix.CAP_BPF/32].Effective = 1 << (unix.CAP_BPF % 32)
		d[unix.CAP_BPF/32].Permitted = d[unix.CAP_BPF/32].Effective
		if err := unix.Capset(&h, &d[0]); err != nil {
			return err
		}
		return fn()
	})
}

// ids lists what the kernel has.
func ids[T ~uint32](t *testing.T, next func(T) (T, error)) []T {
	t.Helper()
	var out []T
	for id := T(0); ; {
		var err error
		if id, err = next(id); errors.Is(err, os.ErrNotExist) {
			return out
		} else if err != nil {
			t.Skip("cannot list BPF objects: ", err) // takes CAP_SYS_ADMIN
		}
		out = append(out, id)
	}
}

func mapID(t *testing.T, m *ebpf.Map) ebpf.MapID {
	t.Helper()
	info, err := m.Info()
	if err != nil {
		t.Fatal(err)
	}
	id, ok := info.ID()
	if !ok {
		t.Fatal("a map without ID")
	}
	return id
}

// Maps and program are gone once the listener is, also when a call is late.
func TestNothingStays(t *testing.T) {
	needBPF(t)
	for _, served := range []bool{false, true} {
		g := newGroup(t, loopback, 2)
		s := g.attach(nil, nil)
		k := s.live.Load()
		maps := []ebpf.MapID{mapID(t, k.words), mapID(t, k.sockets)}
		info, err := k.prog.Info()
		if err != nil {
			t.Fatal(err)
		}
		prog, ok := info.ID()
		if !ok {
			t.Fatal("a program without ID")
		}
		live := func() (n int) {
			for _, id := range ids(t, ebpf.MapGetNextID) {
				if slices.Contains(maps, id) {
					n++
				}
			}
			if slices.Contains(ids(t, ebpf.ProgramGetNextID), prog) {
				n++
			}
			return n
		}
		if served {
			g.serve()
			g.visits(20)
		}
		if n := live(); n != 3 {
			t.Fatalf("%d of two maps and a program are there", n)
		}
		for i := range g.rings {
			g.close(i)
		}
		s.Detach()
		until(t, "maps and program go", func() bool { return live() == 0 })
		k.mem.Store(0, 1) // late
	}
}

// A failed Attach leaves nothing either, and can be repeated.
func TestAttachAgain(t *testing.T) {
	needBPF(t)
	before := len(ids(t, ebpf.ProgramGetNextID))
	g := newGroup(t, loopback, 2)
	g.attach(nil, nil)
	s, err := New(nil)
	if err != nil {
		t.Fatal(err)
	}
	var se *SocketError
	if err := s.Attach(g.fds(), nil); !errors.As(err, &se) || !errors.Is(err, unix.EBUSY) || se.Ring != 0 {
		t.Errorf("sockets that another one steers to: %v", err)
	}
	until(t, "the second program goes", func() bool { return len(ids(t, ebpf.ProgramGetNextID)) <= before+1 })
	if err := s.Attach(newGroup(t, loopback, 2).fds(), nil); err != nil {
		t.Errorf("again: %v", err)
	}
	s.Detach()
}

// What the kernel says is in the map is what Decisions says.
func TestKernelsView(t *testing.T) {
	needBPF(t)
	g := newGroup(t, loopback, 3)
	s := g.attach(nil, nil)
	g.serve()
	id := mapID(t, s.live.Load().words)
	check := func() {
		t.Helper()
		m, err := ebpf.NewMapFromID(id)
		if errors.Is(err, os.ErrPermission) {
			t.Skip("no CAP_SYS_ADMIN: ", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		b, err := m.LookupBytes(uint32(0))
		if err != nil {
			t.Fatal(err)
		}
		sent, migrated := s.Decisions(nil), s.Migrated(nil)
		for ring := range 3 {
			at := func(field int) uint64 { return binary.NativeEndian.Uint64(b[offRing+ring*ringBytes+field:]) }
			if at(ringSent) != sent[ring] || at(ringMigrated) != migrated[ring] || at(ringWeight) != uint64(s.Weight(ring)) {
				t.Errorf("ring %d: the kernel says %d sent, %d moved, weight %d; we say %d, %d, %d", ring,
					at(ringSent), at(ringMigrated), at(ringWeight), sent[ring], migrated[ring], s.Weight(ring))
			}
			if at(ringAccepted) > at(ringSent) {
				t.Errorf("ring %d: %d accepted of %d", ring, at(ringAccepted), at(ringSent))
			}
		}
	}
	check()
	counts := g.visits(100)
	check()
	for ring, n := range s.Decisions(nil) {
		if int(n) != counts[ring] {
			t.Errorf("ring %d: %d decisions, %d conns", ring, n, counts[ring])
		}
	}
	if err := s.SetWeight(1, 7); err != nil {
		t.Fatal(err)
	}
	check()
	final := s.Decisions([]uint64{42})
	s.Detach()
	if got := s.Decisions([]uint64{42}); !slices.Equal(got, final) {
		t.Errorf("Decisions %v, %v after Detach", final, got)
	}
}

// The listener need not know whether there is anybody to tell.
func TestHotCalls(t *testing.T) {
	needBPF(t)
	g := newGroup(t, loopback, 2)
	s, err := New(nil)
	if err != nil {
		t.Fatal(err)
	}
	calls := func() {
		for ring := -1; ring <= MaxRings; ring++ {
			s.Load(ring, 7)
			s.Accepted(ring)
			s.Drained(ring)
			s.Hold(ring, ring%2 == 0)
		}
	}
	quit := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-quit:
					return
				default:
					calls()
				}
			}
		})
	}
	calls()
	if got := s.Decisions(nil); got != nil {
		t.Errorf("Decisions before Attach: %v", got)
	}
	if err := s.Attach(g.fds(), nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Attach(g.fds(), nil); !errors.Is(err, ErrAttached) {
		t.Errorf("second Attach: %v", err)
	}
	if n := testing.AllocsPerRun(10, calls); n != 0 {
		t.Errorf("%v allocations", n)
	}
	for range 50 {
		_, _, _ = s.Decisions(nil), s.String(), s.Unsteered()
		_ = s.SetWeight(0, rand.IntN(MaxWeight))
	}
	s.Detach()
	calls()
	runtime.GC() // takes the memory when the last call has ended
	calls()
	close(quit)
	wg.Wait()
	s.Detach()
	runtime.GC()
	if err := s.Attach(g.fds(), nil); !errors.Is(err, ErrAttached) {
		t.Errorf("Attach after Detach: %v", err)
	}
	if err := errors.Join(s.SetPolicy(ByCPU), s.SetWeight(1, 5)); err != nil {
		t.Errorf("after Detach: %v", err)
	}
}
