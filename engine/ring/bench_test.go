//go:build linux

package ring

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/internal/testenv"
)

// engineFlags are the setup of a transport on a recent kernel.
const engineFlags = SetupSingleIssuer | SetupDeferTaskrun | SetupSubmitAll | SetupNoSQArray

// perRequest reports costs per request of batches of n, with one enter each.
func perRequest(b *testing.B, n int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/req")
	b.ReportMetric(1/float64(n), "enters/req")
}

func BenchmarkNop(b *testing.B) {
	testenv.NeedKernel(b, "6.6")
	for _, batch := range []int{1, 8, 64, 256, 1024} {
		for _, fixed := range []bool{false, true} {
			b.Run(fmt.Sprintf("batch=%d/ringfd=%v", batch, fixed), func(b *testing.B) {
				r := newRing(b, Params{Entries: uint32(batch), Flags: engineFlags})
				if fixed {
					if err := r.RegisterRingFD(); err != nil {
						b.Fatal(err)
					}
				}
				cqes := make([]CQE, batch)
				b.ReportAllocs()
				for b.Loop() {
					for i := range batch {
						r.NextSQE().PrepNop(UserData(i))
					}
					if _, err := r.SubmitAndGet(); err != nil {
						b.Fatal(err)
					}
					if n := r.PeekCQEs(cqes); n != batch {
						b.Fatalf("%d completions", n)
					}
				}
				perRequest(b, batch)
			})
		}
	}
}

// BenchmarkNopBy compares ways to reap the same completions.
func BenchmarkNopBy(b *testing.B) {
	const batch = 64
	var sink UserData
	for _, by := range []struct {
		name  string
		flags SetupFlags
		reap  func(r *Ring, cqes []CQE) int
	}{
		{"copy", 0, func(r *Ring, cqes []CQE) int { return r.PeekCQEs(cqes) }},
		{"copy/cqe32", SetupCQE32, func(r *Ring, cqes []CQE) int { return r.PeekCQEs(cqes) }},
		{"range", 0, func(r *Ring, _ []CQE) (n int) {
			for c := range r.CQEs() {
				sink += c.UserData
				n++
			}
			return n
		}},
		{"peek", 0, func(r *Ring, _ []CQE) (n int) {
			for c := r.PeekCQE(); c != nil; c = r.PeekCQE() {
				sink += c.UserData
				r.SeenCQEs(1)
				n++
			}
			return n
		}},
	} {
		b.Run("reap="+by.name, func(b *testing.B) {
			r := newRing(b, Params{Entries: batch, Flags: by.flags})
			cqes := make([]CQE, batch)
			b.ReportAllocs()
			for b.Loop() {
				for i := range batch {
					r.NextSQE().PrepNop(UserData(i))
				}
				if _, err := r.SubmitAndWait(batch, -1); err != nil {
					b.Fatal(err)
				}
				if n := by.reap(r, cqes); n != batch {
					b.Fatalf("%d completions", n)
				}
			}
			perRequest(b, batch)
		})
	}
}

func BenchmarkShared(b *testing.B) {
	s := newShared(b, Params{Entries: 64})
	dst := make([]Completion, 16)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Add(func(e *SQE) { e.PrepNop(1) }, nil); err != nil {
			b.Fatal(err)
		}
		if n, err := s.Wait(dst, -1); n != 1 || err != nil {
			b.Fatal(n, err)
		}
	}
}

func BenchmarkSubmitAndGetEmpty(b *testing.B) {
	r := newRing(b, Params{Entries: 64, Flags: SetupSingleIssuer | SetupDeferTaskrun})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.SubmitAndGet(); err != nil {
			b.Fatal(err)
		}
	}
}

// A waker ends the sleep of a thread.
type waker struct {
	wake  func()
	close func()
}

// sleeper is the other side: sleep returns once woken. Both run on one locked
// thread.
type sleeper struct {
	sleep func()
	close func()
}

