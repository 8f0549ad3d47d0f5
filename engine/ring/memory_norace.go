//go:build linux && !race

package ring

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// memoryCheck is nothing outside of race builds.
type memoryCheck struct{}

func (*memoryCheck) watch(sharedIndex, sqePlaces)            {}
func (*memoryCheck) end()                                    {}
func (*memoryCheck) handOut(*SQE, uint32)                    {}
func (*memoryCheck) submitting(next uint32)                  {}
func (*memoryCheck) completed(*CQE, uint32)                  {}
func (*memoryCheck) drained([]CQE, uint32)                   {}
func (*SQE) note(p, via unsafe.Pointer, atSubmission bool)   {}
func (*SQE) noteIovecs(iov []unix.Iovec, via unsafe.Pointer) {}
func (*SQE) noteMessage(m *unix.Msghdr, copied bool)         {}
