//go:build linux

package ring

import (
	"strconv"
	"strings"
)

// SetupFlags choose how a ring works. See io_uring_setup(2).
type SetupFlags uint32

// IORING_SETUP_*, Linux 5.1 where no other is named.
const (
	SetupIOPoll           SetupFlags = 1 << iota // IORING_SETUP_IOPOLL
	SetupSQPoll                                  // IORING_SETUP_SQPOLL
	SetupSQAff                                   // IORING_SETUP_SQ_AFF
	SetupCQSize                                  // IORING_SETUP_CQSIZE, Linux 5.5
	SetupClamp                                   // IORING_SETUP_CLAMP, Linux 5.6
	SetupAttachWQ                                // IORING_SETUP_ATTACH_WQ, Linux 5.6
	SetupRDisabled                               // IORING_SETUP_R_DISABLED, Linux 5.10
	SetupSubmitAll                               // IORING_SETUP_SUBMIT_ALL, Linux 5.18
	SetupCoopTaskrun                             // IORING_SETUP_COOP_TASKRUN, Linux 5.19
	SetupTaskrunFlag                             // IORING_SETUP_TASKRUN_FLAG, Linux 5.19
	SetupSQE128                                  // IORING_SETUP_SQE128, Linux 5.19
	SetupCQE32                                   // IORING_SETUP_CQE32, Linux 5.19
	SetupSingleIssuer                            // IORING_SETUP_SINGLE_ISSUER, Linux 6.0
	SetupDeferTaskrun                            // IORING_SETUP_DEFER_TASKRUN, Linux 6.1
	SetupNoMmap                                  // IORING_SETUP_NO_MMAP, Linux 6.5
	SetupRegisteredFDOnly                        // IORING_SETUP_REGISTERED_FD_ONLY, Linux 6.5
	SetupNoSQArray                               // IORING_SETUP_NO_SQARRAY, Linux 6.6
	SetupHybridIOPoll                            // IORING_SETUP_HYBRID_IOPOLL, Linux 6.13
	SetupCQEMixed                                // IORING_SETUP_CQE_MIXED, Linux 6.18
)

var setupNames = [...]string{
	"IOPOLL", "SQPOLL", "SQ_AFF", "CQSIZE", "CLAMP", "ATTACH_WQ", "R_DISABLED",
	"SUBMIT_ALL", "COOP_TASKRUN", "TASKRUN_FLAG", "SQE128", "CQE32",
	"SINGLE_ISSUER", "DEFER_TASKRUN", "NO_MMAP", "REGISTERED_FD_ONLY",
	"NO_SQARRAY", "HYBRID_IOPOLL", "CQE_MIXED",
}

// String lists the flags by kernel name, without the prefix IORING_SETUP_.
func (f SetupFlags) String() string { return flagString(uint32(f), setupNames[:]) }

// Features say what the kernel's io_uring can do. See io_uring_setup(2).
type Features uint32

// IORING_FEAT_*.
const (
	FeatSingleMmap     Features = 1 << iota // IORING_FEAT_SINGLE_MMAP, Linux 5.4
	FeatNodrop                              // IORING_FEAT_NODROP, Linux 5.5
	FeatSubmitStable                        // IORING_FEAT_SUBMIT_STABLE, Linux 5.5
	FeatRWCurPos                            // IORING_FEAT_RW_CUR_POS, Linux 5.6
	FeatCurPersonality                      // IORING_FEAT_CUR_PERSONALITY, Linux 5.6
	FeatFastPoll                            // IORING_FEAT_FAST_POLL, Linux 5.7
	FeatPoll32Bits                          // IORING_FEAT_POLL_32BITS, Linux 5.9
	FeatSQPollNonfixed                      // IORING_FEAT_SQPOLL_NONFIXED, Linux 5.11
	FeatExtArg                              // IORING_FEAT_EXT_ARG, Linux 5.11
	FeatNativeWorkers                       // IORING_FEAT_NATIVE_WORKERS, Linux 5.12
	FeatRsrcTags                            // IORING_FEAT_RSRC_TAGS, Linux 5.13
	FeatCQESkip                             // IORING_FEAT_CQE_SKIP, Linux 5.17
	FeatLinkedFile                          // IORING_FEAT_LINKED_FILE, Linux 5.17
	FeatRegRegRing                          // IORING_FEAT_REG_REG_RING, Linux 6.3
	FeatRecvsendBundle                      // IORING_FEAT_RECVSEND_BUNDLE, Linux 6.10
	FeatMinTimeout                          // IORING_FEAT_MIN_TIMEOUT, Linux 6.12
	FeatRWAttr                              // IORING_FEAT_RW_ATTR, Linux 6.14
	FeatNoIowait                            // IORING_FEAT_NO_IOWAIT, Linux 6.15
)

