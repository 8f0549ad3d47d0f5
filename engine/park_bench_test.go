//go:build linux

package engine

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A parker lets one goroutine wait for another: park returns once per wake,
// and the next wake comes only after it did.
type parker struct{ park, wake func() }

var parkers = []struct {
	by   string
	make func(b *testing.B) parker
}{
	{"token", func(*testing.B) parker {
		c := make(chan struct{}, 1)
		return parker{func() { <-c }, func() { c <- struct{}{} }}
	}},
	{"unbuffered", func(*testing.B) parker {
		c := make(chan struct{})
		return parker{func() { <-c }, func() { c <- struct{}{} }}
	}},
	{"close", func(*testing.B) parker {
		c := make(chan struct{})
		return parker{func() { <-c; c = make(chan struct{}) }, func() { close(c) }}
	}},
	{"cond", func(*testing.B) parker {
		c, woken := sync.NewCond(new(sync.Mutex)), false
		return parker{func() {
			c.L.Lock()
			for !woken {
				c.Wait()
			}
			woken = false
			c.L.Unlock()
		}, func() {
			c.L.Lock()
			woken = true
			c.L.Unlock()
			c.Signal()
		}}
	}},
	{"mutex", func(*testing.B) parker {
		var mu sync.Mutex
		mu.Lock() // and so it stays while nobody was woken
		return parker{mu.Lock, mu.Unlock}
	}},
	{"waitgroup", func(*testing.B) parker {
		var wg sync.WaitGroup
		wg.Add(1)
		return parker{func() { wg.Wait(); wg.Add(1) }, wg.Done}
	}},
	{"netpoll", func(b *testing.B) parker {
		r, w, err := os.Pipe()
		try(b, err)
		b.Cleanup(func() { r.Close(); w.Close() })
		rc, _ := r.SyscallConn()
		return parker{func() {
			_ = rc.Read(func(uintptr) bool { return false })
			_ = r.SetReadDeadline(time.Time{})
		}, func() { _ = r.SetReadDeadline(time.Unix(1, 0)) }}
	}},
}

// BenchmarkParkPingPong hands over between two goroutines; handover-ns is one
// wake and one park. Set GOMAXPROCS in the environment: with b.Loop, -cpu 1,2
// measures its first value under the GOMAXPROCS of the benchmark before.
func BenchmarkParkPingPong(b *testing.B) {
	for _, bb := range parkers {
		b.Run("by="+bb.by, func(b *testing.B) {
			ping, pong := bb.make(b), bb.make(b)
			var stop atomic.Bool
			done := make(chan struct{})
			go func() {
				defer close(done)
				for ping.park(); !stop.Load(); ping.park() {
					pong.wake()
				}
			}()
			b.ReportAllocs()
			for b.Loop() {
				ping.wake()
				pong.park()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/2, "handover-ns")
			stop.Store(true)
			ping.wake()
			<-done
		})
	}
}

// BenchmarkParkEngine wakes n waiters from a goroutine which, like the engine,
// slept in a system call before and yields afterwards until all ran. wake-ns
// is per wake, on the waker; round-ns and switches (of threads) are for all.
// Each is the median.
func BenchmarkParkEngine(b *testing.B) {
	for _, bb := range parkers {
		for _, n := range []int{1, 16, 64} {
			for _, locked := range []bool{true, false} {
				b.Run(fmt.Sprintf("by=%s/n=%d/locked=%v", bb.by, n, locked), func(b *testing.B) {
					var ps []parker
					for range n {
						ps = append(ps, bb.make(b))
					}
					wakeAll(b, ps, locked)
				})
			}
		}
	}
}

func wakeAll(b *testing.B, ps []parker, locked bool) {
	if locked {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
	}
	var ran atomic.Int64
	var stop atomic.Bool
	var wg sync.WaitGroup
	for _, p := range ps {
		wg.Go(func() {
			for p.park(); !stop.Load(); p.park() {
				ran.Add(1)
			}
		})
	}
	var waking, total, switches []int64
	for b.Loop() {
		_ = unix.Nanosleep(&unix.Timespec{Nsec: 30_000}, nil) // all park
		ran.Store(0)
		before, start := threadSwitches(), time.Now()
		for _, p := range ps {
			p.wake()
		}
		woke := time.Since(start)
		for ran.Load() < int64(len(ps)) {
			runtime.Gosched()
		}
		total = append(total, int64(time.Since(start)))
		waking = append(waking, int64(woke))
		switches = append(switches, threadSwitches()-before)
	}
	stop.Store(true)
	for _, p := range ps {
		p.wake()
	}
	wg.Wait()
	b.ReportMetric(median(waking)/float64(len(ps)), "wake-ns")
	b.ReportMetric(median(total), "round-ns")
	b.ReportMetric(median(switches), "switches")
	b.ReportMetric(0, "ns/op")
}
