//go:build linux

package ring

import "structs"

// The arguments of io_uring_register.

// rsrcRegister is struct io_uring_rsrc_register.
type rsrcRegister struct {
	_ structs.HostLayout

	nr, flags  uint32
	resv2      uint64
	data, tags uint64
}

// rsrcUpdate2 is struct io_uring_rsrc_update2.
type rsrcUpdate2 struct {
	_ structs.HostLayout

	offset, resv uint32
	data, tags   uint64
	nr, resv2    uint32
}

// restriction is struct io_uring_restriction.
type restriction struct {
	_ structs.HostLayout

	opcode uint16
	arg    uint8 // register_op, sqe_op or sqe_flags
	resv   uint8
	resv2  [3]uint32
}

// fileIndexRange is struct io_uring_file_index_range.
type fileIndexRange struct {
	_ structs.HostLayout

	off, len uint32
	resv     uint64
}

// bufStatus is struct io_uring_buf_status.
type bufStatus struct {
	_ structs.HostLayout

	bufGroup, head uint32
	resv           [8]uint32
}

// napi is struct io_uring_napi.
type napi struct {
	_ structs.HostLayout

	busyPollTo     uint32
	preferBusyPoll uint8
	opcode         uint8 // Linux 6.13; liburing's header still has pad and resv
	pad            [2]uint8
	opParam, resv  uint32
}

// clockRegister is struct io_uring_clock_register.
type clockRegister struct {
	_ structs.HostLayout

	clockid uint32
	resv    [3]uint32
}

// cloneBuffers is struct io_uring_clone_buffers.
type cloneBuffers struct {
	_ structs.HostLayout

	srcFd, flags       uint32
	srcOff, dstOff, nr uint32
	pad                [3]uint32
}

// syncCancelReg is struct io_uring_sync_cancel_reg.
type syncCancelReg struct {
	_ structs.HostLayout

	addr    uint64
	fd      int32
	flags   CancelFlags
	timeout Timespec
	opcode  Op
	pad     [7]uint8
	pad2    [3]uint64
}

// regionDesc is struct io_uring_region_desc.
type regionDesc struct {
	_ structs.HostLayout

	userAddr, size uint64
	flags, id      uint32
	mmapOffset     uint64
	resv           [4]uint64
}

// memRegionReg is struct io_uring_mem_region_reg.
type memRegionReg struct {
	_ structs.HostLayout

	regionUptr, flags uint64
	resv              [2]uint64
}

// queryHdr is struct io_uring_query_hdr.
type queryHdr struct {
	_ structs.HostLayout

	nextEntry, queryData uint64
	queryOp, size        uint32
	result               int32
	resv                 [3]uint32
}

// queryOpcode is struct io_uring_query_opcode.
type queryOpcode struct {
	_ structs.HostLayout

	nrRequestOpcodes, nrRegisterOpcodes uint32
	featureFlags, ringSetupFlags        uint64
	enterFlags, sqeFlags                uint64
	nrQueryOpcodes, pad                 uint32
}

// RegWait is struct io_uring_reg_wait, how long a registered wait sleeps. It
// lies in memory that the kernel reads during SubmitAndWaitReg.
type RegWait struct {
	_ structs.HostLayout

	TS          Timespec // used if Flags has RegWaitTS
	MinWaitUsec uint32
	Flags       RegWaitFlags
	sigmask     uint64
	sigmaskSz   uint32
	pad         [3]uint32
	pad2        [2]uint64
}

// ZcrxOffsets is struct io_uring_zcrx_offsets.
type ZcrxOffsets struct {
	_ structs.HostLayout

	Head, Tail, Rqes uint32
	resv2            uint32
	resv             [2]uint64
}

// ZcrxAreaReg is struct io_uring_zcrx_area_reg: the memory that zero-copy
// receive places data in.
type ZcrxAreaReg struct {
	_ structs.HostLayout

	Addr, Len   uint64
	RqAreaToken uint64 // set by the kernel
	Flags       uint32 // 1 is IORING_ZCRX_AREA_DMABUF, Linux 6.16
	DmabufFd    uint32
	resv2       [2]uint64
}

// ZcrxIfqReg is struct io_uring_zcrx_ifq_reg as of Linux 6.18.
type ZcrxIfqReg struct {
	_ structs.HostLayout

	IfIdx, IfRxq, RqEntries uint32
	Flags                   uint32
	areaPtr, regionPtr      uint64
	Offsets                 ZcrxOffsets // set by the kernel
	ZcrxID                  uint32      // set by the kernel
	rxBufLen                uint32      // newer than 6.18
	resv                    [3]uint64
}

// ZcrxRqe is struct io_uring_zcrx_rqe: memory given back to a refill queue.
type ZcrxRqe struct {
	_ structs.HostLayout

	Off uint64
	Len uint32
	pad uint32
}

// ZcrxCQE is struct io_uring_zcrx_cqe, the extra half of a receive's CQE32.
type ZcrxCQE struct {
	_ structs.HostLayout

	Off uint64 // area<<48 | offset in the area
	pad uint64
}

// AttrPI is struct io_uring_attr_pi: protection information of a read or
// write, for SetAttrPI. Linux 6.14.
type AttrPI struct {
	_ structs.HostLayout

	Flags, AppTag uint16
	Len           uint32
	Addr          uint64 // of mapped memory: the collector does not see it
	Seed          uint64
	rsvd          uint64
}

// recvmsgOut is struct io_uring_recvmsg_out.
type recvmsgOut struct {
	_ structs.HostLayout

	namelen, controllen, payloadlen, flags uint32
}
