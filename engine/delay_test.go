//go:build linux

package engine

import (
	"testing"
	"time"
)

func TestDelays(t *testing.T) {
	var d delays
	now := int64(100 * time.Second)
	for _, us := range []int64{0, 1, 2, 3, 4, 1000, 1 << 40} {
		d.add(now, now+us*int64(time.Microsecond))
	}
	got, sum, _ := d.snapshot(now)
	want := [Buckets]uint64{0: 1, 1: 1, 2: 2, 3: 1, 10: 1, Buckets - 1: 1}
	if got != want {
		t.Errorf("%v, want %v", got, want)
	}
	if want := (1<<40 + 1010) * time.Microsecond; sum != want {
		t.Errorf("%v in all, want %v", sum, want)
	}
}

// The worst delay is that of the present second or the one before.
func TestWorstDelay(t *testing.T) {
	var d delays
	second := int64(time.Second)
	now := 100 * second
	worst := func(at int64) time.Duration {
		_, _, w := d.snapshot(at)
		return w
	}
	d.add(now-int64(7*time.Millisecond), now)
	d.add(now-int64(3*time.Millisecond), now)
	if w := worst(now); w != 7*time.Millisecond {
		t.Errorf("%v, want 7ms", w)
	}
	d.add(now+second-int64(time.Millisecond), now+second)
	if w := worst(now + second); w != 7*time.Millisecond {
		t.Errorf("a second later %v, want 7ms", w)
	}
	if w := worst(now + 2*second); w != time.Millisecond {
		t.Errorf("two seconds later %v, want 1ms", w)
	}
	if w := worst(now + 3*second); w != 0 {
		t.Errorf("three seconds later %v, want 0", w)
	}
}
