package quoit

import "errors"

// ErrEngineClosed is returned by Listen and Dial on an [Engine] after Close.
var ErrEngineClosed = errors.New("quoit: engine closed")

// errOff is why package net serves where the environment asks for that.
var errOff = &UnsupportedError{Feature: "io_uring", Err: errors.New("the environment has QUOIT=off")}

// UnsupportedError reports that io_uring cannot serve here, or, with a Type, that
// [NewListener] or [NewConn] cannot take over what it was given.
// errors.Is(err, errors.ErrUnsupported) holds for it.
type UnsupportedError struct {
	Feature   string // what is missing, or the function's name
	Type      string // the dynamic type that was given, such as "*tls.listener"; "" if io_uring is meant
	MinKernel string // first kernel that has it, "" if not a matter of age
	Err       error  // what the kernel said, or what is wrong with the Type; may be nil
}

func (e *UnsupportedError) Error() string {
	s := "quoit: " + e.Feature + " not available"
	if e.Type != "" {
		s += " for a " + e.Type
	}
	if e.MinKernel != "" {
		s += " (needs Linux " + e.MinKernel + ")"
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *UnsupportedError) Unwrap() error { return e.Err }

// Is makes every UnsupportedError an errors.ErrUnsupported.
func (e *UnsupportedError) Is(target error) bool { return target == errors.ErrUnsupported }
