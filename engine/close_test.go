//go:build linux

package engine

import (
	"io/fs"
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// Package net has close(2)'s errno in its own error and nothing in between.
func TestCloseError(t *testing.T) {
	for _, err := range []error{
		unix.EBADF,
		&fs.PathError{Op: "close", Path: "socket", Err: unix.EBADF},
		&net.OpError{Op: "close", Net: "tcp", Err: unix.EBADF},
	} {
		if got := closeError(err); got != unix.EBADF {
			t.Errorf("%v (%T): %v", err, err, got)
		}
	}
	if err := closeError(nil); err != nil {
		t.Error(err)
	}
}
