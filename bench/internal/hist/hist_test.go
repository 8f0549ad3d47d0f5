package hist

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestBucketsAreNarrowAndOrdered(t *testing.T) {
	prev := -1
	for v := time.Duration(1); v < 1<<maxBits; v += v/200 + 1 {
		i := index(v)
		if i < prev {
			t.Fatalf("index(%d) = %d, after %d", v, i, prev)
		}
		prev = i
		if off := middle(i) - v; off.Abs() > v/sub+1 {
			t.Fatalf("middle(index(%d)) = %d", v, middle(i))
		}
	}
	if got := index(1<<maxBits - 1); got != buckets-1 {
		t.Errorf("the longest is in bucket %d of %d", got, buckets)
	}
	for _, d := range []time.Duration{-1, 0} {
		if index(d) != 0 {
			t.Errorf("index(%d) = %d", d, index(d))
		}
	}
	if got := index(time.Hour); got != buckets-1 {
		t.Errorf("index(1h) = %d", got)
	}
}

func TestQuantilesAgainstSorted(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var h Hist
	var all []time.Duration
	for range 20000 {
		d := time.Duration(rng.ExpFloat64() * float64(300*time.Microsecond))
		h.Record(d)
		all = append(all, d)
	}
	slices.Sort(all)
	for _, q := range []float64{0, 0.01, 0.5, 0.9, 0.99, 0.999, 1} {
		want := all[max(0, int(q*float64(len(all))+0.999999)-1)]
		if got := h.Quantile(q); (got - want).Abs() > want/100+1 {
			t.Errorf("Quantile(%v) = %v, want %v", q, got, want)
		}
	}
	if h.Max() != all[len(all)-1] || h.Count() != uint64(len(all)) {
		t.Errorf("max %v, count %d", h.Max(), h.Count())
	}
}

func TestMergeAndJSON(t *testing.T) {
	var a, b, back Hist
	a.RecordN(time.Millisecond, 3)
	b.Record(time.Second)
	a.Merge(&b)
	j, err := json.Marshal(&a)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(j, &back); err != nil {
		t.Fatal(err)
	}
	if back != a || back.Count() != 4 || back.Max() != time.Second {
		t.Errorf("count %d, max %v after a round trip", back.Count(), back.Max())
	}
	if err := json.Unmarshal([]byte(`{"buckets":[[999999,1]]}`), &back); err == nil {
		t.Error("a bucket out of range was accepted")
	}
}

func TestEmpty(t *testing.T) {
	var h Hist
	if h.Quantile(0.5) != 0 {
		t.Error("an empty histogram has a median")
	}
}

func TestRecordDoesNotAllocate(t *testing.T) {
	var h Hist
	if n := testing.AllocsPerRun(100, func() { h.Record(time.Millisecond) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