var featureNames = [...]string{
	"SINGLE_MMAP", "NODROP", "SUBMIT_STABLE", "RW_CUR_POS", "CUR_PERSONALITY",
	"FAST_POLL", "POLL_32BITS", "SQPOLL_NONFIXED", "EXT_ARG", "NATIVE_WORKERS",
	"RSRC_TAGS", "CQE_SKIP", "LINKED_FILE", "REG_REG_RING", "RECVSEND_BUNDLE",
	"MIN_TIMEOUT", "RW_ATTR", "NO_IOWAIT",
}

// Has reports whether f has all of want.
func (f Features) Has(want Features) bool { return f&want == want }

// String lists the features by kernel name, without the prefix IORING_FEAT_.
func (f Features) String() string { return flagString(uint32(f), featureNames[:]) }

// SQEFlags apply to any request. See io_uring_enter(2).
type SQEFlags uint8

// IOSQE_*.
const (
	SQEFixedFile      SQEFlags = 1 << iota // IOSQE_FIXED_FILE
	SQEIODrain                             // IOSQE_IO_DRAIN
	SQEIOLink                              // IOSQE_IO_LINK
	SQEIOHardlink                          // IOSQE_IO_HARDLINK
	SQEAsync                               // IOSQE_ASYNC
	SQEBufferSelect                        // IOSQE_BUFFER_SELECT
	SQECQESkipSuccess                      // IOSQE_CQE_SKIP_SUCCESS, Linux 5.17
)

var sqeNames = [...]string{
	"FIXED_FILE", "IO_DRAIN", "IO_LINK", "IO_HARDLINK", "ASYNC",
	"BUFFER_SELECT", "CQE_SKIP_SUCCESS",
}

// String lists the flags by kernel name, without the prefix IOSQE_.
func (f SQEFlags) String() string { return flagString(uint32(f), sqeNames[:]) }

// CQEFlags qualify a completion. The upper 16 bits are a buffer's number if
// CQEBuffer is set.
type CQEFlags uint32

// IORING_CQE_F_*.
const (
	CQEBuffer       CQEFlags = 1 << iota // IORING_CQE_F_BUFFER
	CQEMore                              // IORING_CQE_F_MORE, Linux 5.13
	CQESockNonEmpty                      // IORING_CQE_F_SOCK_NONEMPTY, Linux 5.19
	CQENotif                             // IORING_CQE_F_NOTIF, Linux 6.0
	CQEBufMore                           // IORING_CQE_F_BUF_MORE, Linux 6.12
	CQESkip                              // IORING_CQE_F_SKIP, Linux 6.18

	CQE32Bytes  CQEFlags = 1 << 15 // IORING_CQE_F_32, Linux 6.18
	CQETstampHW CQEFlags = 1 << 16 // IORING_CQE_F_TSTAMP_HW, of PrepSocketTxTimestamp, Linux 6.17
)

var cqeNames = [...]string{"BUFFER", "MORE", "SOCK_NONEMPTY", "NOTIF", "BUF_MORE", "SKIP"}

// String lists the flags by kernel name, without the prefix IORING_CQE_F_; a
// buffer's number follows a colon.
func (f CQEFlags) String() string {
	s := flagString(uint32(f)&(1<<cqeBufferShift-1), cqeNames[:])
	if f&CQEBuffer != 0 {
		s += ":" + strconv.FormatUint(uint64(f>>cqeBufferShift), 10)
	}
	return s
}

// CancelFlags choose what a cancellation matches.
type CancelFlags uint32

// IORING_ASYNC_CANCEL_*.
const (
	CancelAll      CancelFlags = 1 << iota // IORING_ASYNC_CANCEL_ALL: every match, not the first
	CancelFD                               // IORING_ASYNC_CANCEL_FD: match by fd
	CancelAny                              // IORING_ASYNC_CANCEL_ANY: match everything
	CancelFDFixed                          // IORING_ASYNC_CANCEL_FD_FIXED, Linux 6.0
	CancelUserData                         // IORING_ASYNC_CANCEL_USERDATA, Linux 6.6
	CancelOp                               // IORING_ASYNC_CANCEL_OP, Linux 6.6
)

