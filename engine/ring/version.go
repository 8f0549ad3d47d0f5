//go:build linux

package ring

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// KernelVersion returns the running kernel's version as uname reports it.
// Distributions carry features back, so prefer Features, Probe or a trial. An
// error means that uname's answer was not understood.
func KernelVersion() (major, minor int, err error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return 0, 0, os.NewSyscallError("uname", err)
	}
	return parseRelease(unix.ByteSliceToString(u.Release[:]))
}

// parseRelease reads the first two numbers of a release such as "6.1.0-rc3".
func parseRelease(s string) (major, minor int, err error) {
	if _, err := fmt.Sscanf(s, "%d.%d", &major, &minor); err != nil {
		return 0, 0, fmt.Errorf("ring: kernel release %q: %w", s, err)
	}
	return major, minor, nil
}
