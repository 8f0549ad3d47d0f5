//go:build linux

package engine

import (
	"math/rand/v2"
	"testing"
)

// A queue gives back what it was given, in order, and keeps neither memory for
// more than it has held nor what it has given back.
func TestQueue(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var q queue[*int]
	var model []*int
	most := 0
	for i := range 100_000 {
		pushes := 40 // of 100; more while it is to grow
		if i/1000%2 == 0 {
			pushes = 60
		}
		if len(model) == 0 || rng.IntN(100) < pushes {
			q.push(&i)
			model = append(model, &i)
			most = max(most, len(model))
		} else {
			if got := q.pop(); got != model[0] {
				t.Fatalf("pop %d = %d, want %d", i, *got, *model[0])
			}
			model = model[1:]
		}
		if q.n != len(model) || q.empty() != (len(model) == 0) {
			t.Fatalf("it holds %d, want %d; empty: %v", q.n, len(model), q.empty())
		}
	}
	if most < 100 {
		t.Errorf("the queue never held more than %d", most)
	}
	if len(q.buf) >= 2*most {
		t.Errorf("room for %d, and never more than %d were in it", len(q.buf), most)
	}
	kept := 0
	for _, p := range q.buf {
		if p != nil {
			kept++
		}
	}
	if kept != len(model) {
		t.Errorf("keeps %d, and holds %d", kept, len(model))
	}
}

// A queue that is never empty does not grow with what passes through it.
func TestQueueStaysSmall(t *testing.T) {
	var q queue[int]
	for range 3 {
		q.push(0)
	}
	for range 100_000 {
		q.push(0)
		q.pop()
	}
	if len(q.buf) > 4 {
		t.Errorf("room for %d, with 3 or 4 in it", len(q.buf))
	}
}

func TestQueueEmpty(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("pop of an empty queue does not panic")
		}
	}()
	new(queue[int]).pop()
}
