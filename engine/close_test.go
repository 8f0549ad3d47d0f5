//go:build linux

package engine

import (
	"io/fs"
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// An error has one wrapping, the caller's own, whoever made the call.
func TestBare(t *testing.T) {
	for _, err := range []error{
		unix.EBADF,
		&fs.PathError{Op: "close", Path: "socket", Err: unix.EBADF},
		&net.OpError{Op: "close", Net: "tcp", Err: unix.EBADF},
	} {
		if got := bare(err); got != unix.EBADF {
			t.Errorf("%v (%T): %v", err, err, got)
		}
	}
	if err := bare(nil); err != nil {
		t.Error(err)
	}
}
