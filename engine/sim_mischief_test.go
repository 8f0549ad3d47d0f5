//go:build linux

package engine

import (
	"runtime"
	"slices"
	"time"
)

// What a simKernel decides by itself, and what time is.

// ring has all engines look whether something can go on.
func (k *simKernel) ring() {
	for _, r := range k.rings {
		r.ringOwn()
	}
}

func (k *simRing) ringOwn() {
	select {
	case k.bell <- struct{}{}:
	default:
	}
}

// ringOf returns that of the engine of c.
func (k *simKernel) ringOf(c *Conn) *simRing {
	i := slices.IndexFunc(k.rings, func(r *simRing) bool { return r.loop.e == c.e })
	return k.rings[i]
}

// isDead reports whether a ring has died. Called with mu held.
func (k *simKernel) isDead() bool {
	return slices.ContainsFunc(k.rings, func(r *simRing) bool { return r.dead })
}

// percent and chaos draw; chaos only while there is mischief. Called with mu
// held.
func (k *simKernel) percent(p int) bool { return k.rnd.IntN(100) < p }
func (k *simKernel) chaos(p int) bool   { return !k.calm && k.percent(p*k.plan.chaos/100) }

// short is n, or less.
func (k *simKernel) short(n int) int {
	if n > 1 && k.chaos(30) {
		n = 1 + k.rnd.IntN(n)
	}
	return n
}

func (k *simKernel) delay() time.Duration {
	switch p := k.rnd.IntN(100); {
	case p < 50 || k.calm:
		return 0
	case p < 90:
		return k.plan.upTo(k.rnd, 200*time.Microsecond)
	default:
		return k.plan.upTo(k.rnd, 5*time.Millisecond)
	}
}

// yield lets others run, as every system call may.
func (k *simKernel) yield() {
	k.mu.Lock()
	if now := time.Now(); now != k.moved {
		k.moved, k.calls = now, 0
	}
	k.calls++
	spins := k.calls > 100_000
	n := 0
	if k.percent(k.plan.yields) {
		if n = 1 + k.rnd.IntN(4); k.percent(10) {
			n *= 10
		}
	}
	k.mu.Unlock()
	if spins {
		k.fail("calls without end while the clock stands still")
		panic(k.failure())
	}
	for range n {
		runtime.Gosched()
	}
}

// nap is yield for calls that the engine makes without a lock: the caller
// may lose its processor for a while.
func (k *simKernel) nap() {
	k.yield()
	k.mu.Lock()
	var d time.Duration
	if k.chaos(k.plan.naps) {
		if d = k.plan.upTo(k.rnd, 100*time.Microsecond); k.isDead() {
			d *= 20 // others meet a half-dead engine
		}
	}
	k.mu.Unlock()
	k.clock.sleep(d)
}

// napOn is nap for calls that the engine makes with or without the lock of a
// conn.
func (k *simKernel) napOn(fd int) {
	k.mu.Lock()
	var c *Conn
	if s := k.files[fd]; s != nil {
		c = s.conn
	}
	k.mu.Unlock()
	if c == nil || !c.mu.TryLock() {
		k.yield()
		return
	}
	c.mu.Unlock()
	k.nap()
}

func (k *simKernel) Now() int64 {
	k.yield()
	return int64(time.Since(k.base)) + 2
}

func (k *simRing) WakeFD() int32 { return simWakeFD }

func (k *simRing) Wake() error {
	k.yield()
	k.mu.Lock()
	if k.deaf {
		k.fail("write to the eventfd after its close")
	}
	k.add("wake")
	k.woken, k.written = true, true
	k.mu.Unlock()
	k.ring()
	return nil
}

func (k *simRing) CloseWake() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.done || k.deaf {
		k.fail("close of the eventfd, with the ring closed %v, after another %v", k.done, k.deaf)
	}
	k.deaf = true
}
