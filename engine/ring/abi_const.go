//go:build linux

package ring

// Offsets for mmap on a ring's fd.
const (
	offSQRing    = 0x0        // IORING_OFF_SQ_RING
	offCQRing    = 0x8000000  // IORING_OFF_CQ_RING
	offSQEs      = 0x10000000 // IORING_OFF_SQES
	offPbufRing  = 0x80000000 // IORING_OFF_PBUF_RING
	offPbufShift = 16         // IORING_OFF_PBUF_SHIFT
)

// Flags of io_uring_enter.
const (
	enterGetevents      = 1 << 0 // IORING_ENTER_GETEVENTS
	enterSQWakeup       = 1 << 1 // IORING_ENTER_SQ_WAKEUP
	enterSQWait         = 1 << 2 // IORING_ENTER_SQ_WAIT
	enterExtArg         = 1 << 3 // IORING_ENTER_EXT_ARG
	enterRegisteredRing = 1 << 4 // IORING_ENTER_REGISTERED_RING
	enterAbsTimer       = 1 << 5 // IORING_ENTER_ABS_TIMER
	enterExtArgReg      = 1 << 6 // IORING_ENTER_EXT_ARG_REG
	enterNoIowait       = 1 << 7 // IORING_ENTER_NO_IOWAIT
)

// Bits of the flags words in the rings.
const (
	sqNeedWakeup      = 1 << 0 // IORING_SQ_NEED_WAKEUP
	sqCQOverflow      = 1 << 1 // IORING_SQ_CQ_OVERFLOW
	sqTaskrun         = 1 << 2 // IORING_SQ_TASKRUN
	cqEventFDDisabled = 1 << 0 // IORING_CQ_EVENTFD_DISABLED
)

// registerOp is an operation of io_uring_register.
type registerOp uint32

const (
	registerBuffers        registerOp = iota // IORING_REGISTER_BUFFERS
	unregisterBuffers                        // IORING_UNREGISTER_BUFFERS
	registerFiles                            // IORING_REGISTER_FILES
	unregisterFiles                          // IORING_UNREGISTER_FILES
	registerEventFD                          // IORING_REGISTER_EVENTFD
	unregisterEventFD                        // IORING_UNREGISTER_EVENTFD
	registerFilesUpdate                      // IORING_REGISTER_FILES_UPDATE
	registerEventFDAsync                     // IORING_REGISTER_EVENTFD_ASYNC
	registerProbe                            // IORING_REGISTER_PROBE
	registerPersonality                      // IORING_REGISTER_PERSONALITY
	unregisterPersonality                    // IORING_UNREGISTER_PERSONALITY
	registerRestrictions                     // IORING_REGISTER_RESTRICTIONS
	registerEnableRings                      // IORING_REGISTER_ENABLE_RINGS
	registerFiles2                           // IORING_REGISTER_FILES2
	registerFilesUpdate2                     // IORING_REGISTER_FILES_UPDATE2
	registerBuffers2                         // IORING_REGISTER_BUFFERS2
	registerBuffersUpdate                    // IORING_REGISTER_BUFFERS_UPDATE
	registerIOWQAff                          // IORING_REGISTER_IOWQ_AFF
	unregisterIOWQAff                        // IORING_UNREGISTER_IOWQ_AFF
	registerIOWQMaxWorkers                   // IORING_REGISTER_IOWQ_MAX_WORKERS
	registerRingFDs                          // IORING_REGISTER_RING_FDS
	unregisterRingFDs                        // IORING_UNREGISTER_RING_FDS
	registerPbufRing                         // IORING_REGISTER_PBUF_RING
	unregisterPbufRing                       // IORING_UNREGISTER_PBUF_RING
	registerSyncCancel                       // IORING_REGISTER_SYNC_CANCEL
	registerFileAllocRange                   // IORING_REGISTER_FILE_ALLOC_RANGE
	registerPbufStatus                       // IORING_REGISTER_PBUF_STATUS
	registerNAPI                             // IORING_REGISTER_NAPI
	unregisterNAPI                           // IORING_UNREGISTER_NAPI
	registerClock                            // IORING_REGISTER_CLOCK
	registerCloneBuffers                     // IORING_REGISTER_CLONE_BUFFERS
	registerSendMsgRing                      // IORING_REGISTER_SEND_MSG_RING
	registerZcrxIfq                          // IORING_REGISTER_ZCRX_IFQ
	registerResizeRings                      // IORING_REGISTER_RESIZE_RINGS
	registerMemRegion                        // IORING_REGISTER_MEM_REGION
	registerQuery                            // IORING_REGISTER_QUERY

	registerUseRegisteredRing registerOp = 1 << 31 // IORING_REGISTER_USE_REGISTERED_RING
)

