//go:build linux

package engine

import (
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/quoit-go/quoit/engine/ring"
)

// seeds runs f with a few rands; a failure names the seed.
func seeds(t *testing.T, f func(t *testing.T, rnd *rand.Rand)) {
	t.Helper()
	for seed := range uint64(20) {
		f(t, rand.New(rand.NewPCG(seed, 0)))
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func TestSlots(t *testing.T) {
	seeds(t, func(t *testing.T, rnd *rand.Rand) {
		var s slots
		s.all = []slot{{gen: 1<<24 - 2}} // wraps around
		s.free = []uint32{0}
		nodes := make([]node, 20)
		names := map[ring.UserData]*node{} // nil: of the past
		held := map[*node]ring.UserData{}
		for range 3000 {
			n := &nodes[rnd.IntN(len(nodes))]
			if ud, ok := held[n]; ok && rnd.IntN(2) == 0 {
				s.vacate(n)
				delete(held, n)
				names[ud] = nil
			} else {
				s.assign(n)
				ud := s.userData(n, kindPoll)
				if old, ok := names[ud]; ok && old != n {
					t.Fatalf("user data %x given twice", uint64(ud))
				}
				names[ud], held[n] = n, ud
			}
			if s.used() != len(held) {
				t.Fatalf("%d slots used, want %d", s.used(), len(held))
			}
		}
		for ud, n := range names {
			if got := s.find(ud); got != n {
				t.Fatalf("%x finds %p, want %p", uint64(ud), got, n)
			}
		}
		if s.find(ring.NewUserData(1, 0, uint32(len(s.all)))) != nil {
			t.Fatal("found a slot that there is not")
		}
	})
}

func TestSlotsVacateNothing(t *testing.T) {
	var s slots
	var n node
	s.vacate(&n)
	s.assign(&n)
	s.assign(&n)
	if s.used() != 1 {
		t.Errorf("%d slots used, want 1", s.used())
	}
}

func TestFDRef(t *testing.T) {
	var r fdRef
	r.init()
	if !r.acquire() || r.release() || r.closed() {
		t.Fatal("an open descriptor is not, or was the last to release")
	}
	if !r.acquire() {
		t.Fatal("an open descriptor is not acquired again")
	}
	r.close()
	if r.acquire() || !r.closed() {
		t.Fatal("acquired a closed descriptor")
	}
	if r.release() {
		t.Fatal("released before the last")
	}
	if !r.release() {
		t.Fatal("the last release does not close")
	}
	if r.acquire() {
		t.Fatal("acquired a descriptor that is gone")
	}
}

// Whoever drops the last reference closes, once, and nobody holds one then.
func TestFDRefRace(t *testing.T) {
	for range 200 {
		var r fdRef
		r.init()
		var users, closes atomic.Int32
		var wg sync.WaitGroup
		release := func() {
			if r.release() {
				closes.Add(1)
				if n := users.Load(); n != 0 {
					t.Errorf("closed under %d users", n)
				}
			}
		}
		for range 4 {
			wg.Go(func() {
				for range 50 {
					if !r.acquire() {
						return
					}
					users.Add(1)
					users.Add(-1)
					release()
				}
			})
		}
		wg.Go(func() {
			r.close()
			release()
		})
		wg.Wait()
		if n := closes.Load(); n != 1 {
			t.Fatalf("closed %d times", n)
		}
	}
}

func TestList(t *testing.T) {
	seeds(t, func(t *testing.T, rnd *rand.Rand) {
		var l list
		var model []*node // newest first
		for range 1000 {
			if k := len(model); k > 0 && rnd.IntN(2) == 0 {
				i := rnd.IntN(k)
				l.remove(model[i])
				if model[i].links != (links{}) {
					t.Fatal("a removed node still has neighbours")
				}
				model = slices.Delete(model, i, i+1)
			} else {
				n := new(node)
				l.push(n)
				model = slices.Insert(model, 0, n)
			}
			if got := l.all(); !slices.Equal(got, model) || l.n != len(model) {
				t.Fatalf("list of %d, n %d, want %d", len(got), l.n, len(model))
			}
		}
	})
}
