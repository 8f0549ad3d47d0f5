//go:build linux && !race

package ring

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// memoryCheck is nothing outside of race builds.
type memoryCheck struct{}

func (*memoryCheck) begin(*Ring)                             {}
func (*memoryCheck) end()                                    {}
func (*memoryCheck) handOut(*SQE, uint32)                    {}
func (*memoryCheck) submitting()                             {}
func (*memoryCheck) completed(*CQE, uint32)                  {}
func (*memoryCheck) posted(*completionQueue)                 {}
func (*memoryCheck) drained(*completionQueue, uint32)        {}
func (*SQE) note(p, via unsafe.Pointer, atSubmission bool)   {}
func (*SQE) noteIovecs(iov []unix.Iovec, via unsafe.Pointer) {}
func (*SQE) noteMessage(m *unix.Msghdr, copied bool)         {}
