//go:build linux

package gear

import (
	"testing"
	"time"
)

// A trial with one or two conns busy asks whether looking pays, others do not. Its
// verdict is heeded, and asked again when it is over.
func TestLook(t *testing.T) {
	plain := load{1e6, 0.5, 0}
	for _, tt := range []struct {
		name    string
		busy    int  // conns
		looking load // what is done then
		asks    bool
		want    bool
	}{
		{"faster for less", 1, load{1.2e6, 0.55, 0}, true, true},
		{"two conns", 2, load{1.2e6, 0.55, 0}, true, true},
		{"three conns", 3, load{1.2e6, 0.55, 0}, false, false},
		{"faster, but dearer", 1, load{1.2e6, 0.62, 0}, true, false},
		{"no faster", 1, load{1.03e6, 0.5, 0}, true, false},
		{"no work", 1, load{0, 0.5, 0}, true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, c := newBox(Auto)
			cpu, pauses, asked := 0.0, 0, make(chan struct{})
			b.compare = &comparison{clock: c.Now, spent: func() int64 { return int64(cpu) }, waits: func() waits { return waits{} },
				pause: func(d time.Duration, _ <-chan struct{}) bool {
					<-asked
					pauses++
					l := plain
					if b.Looks() {
						l = tt.looking
					}
					if b.Hot() || !b.held.Load() {
						t.Error("the ring is tried meanwhile")
					}
					c.advance(d)
					cpu += l.cpu * float64(d)
					b.Meter().sent.Add(uint64(l.bytes * d.Seconds()))
					return true
				}}
			b.compare.join(b)
			try := func() {
				for !b.Hot() {
					c.calls(b, time.Millisecond)
				}
				for b.Hot() {
					c.turns(b, 1, tt.busy, 100*time.Microsecond)
				}
			}
			try()
			held := b.held.Load()
			close(asked)
			awaitEnd(b)
			if held != tt.asks || b.Looks() != tt.want {
				t.Fatalf("compared: %v, looks: %v", held, b.Looks())
			}
			before := pauses
			try()
			awaitEnd(b)
			open := tt.asks && tt.looking.bytes == 0
			if again := pauses != before; again != open {
				t.Errorf("compared again: %v", again)
			}
			if b.Looks() != tt.want {
				t.Error("the verdict that holds is not heeded")
			}
		})
	}
}

// Looking ends when it is in vain too often, but not while it is compared.
func TestLookedInVain(t *testing.T) {
	look := func(b *Box, found, vain int) {
		for i := range found + vain {
			b.Looked(i < found)
		}
	}
	b, _ := newBox(Auto)
	b.Look(true)
	for range 10 {
		look(b, looksJudged-vainLooks, vainLooks)
	}
	if !b.Looks() {
		t.Fatal("looks no longer, with enough found")
	}
	b.held.Store(true)
	look(b, 0, looksJudged)
	b.held.Store(false)
	if !b.Looks() {
		t.Fatal("looks no longer, in a comparison")
	}
	look(b, looksJudged-vainLooks-1, vainLooks+1)
	if b.Looks() {
		t.Error("still looks, in vain")
	}
}
