//go:build !linux

package quoit

// StartFlipping does nothing where there are no gears.
func StartFlipping() (stop func()) { return func() {} }
