//go:build linux

package ring

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/quoit-go/quoit/internal/testenv"
)

// misuse calls f, which must panic in race builds, where it returns false, and
// not otherwise.
func misuse(t *testing.T, what string, f func()) (harmless bool) {
	t.Helper()
	defer func() {
		t.Helper()
		p := recover()
		if testenv.Race != (p != nil && strings.Contains(fmt.Sprint(p), what)) {
			t.Errorf("%s: panic %v", what, p)
		}
	}()
	f()
	return true
}

// queued submits n nops, of which the completions are in the queue after it.
func queued(t *testing.T, r *Ring, n int) {
	t.Helper()
	for i := range n {
		r.NextSQE().PrepNop(UserData(i))
	}
	if _, err := r.SubmitAndWait(uint32(n), -1); err != nil {
		t.Fatal(err)
	}
}

var takers = []struct {
	name string
	take func(r *Ring) []UserData
}{
	{"CQEs", func(r *Ring) (seen []UserData) {
		for c := range r.CQEs() {
			seen = append(seen, c.UserData)
		}
		return seen
	}},
	{"PeekCQEs", func(r *Ring) (seen []UserData) {
		var dst [8]CQE
		for _, c := range dst[:r.PeekCQEs(dst[:])] {
			seen = append(seen, c.UserData)
		}
		return seen
	}},
	{"PeekCQE32s", func(r *Ring) (seen []UserData) {
		var dst [8]CQE32
		for _, c := range dst[:r.PeekCQE32s(dst[:])] {
			seen = append(seen, c.UserData)
		}
		return seen
	}},
	{"SeenCQEs", func(r *Ring) (seen []UserData) {
		for c := r.PeekCQE(); c != nil; c = r.PeekCQE() {
			seen = append(seen, c.UserData)
			r.SeenCQEs(1)
		}
		return seen
	}},
}

// A body that takes completions away from its loop panics in race builds.
// Elsewhere the loop ends, no completion is seen twice, and what the loop shows
// stays as it is.
func TestLoopInLoop(t *testing.T) {
	for _, tt := range takers {
		t.Run(tt.name, func(t *testing.T) {
			r := newRing(t, Params{Entries: 4, CQEntries: 4})
			queued(t, r, 3)
			var seen []UserData
			if misuse(t, tt.name, func() {
				for c := range r.CQEs() {
					before := *c
					if seen = append(seen, c.UserData); len(seen) > 100 {
						t.Fatal("the loop does not end")
					}
					r.NextSQE().PrepNop(100 + UserData(len(seen))) // a completion after the loop's end
					if _, err := r.SubmitAndGet(); err != nil {
						t.Fatal(err)
					}
					seen = append(seen, tt.take(r)...)
					for i := range UserData(3) { // more than have room where the loop's are not free
						r.NextSQE().PrepNop(200 + i)
					}
					if _, err := r.SubmitAndGet(); err != nil {
						t.Fatal(err)
					}
					if *c != before {
						t.Fatalf("%+v became %+v", before, *c)
					}
				}
			}) && !slices.Equal(seen, []UserData{0, 1, 2, 101}) {
				t.Errorf("seen %v", seen)
			}
			for r.CQReady() > 0 || r.CQOverflowed() {
				r.SeenCQEs(4)
				if _, err := r.SubmitAndGet(); err != nil {
					t.Fatal(err)
				}
			}
			nops(t, r, 20)
		})
	}
}

// A body that ends its loop early, also by a panic, or calls what it may call.
func TestLoopBody(t *testing.T) {
	r := newRing(t, Params{Entries: 8})
	queued(t, r, 5)
	func() {
		defer func() { _ = recover() }()
		for range r.CQEs() {
			panic("in the body")
		}
	}()
	for c := range r.CQEs() {
		if next := r.PeekCQE(); c.UserData != 1 || next.UserData != 2 || r.CQReady() != 3 {
			t.Errorf("loop at %d, PeekCQE at %d, %d ready", c.UserData, next.UserData, r.CQReady())
		}
		break
	}
	if got := reap(t, r, 3); got[0].UserData != 2 || got[2].UserData != 4 {
		t.Errorf("left %v", got)
	}
	nops(t, r, 50)
}

// Close in the body ends the loop, and panics in race builds.
func TestLoopClose(t *testing.T) {
	r := newRing(t, Params{Entries: 4})
	queued(t, r, 3)
	n := 0
	misuse(t, "Close", func() {
		for range r.CQEs() {
			n++
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
	if n != 1 {
		t.Errorf("visited %d", n)
	}
}

// ResizeRings in the body would leave the loop memory that is gone.
func TestLoopResize(t *testing.T) {
	testenv.NeedKernel(t, "6.13")
	r := newRing(t, Params{Entries: 4, Flags: engineFlags})
	queued(t, r, 3)
	n := 0
	misuse(t, "ResizeRings", func() {
		for range r.CQEs() {
			n++
			if err := r.ResizeRings(8, 0); err == nil {
				t.Fatal("resized")
			}
		}
	})
	if want := 3; !testenv.Race && n != want {
		t.Errorf("visited %d, want %d", n, want)
	}
}
