//go:build linux

package ring

import (
	"structs"
	"time"
)

// The structures of <linux/io_uring.h>. abi_test.go compares sizes and
// offsets with the C compiler's.

// SQE is a submission queue entry, struct io_uring_sqe. Fields that C keeps
// in unions have one name here, that of their most common use.
//
// Except in race builds an SQE from NextSQE holds whatever the last request in
// its place left there: before anything else, fill it with one of the Prep
// methods, each of which writes all 64 bytes.
type SQE struct {
	_ structs.HostLayout

	Opcode      Op
	Flags       SQEFlags
	Ioprio      uint16 // flags of accept, send and receive
	Fd          int32
	Off         uint64 // also addr2
	Addr        uint64
	Len         uint32
	OpFlags     uint32 // accept_flags, msg_flags, poll32_events, cancel_flags ...
	UserData    UserData
	BufGroup    uint16 // also buf_index
	Personality uint16
	FileIndex   uint32 // also optlen, splice_fd_in
	Addr3       uint64 // also attr_ptr, optval, the start of a command
	AttrMask    uint64 // attr_type_mask, the rest of a short command
}

// SQE128 is an entry of a SetupSQE128 ring: Ext is the rest of the 80 bytes
// that a command has, of which the first 16 are Addr3 and AttrMask.
type SQE128 struct {
	_ structs.HostLayout

	SQE
	Ext [64]byte
}

// CQE is a completion queue entry, struct io_uring_cqe.
type CQE struct {
	_ structs.HostLayout

	UserData UserData
	Res      int32 // the result, or a negative errno
	Flags    CQEFlags
}

// CQE32 is a wide completion, of a SetupCQE32 ring or a SetupCQEMixed one.
type CQE32 struct {
	_ structs.HostLayout

	CQE
	Extra [2]uint64
}

// sqOffsets is struct io_sqring_offsets.
type sqOffsets struct {
	_ structs.HostLayout

	head, tail, ringMask, ringEntries, flags, dropped, array, resv1 uint32

	userAddr uint64
}

// cqOffsets is struct io_cqring_offsets.
type cqOffsets struct {
	_ structs.HostLayout

	head, tail, ringMask, ringEntries, overflow, cqes, flags, resv1 uint32

	userAddr uint64
}

// setupParams is struct io_uring_params.
type setupParams struct {
	_ structs.HostLayout

	sqEntries, cqEntries      uint32
	flags                     SetupFlags
	sqThreadCPU, sqThreadIdle uint32
	features                  Features
	wqFd                      uint32
	resv                      [3]uint32
	sqOff                     sqOffsets
	cqOff                     cqOffsets
}

// Timespec is struct __kernel_timespec: 64 bits on every architecture.
type Timespec struct {
	_ structs.HostLayout

	Sec, Nsec int64
}

// NewTimespec makes a Timespec of d.
func NewTimespec(d time.Duration) Timespec {
	return Timespec{Sec: int64(d / time.Second), Nsec: int64(d % time.Second)}
}

// Duration returns ts as a Duration.
func (ts Timespec) Duration() time.Duration {
	return time.Duration(ts.Sec)*time.Second + time.Duration(ts.Nsec)
}

// geteventsArg is struct io_uring_getevents_arg.
type geteventsArg struct {
	_ structs.HostLayout

	sigmask     uint64
	sigmaskSz   uint32
	minWaitUsec uint32
	ts          uint64
}

// bufReg is struct io_uring_buf_reg.
type bufReg struct {
	_ structs.HostLayout

	ringAddr    uint64
	ringEntries uint32
	bgid        uint16
	flags       uint16
	minLeft     uint32
	resv        [5]uint32
}

// buf is struct io_uring_buf. The tail of a buffer ring, struct io_uring_buf_ring,
// lies over the first one's resv.
type buf struct {
	_ structs.HostLayout

	addr uint64
	len  uint32
	bid  uint16
	resv uint16
}

// rsrcUpdate is struct io_uring_rsrc_update.
type rsrcUpdate struct {
	_ structs.HostLayout

	offset uint32
	resv   uint32
	data   uint64
}

// probeOp is struct io_uring_probe_op.
type probeOp struct {
	_ structs.HostLayout

	op    Op
	resv  uint8
	flags uint16
	resv2 uint32
}

// probe is struct io_uring_probe with room for every opcode.
type probe struct {
	_ structs.HostLayout

	lastOp Op
	opsLen uint8
	resv   uint16
	resv2  [3]uint32
	ops    [256]probeOp
}
