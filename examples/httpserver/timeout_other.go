//go:build !linux

package main

import (
	"errors"
	"syscall"
	"time"
)

// setUserTimeout returns a Control hook that refuses: the option is Linux's.
func setUserTimeout(time.Duration) func(network, address string, rc syscall.RawConn) error {
	return func(string, string, syscall.RawConn) error { return errors.ErrUnsupported }
}
