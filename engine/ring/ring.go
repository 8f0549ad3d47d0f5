//go:build linux

package ring

import "unsafe"

// Ring is one io_uring instance. See the package comment for who may use it.
type Ring struct {
	// Immutable from New to Close.
	fd       int // -1 if REGISTERED_FD_ONLY, or closed
	flags    SetupFlags
	features Features
	info     Info
	maps     []mapping // replaced by ResizeRings

	// The owner's.
	owner      ownerCheck
	memory     memoryCheck
	closed     bool
	sq         submissionQueue
	cq         completionQueue
	enterFD    uintptr // fd, or its registered index
	enterFlags uint32  // on every enter
	waitFlags  uint32  // on those that may sleep
	registrant int     // the thread whose index enterFD is, or 0
	waits      []RegWait
	waitMem    []byte
	keep       map[uint16]any // what keeps the buffers of each group referenced

	// Read by the kernel while SubmitAndWait runs. They are here because
	// Ring is on the heap and does not move.
	ts      Timespec
	arg     geteventsArg
	sigmask uint64
}

// mapping is memory shared with the kernel.
type mapping struct {
	addr unsafe.Pointer
	size uintptr
}

// FD returns the ring's file descriptor, -1 after Close and of a
// SetupRegisteredFDOnly ring. Other rings name it in PrepMsgRing. It polls as
// readable while completions are queued. Safe for concurrent use until Close.
func (r *Ring) FD() int { return r.fd }

// Flags returns the flags that the ring was set up with. Safe for concurrent use.
func (r *Ring) Flags() SetupFlags { return r.flags }

// Features returns what the kernel reported at setup. Safe for concurrent use.
func (r *Ring) Features() Features { return r.features }

// Info describes the ring. Safe for concurrent use, except with ResizeRings.
func (r *Ring) Info() Info { return r.info }

// SQEntries returns the size of the submission queue, 0 after Close. Safe for
// concurrent use until Close, except with ResizeRings.
func (r *Ring) SQEntries() uint32 { return r.sq.entries }

// CQEntries returns the size of the completion queue, 0 after Close. Safe for
// concurrent use until Close, except with ResizeRings.
func (r *Ring) CQEntries() uint32 { return uint32(len(r.cq.cqes)) >> r.cq.shift }
