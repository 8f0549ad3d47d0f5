//go:build !linux

package debug

func cpuTime() int64                 { return 0 }
func limits() (files, locked uint64) { return 0, 0 }
