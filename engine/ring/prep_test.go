//go:build linux

package ring

import (
	"math"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Every Prep overwrites all of a dirty entry.
func TestPrep(t *testing.T) {
	a := newPrepArgs()
	seen := make(map[Op]bool)
	for _, tt := range a.cases() {
		t.Run(tt.name, func(t *testing.T) {
			var s SQE
			raw := unsafe.Slice((*byte)(unsafe.Pointer(&s)), unsafe.Sizeof(s))
			for i := range raw {
				raw[i] = 0xff
			}
			if tt.prep(&s); s != tt.want {
				t.Errorf("got  %+v\nwant %+v", s, tt.want)
			}
			seen[s.Opcode] = true
		})
	}
	for op := range OpNop128 { // those after it are newer than Linux 6.18
		if !seen[op] {
			t.Errorf("%v has no Prep, or no test", op)
		}
	}
}

// Requests end at 2 GiB, and lengths of 32 bits do not wrap.
func TestPrepHuge(t *testing.T) {
	const size = min(5<<30, math.MaxInt) // on 32-bit machines 2 GiB
	huge, err := unix.Mmap(-1, 0, size, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(huge)
	var s SQE
	if s.PrepRead(1, huge, 0, 0); s.Len != 1<<31-1 {
		t.Errorf("read of %d", s.Len)
	}
	wantLen, wantOff := uint64(0), uint64(len(huge))
	if wantOff <= math.MaxUint32 {
		wantLen, wantOff = wantOff, 0
	}
	if s.PrepMadvise(huge, 1, 0); uint64(s.Len) != wantLen || s.Off != wantOff {
		t.Errorf("madvise of %d, %d", s.Len, s.Off)
	}
}

// The kernel may use a slice that was on a stack after that stack has moved.
func TestPrepForcesToHeap(t *testing.T) {
	var s SQE
	n := testing.AllocsPerRun(10, func() {
		var b [64]byte
		s.PrepSend(1, b[:], 0, 0)
	})
	if n != 1 {
		t.Errorf("%v allocations for a local array, want 1", n)
	}
}