var registerNames = [...]string{
	"REGISTER_BUFFERS", "UNREGISTER_BUFFERS", "REGISTER_FILES",
	"UNREGISTER_FILES", "REGISTER_EVENTFD", "UNREGISTER_EVENTFD",
	"REGISTER_FILES_UPDATE", "REGISTER_EVENTFD_ASYNC", "REGISTER_PROBE",
	"REGISTER_PERSONALITY", "UNREGISTER_PERSONALITY", "REGISTER_RESTRICTIONS",
	"REGISTER_ENABLE_RINGS", "REGISTER_FILES2", "REGISTER_FILES_UPDATE2",
	"REGISTER_BUFFERS2", "REGISTER_BUFFERS_UPDATE", "REGISTER_IOWQ_AFF",
	"UNREGISTER_IOWQ_AFF", "REGISTER_IOWQ_MAX_WORKERS", "REGISTER_RING_FDS",
	"UNREGISTER_RING_FDS", "REGISTER_PBUF_RING", "UNREGISTER_PBUF_RING",
	"REGISTER_SYNC_CANCEL", "REGISTER_FILE_ALLOC_RANGE",
	"REGISTER_PBUF_STATUS", "REGISTER_NAPI", "UNREGISTER_NAPI",
	"REGISTER_CLOCK", "REGISTER_CLONE_BUFFERS", "REGISTER_SEND_MSG_RING",
	"REGISTER_ZCRX_IFQ", "REGISTER_RESIZE_RINGS", "REGISTER_MEM_REGION",
	"REGISTER_QUERY",
}

// String returns the kernel's name without the prefix IORING_.
func (o registerOp) String() string { return registerNames[o&^registerUseRegisteredRing] }

// What accompanies operations of io_uring_register.
const (
	rsrcRegisterSparse  = 1 << 0    // IORING_RSRC_REGISTER_SPARSE
	probeOpSupported    = 1 << 0    // IO_URING_OP_SUPPORTED
	memRegionTypeUser   = 1 << 0    // IORING_MEM_REGION_TYPE_USER
	memRegionWaitArg    = 1 << 0    // IORING_MEM_REGION_REG_WAIT_ARG
	cloneSrcRegistered  = 1 << 0    // IORING_REGISTER_SRC_REGISTERED
	cloneDstReplace     = 1 << 1    // IORING_REGISTER_DST_REPLACE
	registerOffsetAny   = 1<<32 - 1 // the kernel chooses the index
	queryOpcodes        = 0         // IO_URING_QUERY_OPCODES
	zcrxAreaShift       = 48        // IORING_ZCRX_AREA_SHIFT
	sigsetBytes         = 8         // _NSIG / 8
	sizeofGeteventsArg  = 24
	sizeofRegWait       = 64
	maxEntries          = 32768 // IORING_MAX_ENTRIES
	maxCQEntries        = 2 * maxEntries
	sizeofSQE           = 64
	sizeofCQE           = 16
	ringHeaderBytes     = 64 // struct io_rings before its entries, up to 6.18
	cqeBufferShift      = 16 // IORING_CQE_BUFFER_SHIFT
	cqeTimestampHWShift = 16 // IORING_TIMESTAMP_HW_SHIFT
)

// Flags and numbers of single operations, in an SQE's Ioprio where no other
// field is named.
const (
	acceptMultishot     = 1 << 0  // IORING_ACCEPT_MULTISHOT
	acceptDontwait      = 1 << 1  // IORING_ACCEPT_DONTWAIT
	acceptPollFirst     = 1 << 2  // IORING_ACCEPT_POLL_FIRST
	recvsendPollFirst   = 1 << 0  // IORING_RECVSEND_POLL_FIRST
	recvMultishot       = 1 << 1  // IORING_RECV_MULTISHOT
	recvsendFixedBuf    = 1 << 2  // IORING_RECVSEND_FIXED_BUF
	sendZCReportUsage   = 1 << 3  // IORING_SEND_ZC_REPORT_USAGE
	recvsendBundle      = 1 << 4  // IORING_RECVSEND_BUNDLE
	sendVectorized      = 1 << 5  // IORING_SEND_VECTORIZED
	notifUsageZCCopied  = 1 << 31 // IORING_NOTIF_USAGE_ZC_COPIED, in a notification's Res
	pollAddMulti        = 1 << 0  // IORING_POLL_ADD_MULTI, in Len
	pollUpdateEvents    = 1 << 1  // IORING_POLL_UPDATE_EVENTS, in Len
	pollUpdateUserData  = 1 << 2  // IORING_POLL_UPDATE_USER_DATA, in Len
	msgData             = 0       // IORING_MSG_DATA, in Addr
	msgSendFD           = 1       // IORING_MSG_SEND_FD, in Addr
	attrFlagPI          = 1 << 0  // IORING_RW_ATTR_FLAG_PI, in AttrMask
	timeoutUpdate       = 1 << 1  // IORING_TIMEOUT_UPDATE, in OpFlags
	linkTimeoutUpdate   = 1 << 4  // IORING_LINK_TIMEOUT_UPDATE, in OpFlags
	uringCmdFixed       = 1 << 0  // IORING_URING_CMD_FIXED, in OpFlags
	spliceFDInFixed     = 1 << 31 // SPLICE_F_FD_IN_FIXED, in OpFlags
	socketOpSIOCINQ     = 0       // SOCKET_URING_OP_SIOCINQ, in Off, as those below
	socketOpSIOCOUTQ    = 1       // SOCKET_URING_OP_SIOCOUTQ
	socketOpGetsockopt  = 2       // SOCKET_URING_OP_GETSOCKOPT
	socketOpSetsockopt  = 3       // SOCKET_URING_OP_SETSOCKOPT
	socketOpTxTimestamp = 4       // SOCKET_URING_OP_TX_TIMESTAMP
)
