//go:build linux

package ring

import "structs"

// The structures of <linux/io_uring.h>. abi_test.go compares sizes and
// offsets with the C compiler's.

// SQE is a submission queue entry, struct io_uring_sqe. Fields that C keeps
// in unions have one name here, that of their most common use.
//
// An SQE from NextSQE holds whatever the slot's last request left there: fill
// it with one of the Prep methods, each of which writes all 64 bytes, before
// anything else.
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
	Addr3       uint64
	_           uint64
}

// CQE is a completion queue entry, struct io_uring_cqe.
type CQE struct {
	_ structs.HostLayout

	UserData UserData
	Res      int32 // the result, or a negative errno
	Flags    CQEFlags
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

// timespec is struct __kernel_timespec: 64 bits on every architecture.
type timespec struct {
	_ structs.HostLayout

	sec, nsec int64
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

// Offsets for mmap on a ring's fd.
const (
	offSQRing = 0x0        // IORING_OFF_SQ_RING
	offCQRing = 0x8000000  // IORING_OFF_CQ_RING
	offSQEs   = 0x10000000 // IORING_OFF_SQES
)

// Flags of io_uring_enter.
const (
	enterGetevents      = 1 << 0 // IORING_ENTER_GETEVENTS
	enterSQWakeup       = 1 << 1 // IORING_ENTER_SQ_WAKEUP
	enterExtArg         = 1 << 3 // IORING_ENTER_EXT_ARG
	enterRegisteredRing = 1 << 4 // IORING_ENTER_REGISTERED_RING
	enterNoIowait       = 1 << 7 // IORING_ENTER_NO_IOWAIT
)

// Bits of the flags word in the submission ring.
const (
	sqNeedWakeup = 1 << 0 // IORING_SQ_NEED_WAKEUP
	sqCQOverflow = 1 << 1 // IORING_SQ_CQ_OVERFLOW
	sqTaskrun    = 1 << 2 // IORING_SQ_TASKRUN
)

// Operations of io_uring_register.
const (
	registerEventFD      = 4  // IORING_REGISTER_EVENTFD
	unregisterEventFD    = 5  // IORING_UNREGISTER_EVENTFD
	registerProbe        = 8  // IORING_REGISTER_PROBE
	registerEnableRings  = 12 // IORING_REGISTER_ENABLE_RINGS
	registerRingFDs      = 20 // IORING_REGISTER_RING_FDS
	unregisterRingFDs    = 21 // IORING_UNREGISTER_RING_FDS
	registerPbufRing     = 22 // IORING_REGISTER_PBUF_RING
	unregisterPbufRing   = 23 // IORING_UNREGISTER_PBUF_RING
	probeOpSupported     = 1  // IO_URING_OP_SUPPORTED
	registerOffsetAny    = 1<<32 - 1
	acceptMultishot      = 1 << 0 // IORING_ACCEPT_MULTISHOT
	recvsendPollFirst    = 1 << 0 // IORING_RECVSEND_POLL_FIRST
	recvMultishot        = 1 << 1 // IORING_RECV_MULTISHOT
	pollAddMulti         = 1 << 0 // IORING_POLL_ADD_MULTI
	msgData              = 0      // IORING_MSG_DATA
	maxEntries           = 32768  // IORING_MAX_ENTRIES
	maxCQEntries         = 2 * maxEntries
	sizeofSQE, sizeofCQE = 64, 16
	sizeofGeteventsArg   = 24
	cqeBufferShift       = 16 // IORING_CQE_BUFFER_SHIFT
)
