//go:build linux

package ring

import (
	"cmp"
	"slices"
	"testing"

	"github.com/quoit-go/quoit/internal/testenv"
)

func TestNop(t *testing.T) {
	eachMode(t, Params{Entries: 4}, func(t *testing.T, r *Ring) {
		ud := NewUserData(3, 1<<24-1, 1<<32-1)
		r.NextSQE().PrepNop(ud)
		if r.SQPending() != 1 {
			t.Errorf("pending = %d", r.SQPending())
		}
		if n, err := r.Submit(); n != 1 || err != nil {
			t.Fatalf("Submit = %d, %v", n, err)
		}
		if n, err := r.Submit(); n != 0 || err != nil || r.SQPending() != 0 {
			t.Fatalf("second Submit = %d, %v, pending %d", n, err, r.SQPending())
		}
		if c := reap(t, r, 1)[0]; c.UserData != ud || c.Res != 0 || c.Flags != 0 {
			t.Errorf("got %+v", c)
		}
		idle(t, r)
	})
}

func TestBatches(t *testing.T) {
	eachMode(t, Params{Entries: 8, CQEntries: 16}, func(t *testing.T, r *Ring) {
		var next, seen UserData
		for round := range 100 {
			n := 1 + round%8
			for range n {
				r.NextSQE().PrepNop(next)
				next++
			}
			if got, err := r.SubmitAndGet(); got != n || err != nil {
				t.Fatalf("SubmitAndGet = %d, %v; want %d", got, err, n)
			}
			for _, c := range reap(t, r, n) {
				if c.UserData != seen {
					t.Fatalf("got %d, want %d", c.UserData, seen)
				}
				seen++
			}
		}
	})
}

func TestSQFull(t *testing.T) {
	eachMode(t, Params{Entries: 4}, func(t *testing.T, r *Ring) {
		for range 3 {
			for i := range UserData(4) {
				r.NextSQE().PrepNop(i)
			}
			if r.NextSQE() != nil || r.SQPending() != 4 {
				t.Fatalf("a fifth entry, or %d pending", r.SQPending())
			}
			if n, err := r.Submit(); n != 4 || err != nil {
				t.Fatalf("Submit = %d, %v", n, err)
			}
			reap(t, r, 4)
		}
	})
}

// Requests linked behind a bad one: without SUBMIT_ALL the batch ends there,
// and the next call sends the rest.
func TestShortSubmit(t *testing.T) {
	r := newRing(t, Params{Entries: 8})
	r.NextSQE().PrepNop(0)
	s := r.NextSQE()
	*s = SQE{Opcode: 255, UserData: 1}
	r.NextSQE().PrepNop(2)
	if n, err := r.Submit(); n != 2 || err != nil || r.SQPending() != 1 {
		t.Fatalf("Submit = %d, %v, pending %d", n, err, r.SQPending())
	}
	if n, err := r.Submit(); n != 1 || err != nil || r.SQPending() != 0 {
		t.Fatalf("Submit = %d, %v, pending %d", n, err, r.SQPending())
	}
	cqes := reap(t, r, 3)
	if !testenv.HaveKernel(t, "6.2") { // the bad one's is posted at once, before those of its batch
		slices.SortFunc(cqes, func(a, b CQE) int { return cmp.Compare(a.UserData, b.UserData) })
	}
	for i, c := range cqes {
		if c.UserData != UserData(i) || (c.Err() != nil) != (i == 1) {
			t.Errorf("completion %d: %+v", i, c)
		}
	}
}

func TestAllocs(t *testing.T) {
	eachMode(t, Params{Entries: 8}, func(t *testing.T, r *Ring) {
		cqes := make([]CQE, 8)
		b := make([]byte, 8)
		check := func(name string, f func()) {
			t.Helper()
			if n := testing.AllocsPerRun(50, f); n != 0 && !testenv.Race { // whose checks allocate
				t.Errorf("%s: %v allocations", name, n)
			}
		}
		check("submit and reap", func() {
			r.NextSQE().PrepNop(1)
			r.NextSQE().PrepSend(-1, b, 0, 2)
			r.Submit()
			r.SubmitAndGet()
			r.SubmitAndWait(2, -1)
			r.PeekCQEs(cqes)
		})
		check("timeout", func() { r.SubmitAndWait(1, 1) })
	})
}
