//go:build linux

package testenv

import (
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// OnThread calls f on a thread that ends with it: what f changes of the thread nobody
// inherits. It is not the process's first one, which would stay, and which /proc/self
// and /proc/net tell of.
func OnThread(f func() error) (err error) {
	done := make(chan struct{})
	go func() {
		defer close(done) // also where f ends the goroutine
		runtime.LockOSThread()
		if unix.Gettid() != unix.Getpid() {
			err = f()
			return
		}
		defer runtime.UnlockOSThread()
		err = OnThread(f) // not here as long as this goroutine is
	}()
	<-done
	return err
}

// OnCPU is OnThread, on one CPU.
func OnCPU(cpu int, f func() error) error {
	return OnThread(func() error {
		var set unix.CPUSet
		set.Set(cpu)
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			return err
		}
		return f()
	})
}

// OnThreads calls f for 0 to n-1, each on a thread of its own, which the Go runtime has
// again when it returns.
func OnThreads(n int, f func(i int)) {
	var called, ended sync.WaitGroup
	called.Add(n)
	for i := range n {
		ended.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			f(i)
			called.Done()
			called.Wait()
		})
	}
	ended.Wait()
}
