//go:build linux

package debug

import "syscall"

const rlimitMemlock = 8 // RLIMIT_MEMLOCK

// cpuTime returns what the process has had of CPUs, in nanoseconds.
func cpuTime() int64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// limits returns the soft limits on descriptors and locked memory.
func limits() (files, locked uint64) {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) == nil {
		files = l.Cur
	}
	if syscall.Getrlimit(rlimitMemlock, &l) == nil {
		locked = l.Cur
	}
	return files, locked
}
