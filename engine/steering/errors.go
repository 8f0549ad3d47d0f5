package steering

import (
	"errors"
	"fmt"
)

// ErrAttached is what a second Attach fails with: a [Steering] serves one
// listener, once.
var ErrAttached = errors.New("steering: in use, or used, by another listener")

// ConfigError reports a value that is out of its range, be it a field of
// [Config] or an argument.
type ConfigError struct {
	Field    string // name of the field or argument
	Value    int    // what it held
	Min, Max int    // what it may hold
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("steering: %s is %d, want %d to %d", e.Field, e.Value, e.Min, e.Max)
}

// UnsupportedError reports that this kernel does not load the program, for
// this process at least. It is an [errors.ErrUnsupported].
type UnsupportedError struct {
	Feature    string // what cannot be had
	MinKernel  string // first kernel that has it, "" if that is not what is missing
	Capability string // what the process lacks, "" if that is not what is missing
	Err        error  // cause, or nil
}

func (e *UnsupportedError) Error() string {
	s := "steering: " + e.Feature + " cannot be used"
	if e.MinKernel != "" {
		s += ", it needs Linux " + e.MinKernel
	}
	if e.Capability != "" {
		s += ", it needs " + e.Capability
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *UnsupportedError) Unwrap() error { return e.Err }

// Is makes every UnsupportedError an errors.ErrUnsupported.
func (e *UnsupportedError) Is(target error) bool { return target == errors.ErrUnsupported }

// SocketError reports a socket that no connections can be steered to.
type SocketError struct {
	Ring   int    // whose socket it is
	Reason string // what is wrong with it
	Err    error  // the kernel's verdict, or nil
}

func (e *SocketError) Error() string {
	s := fmt.Sprintf("steering: the socket of ring %d %s", e.Ring, e.Reason)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *SocketError) Unwrap() error { return e.Err }
