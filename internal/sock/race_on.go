//go:build linux && race

package sock

import (
	"runtime"
	"unsafe"
)

// The race detector hears what package syscall tells it of package net's
// conns: a byte that was sent happens before one that is received, and which
// memory the kernel read or wrote. The calls themselves are the same without it.

var transfers byte // stands for all of them

func beforeSend() { runtime.RaceReleaseMerge(unsafe.Pointer(&transfers)) }

func afterSend(p []byte, n int) {
	if n > 0 {
		runtime.RaceReadRange(unsafe.Pointer(unsafe.SliceData(p)), n)
	}
}

func afterRecv(p []byte, n int, err error) {
	if n > 0 {
		runtime.RaceWriteRange(unsafe.Pointer(unsafe.SliceData(p)), n)
	}
	if err == nil {
		runtime.RaceAcquire(unsafe.Pointer(&transfers))
	}
}