var cancelNames = [...]string{"ALL", "FD", "ANY", "FD_FIXED", "USERDATA", "OP"}

// String lists the flags by kernel name, without the prefix
// IORING_ASYNC_CANCEL_.
func (f CancelFlags) String() string { return flagString(uint32(f), cancelNames[:]) }

// FsyncFlags qualify PrepFsync.
type FsyncFlags uint32

// FsyncDatasync makes a sync that of fdatasync(2): IORING_FSYNC_DATASYNC.
const FsyncDatasync FsyncFlags = 1 << 0

// TimeoutFlags qualify timeouts. Without a clock they use CLOCK_MONOTONIC.
type TimeoutFlags uint32

// IORING_TIMEOUT_*.
const (
	TimeoutAbs          TimeoutFlags = 1 << 0 // IORING_TIMEOUT_ABS: a point in time, not a span; before Linux 7.1 the initial time namespace's
	TimeoutBoottime     TimeoutFlags = 1 << 2 // IORING_TIMEOUT_BOOTTIME, Linux 5.15
	TimeoutRealtime     TimeoutFlags = 1 << 3 // IORING_TIMEOUT_REALTIME, Linux 5.15
	TimeoutETimeSuccess TimeoutFlags = 1 << 5 // IORING_TIMEOUT_ETIME_SUCCESS, Linux 5.16
	TimeoutMultishot    TimeoutFlags = 1 << 6 // IORING_TIMEOUT_MULTISHOT, Linux 6.4
)

// MsgRingFlags qualify messages to other rings.
type MsgRingFlags uint32

// IORING_MSG_RING_*.
const (
	MsgRingCQESkip   MsgRingFlags = 1 << 0 // IORING_MSG_RING_CQE_SKIP: no CQE on the target, for files only
	MsgRingFlagsPass MsgRingFlags = 1 << 1 // IORING_MSG_RING_FLAGS_PASS, Linux 6.3
)

// InstallFlags qualify PrepFixedFDInstall.
type InstallFlags uint32

// InstallNoCloexec leaves close-on-exec unset: IORING_FIXED_FD_NO_CLOEXEC.
const InstallNoCloexec InstallFlags = 1 << 0

// NopFlags qualify PrepNopFlags.
type NopFlags uint32

// IORING_NOP_*.
const (
	NopInjectResult NopFlags = 1 << 0 // IORING_NOP_INJECT_RESULT, Linux 6.11
	NopCQE32        NopFlags = 1 << 5 // IORING_NOP_CQE32: post a wide completion, Linux 6.18
)

// BufRingFlags qualify buffer rings.
type BufRingFlags uint16

// IOU_PBUF_RING_*.
const (
	bufRingMmap BufRingFlags = 1 << 0 // IOU_PBUF_RING_MMAP, Linux 6.4
	BufRingInc  BufRingFlags = 1 << 1 // IOU_PBUF_RING_INC: buffers are used up in parts, Linux 6.12
)

// RegWaitFlags qualify a RegWait.
type RegWaitFlags uint32

// RegWaitTS makes TS count: IORING_REG_WAIT_TS.
const RegWaitTS RegWaitFlags = 1 << 0

// FileIndexAlloc, in place of an index into the registered files, has the
// kernel choose a free one: IORING_FILE_INDEX_ALLOC. Linux 5.19.
const FileIndexAlloc = 1<<32 - 1

// FileSkip, in place of an fd in an update of registered files, leaves that
// one as it is: IORING_REGISTER_FILES_SKIP. Linux 5.12.
const FileSkip = -2

// flagString joins the names of the bits set in v; bits without a name are
// appended in hexadecimal.
func flagString(v uint32, names []string) string {
	if v == 0 {
		return "0"
	}
	var b strings.Builder
	for i, name := range names {
		if v&(1<<i) == 0 {
			continue
		}
		v &^= 1 << i
		if b.Len() > 0 {
			b.WriteByte('|')
		}
		b.WriteString(name)
	}
	if v != 0 {
		if b.Len() > 0 {
			b.WriteByte('|')
		}
		b.WriteString("0x" + strconv.FormatUint(uint64(v), 16))
	}
	return b.String()
}
