//go:build linux

package ring

import "unsafe"

// Restriction is what a restricted ring allows.
type Restriction struct{ c restriction }

// AllowOp allows requests of one operation.
func AllowOp(op Op) Restriction {
	return Restriction{restriction{opcode: restrictionSQEOp, arg: uint8(op)}}
}

// AllowSQEFlags allows entries to have these flags, and no others.
func AllowSQEFlags(f SQEFlags) Restriction {
	return Restriction{restriction{opcode: restrictionSQEFlagsAllowed, arg: uint8(f)}}
}

// RequireSQEFlags refuses entries that lack one of these flags.
func RequireSQEFlags(f SQEFlags) Restriction {
	return Restriction{restriction{opcode: restrictionSQEFlagsRequired, arg: uint8(f)}}
}

// AllowEnable allows Enable, without which a restricted ring stays disabled.
func AllowEnable() Restriction { return allowRegister(registerEnableRings) }

// AllowRegisterBuffers allows RegisterBuffers.
func AllowRegisterBuffers() Restriction { return allowRegister(registerBuffers) }

// AllowRegisterFiles allows RegisterFiles.
func AllowRegisterFiles() Restriction { return allowRegister(registerFiles) }

// AllowProbe allows Probe.
func AllowProbe() Restriction { return allowRegister(registerProbe) }

// AllowRegister allows the io_uring_register operation with the kernel's number
// op, such as 4 for IORING_REGISTER_EVENTFD.
func AllowRegister(op uint8) Restriction { return allowRegister(registerOp(op)) }

func allowRegister(op registerOp) Restriction {
	return Restriction{restriction{opcode: restrictionRegisterOp, arg: uint8(op)}}
}

// What a restriction is about.
const (
	restrictionRegisterOp       = 0 // IORING_RESTRICTION_REGISTER_OP
	restrictionSQEOp            = 1 // IORING_RESTRICTION_SQE_OP
	restrictionSQEFlagsAllowed  = 2 // IORING_RESTRICTION_SQE_FLAGS_ALLOWED
	restrictionSQEFlagsRequired = 3 // IORING_RESTRICTION_SQE_FLAGS_REQUIRED
)

// RegisterRestrictions has the ring, which must be a SetupRDisabled one not
// yet enabled, do only what rs allow, for good: other requests complete with
// EACCES, other registrations fail with it. Only the ring's owner may call it.
// EBUSY means that it has restrictions, EBADFD that it is enabled. Linux 5.10.
func (r *Ring) RegisterRestrictions(rs ...Restriction) error {
	return r.register(registerRestrictions, unsafe.Pointer(unsafe.SliceData(rs)), uint32(len(rs)))
}
