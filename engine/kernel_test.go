//go:build linux

package engine

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"
)

// Wake adds 1 to the eventfd, in the byte order of the machine: a large addend
// would make a later Wake block or fail.
func TestWake(t *testing.T) {
	k, err := newOSKernel(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(k.wake)
	for range 3 {
		if err := k.Wake(); err != nil {
			t.Fatal(err)
		}
	}
	var sum [8]byte
	if _, err := unix.Read(k.wake, sum[:]); err != nil || binary.NativeEndian.Uint64(sum[:]) != 3 {
		t.Errorf("the eventfd has %x, %v", sum, err)
	}
}
