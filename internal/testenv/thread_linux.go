//go:build linux

package testenv

import (
	"runtime"

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
