//go:build linux

package engine

import "testing"

func TestPace(t *testing.T) {
	var p pace
	p.init()
	const soon, late = int64(soonTime), int64(soonTime) + 1
	// proofs is how many Reads in a row have to come soon.
	proofs := func() (n int) {
		for ; !p.isSoon(); n++ {
			p.judge(soon)
		}
		return n
	}
	for want := minProofs; want <= maxProofs; want *= 2 {
		if n := proofs(); n != want {
			t.Fatalf("%d proofs, want %d", n, want)
		}
		if p.judge(late); p.isSoon() {
			t.Fatal("a late Read changes nothing")
		}
	}
	if n := proofs(); n != maxProofs {
		t.Errorf("%d proofs, want at most %d", n, maxProofs)
	}
	for range forgiven {
		p.judge(soon)
	}
	p.judge(late)
	if n := proofs(); n != maxProofs {
		t.Errorf("%d proofs after half of them were forgiven, and doubled", n)
	}
	for range 20 * forgiven {
		p.judge(soon)
	}
	p.judge(late)
	if n := proofs(); n != 2*minProofs {
		t.Errorf("%d proofs after a long time of soon Reads", n)
	}
	// A Read judges Writes once.
	p.begin(7)
	if a, b := p.take(), p.take(); a != 7 || b != 0 {
		t.Errorf("take: %d, %d", a, b)
	}
}

func TestLateness(t *testing.T) {
	// One in n Reads is late.
	rare := func(n int) bool {
		var l lateness
		for i := range 100 * lateCost {
			if l.note(i%n == 0); !l.isRare() {
				return false
			}
		}
		return true
	}
	for n, want := range map[int]bool{1: false, 8: false, lateCost - 1: false, lateCost + 2: true, 1000: true} {
		if rare(n) != want {
			t.Errorf("one in %d is late: rare is %t", n, !want)
		}
	}
	var l lateness
	for range 10 * lateMost {
		l.note(true)
	}
	n := 0
	for ; !l.isRare(); n++ {
		l.note(false)
	}
	if n > lateMost {
		t.Errorf("forgotten after %d Reads", n)
	}
}