// BenchmarkWake compares ways to wake a ring's thread that sleeps: an eventfd
// that the ring polls, a message from another ring, and a Go channel to a
// locked goroutine (without a ring). wake-ns is the median from before the
// call to when the thread runs Go again, p99-ns the 99th percentile, call-ns
// the median cost to the caller.
func BenchmarkWake(b *testing.B) {
	testenv.NeedKernel(b, "6.6")
	for _, bb := range []struct {
		by    string
		setup func(b *testing.B) (func() sleeper, func() waker)
	}{
		{"eventfd", wakeByEventFD},
		{"msgring", wakeByMsgRing},
		{"channel", wakeByChannel},
	} {
		b.Run("by="+bb.by, func(b *testing.B) {
			newSleeper, newWaker := bb.setup(b)
			var wokenAt, sleeps atomic.Int64
			var stop atomic.Bool
			base := time.Now()
			tid, done := make(chan int), make(chan struct{})
			go func() {
				defer close(done)
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
				s := newSleeper()
				defer s.close()
				tid <- unix.Gettid()
				for !stop.Load() {
					sleeps.Add(1)
					s.sleep()
					wokenAt.Store(int64(time.Since(base)))
				}
			}()
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			stat, err := os.Open(fmt.Sprintf("/proc/self/task/%d/stat", <-tid))
			if err != nil {
				b.Fatal(err)
			}
			defer stat.Close()
			w := newWaker()
			defer w.close()

			var wake, call []time.Duration
			for round := int64(1); b.Loop(); round++ {
				for sleeps.Load() < round || !asleep(stat) {
					unix.Nanosleep(&unix.Timespec{Nsec: 20_000}, nil)
				}
				wokenAt.Store(0)
				start := time.Since(base)
				w.wake()
				end := time.Since(base)
				for wokenAt.Load() == 0 {
					runtime.Gosched()
				}
				wake = append(wake, time.Duration(wokenAt.Load())-start)
				call = append(call, end-start)
			}
			stop.Store(true)
			w.wake()
			<-done
			slices.Sort(wake)
			slices.Sort(call)
			b.ReportMetric(float64(wake[len(wake)/2]), "wake-ns")
			b.ReportMetric(float64(wake[len(wake)*99/100]), "p99-ns")
			b.ReportMetric(float64(call[len(call)/2]), "call-ns")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// asleep reads a thread's state from its stat file.
func asleep(stat *os.File) bool {
	var b [64]byte
	n, _ := unix.Pread(int(stat.Fd()), b[:], 0)
	for i := range b[:n] {
		if b[i] == ')' && i+2 < n {
			return b[i+2] == 'S'
		}
	}
	return false
}

func mustRing(b *testing.B) *Ring {
	r, err := New(&Params{Entries: 8, Flags: engineFlags})
	if err != nil {
		b.Error(err)
		runtime.Goexit()
	}
	return r
}

// sleepOn waits for a completion and eats it.
func sleepOn(b *testing.B, r *Ring) {
	var cqes [8]CQE
	for r.PeekCQEs(cqes[:]) == 0 {
		if _, err := r.SubmitAndWait(1, -1); err != nil && !errors.Is(err, unix.EINTR) {
			b.Error(err)
			return
		}
	}
}

func wakeByEventFD(b *testing.B) (func() sleeper, func() waker) {
	fd := eventFD(b)
	return func() sleeper {
			r := mustRing(b)
			r.NextSQE().PrepPollMultishot(fd, unix.POLLIN|unix.EPOLLET, 1)
			return sleeper{func() { sleepOn(b, r) }, func() { r.Close() }}
		}, func() waker {
			return waker{func() {
				syscall.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&eventOne[0])), 8)
			}, func() {}}
		}
}

func wakeByMsgRing(b *testing.B) (func() sleeper, func() waker) {
	target := make(chan *Ring, 1)
	return func() sleeper {
			r := mustRing(b)
			target <- r
			return sleeper{func() { sleepOn(b, r) }, func() { r.Close() }}
		}, func() waker {
			to, r := <-target, mustRing(b)
			var cqes [8]CQE
			return waker{func() {
				s := r.NextSQE()
				s.PrepMsgRing(int32(to.FD()), 0, 1, 2)
				s.SetFlags(SQECQESkipSuccess)
				r.SubmitAndGet()
				r.PeekCQEs(cqes[:])
			}, func() { r.Close() }}
		}
}

func wakeByChannel(*testing.B) (func() sleeper, func() waker) {
	c := make(chan struct{})
	return func() sleeper { return sleeper{func() { <-c }, func() {}} },
		func() waker { return waker{func() { c <- struct{}{} }, func() {}} }
}
