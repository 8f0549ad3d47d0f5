package quoit

import "errors"

// ErrEngineClosed is returned by Listen and Dial on an [Engine] after Close.
var ErrEngineClosed = errors.New("quoit: engine closed")

// UnsupportedError reports that io_uring cannot serve here.
// errors.Is(err, errors.ErrUnsupported) holds for it.
type UnsupportedError struct {
	Feature   string // what is missing
	MinKernel string // first kernel that has it, "" if not a matter of age
	Err       error  // what the kernel said, may be nil
}

func (e *UnsupportedError) Error() string {
	s := "quoit: " + e.Feature + " not available"
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
