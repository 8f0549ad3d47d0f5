//go:build linux

package ring

import "strconv"

// Op is an operation code.
type Op uint8

// IORING_OP_*, in the kernel's order, with the first kernel.
const (
	OpNop            Op = iota // IORING_OP_NOP, Linux 5.1
	OpReadV                    // IORING_OP_READV, Linux 5.1
	OpWriteV                   // IORING_OP_WRITEV, Linux 5.1
	OpFsync                    // IORING_OP_FSYNC, Linux 5.1
	OpReadFixed                // IORING_OP_READ_FIXED, Linux 5.1
	OpWriteFixed               // IORING_OP_WRITE_FIXED, Linux 5.1
	OpPollAdd                  // IORING_OP_POLL_ADD, Linux 5.1
	OpPollRemove               // IORING_OP_POLL_REMOVE, Linux 5.1
	OpSyncFileRange            // IORING_OP_SYNC_FILE_RANGE, Linux 5.2
	OpSendMsg                  // IORING_OP_SENDMSG, Linux 5.3
	OpRecvMsg                  // IORING_OP_RECVMSG, Linux 5.3
	OpTimeout                  // IORING_OP_TIMEOUT, Linux 5.4
	OpTimeoutRemove            // IORING_OP_TIMEOUT_REMOVE, Linux 5.5
	OpAccept                   // IORING_OP_ACCEPT, Linux 5.5
	OpAsyncCancel              // IORING_OP_ASYNC_CANCEL, Linux 5.5
	OpLinkTimeout              // IORING_OP_LINK_TIMEOUT, Linux 5.5
	OpConnect                  // IORING_OP_CONNECT, Linux 5.5
	OpFallocate                // IORING_OP_FALLOCATE, Linux 5.6
	OpOpenAt                   // IORING_OP_OPENAT, Linux 5.6
	OpClose                    // IORING_OP_CLOSE, Linux 5.6
	OpFilesUpdate              // IORING_OP_FILES_UPDATE, Linux 5.6
	OpStatx                    // IORING_OP_STATX, Linux 5.6
	OpRead                     // IORING_OP_READ, Linux 5.6
	OpWrite                    // IORING_OP_WRITE, Linux 5.6
	OpFadvise                  // IORING_OP_FADVISE, Linux 5.6
	OpMadvise                  // IORING_OP_MADVISE, Linux 5.6
	OpSend                     // IORING_OP_SEND, Linux 5.6
	OpRecv                     // IORING_OP_RECV, Linux 5.6
	OpOpenAt2                  // IORING_OP_OPENAT2, Linux 5.6
	OpEpollCtl                 // IORING_OP_EPOLL_CTL, Linux 5.6
	OpSplice                   // IORING_OP_SPLICE, Linux 5.7
	OpProvideBuffers           // IORING_OP_PROVIDE_BUFFERS, Linux 5.7
	OpRemoveBuffers            // IORING_OP_REMOVE_BUFFERS, Linux 5.7
	OpTee                      // IORING_OP_TEE, Linux 5.8
	OpShutdown                 // IORING_OP_SHUTDOWN, Linux 5.11
	OpRenameAt                 // IORING_OP_RENAMEAT, Linux 5.11
	OpUnlinkAt                 // IORING_OP_UNLINKAT, Linux 5.11
	OpMkdirAt                  // IORING_OP_MKDIRAT, Linux 5.15
	OpSymlinkAt                // IORING_OP_SYMLINKAT, Linux 5.15
	OpLinkAt                   // IORING_OP_LINKAT, Linux 5.15
	OpMsgRing                  // IORING_OP_MSG_RING, Linux 5.18
	OpFsetxattr                // IORING_OP_FSETXATTR, Linux 5.19
	OpSetxattr                 // IORING_OP_SETXATTR, Linux 5.19
	OpFgetxattr                // IORING_OP_FGETXATTR, Linux 5.19
	OpGetxattr                 // IORING_OP_GETXATTR, Linux 5.19
	OpSocket                   // IORING_OP_SOCKET, Linux 5.19
	OpUringCmd                 // IORING_OP_URING_CMD, Linux 5.19
	OpSendZC                   // IORING_OP_SEND_ZC, Linux 6.0
	OpSendMsgZC                // IORING_OP_SENDMSG_ZC, Linux 6.1
	OpReadMultishot            // IORING_OP_READ_MULTISHOT, Linux 6.7
	OpWaitID                   // IORING_OP_WAITID, Linux 6.7
	OpFutexWait                // IORING_OP_FUTEX_WAIT, Linux 6.7
	OpFutexWake                // IORING_OP_FUTEX_WAKE, Linux 6.7
	OpFutexWaitV               // IORING_OP_FUTEX_WAITV, Linux 6.7
	OpFixedFDInstall           // IORING_OP_FIXED_FD_INSTALL, Linux 6.8
	OpFtruncate                // IORING_OP_FTRUNCATE, Linux 6.9
	OpBind                     // IORING_OP_BIND, Linux 6.11
	OpListen                   // IORING_OP_LISTEN, Linux 6.11
	OpRecvZC                   // IORING_OP_RECV_ZC, Linux 6.15
	OpEpollWait                // IORING_OP_EPOLL_WAIT, Linux 6.15
	OpReadVFixed               // IORING_OP_READV_FIXED, Linux 6.15
	OpWriteVFixed              // IORING_OP_WRITEV_FIXED, Linux 6.15
	OpPipe                     // IORING_OP_PIPE, Linux 6.16
	OpNop128                   // IORING_OP_NOP128, Linux 6.19
	OpUringCmd128              // IORING_OP_URING_CMD128, Linux 6.19
)

var opNames = [...]string{
	"NOP", "READV", "WRITEV", "FSYNC", "READ_FIXED", "WRITE_FIXED", "POLL_ADD",
	"POLL_REMOVE", "SYNC_FILE_RANGE", "SENDMSG", "RECVMSG", "TIMEOUT",
	"TIMEOUT_REMOVE", "ACCEPT", "ASYNC_CANCEL", "LINK_TIMEOUT", "CONNECT",
	"FALLOCATE", "OPENAT", "CLOSE", "FILES_UPDATE", "STATX", "READ", "WRITE",
	"FADVISE", "MADVISE", "SEND", "RECV", "OPENAT2", "EPOLL_CTL", "SPLICE",
	"PROVIDE_BUFFERS", "REMOVE_BUFFERS", "TEE", "SHUTDOWN", "RENAMEAT",
	"UNLINKAT", "MKDIRAT", "SYMLINKAT", "LINKAT", "MSG_RING", "FSETXATTR",
	"SETXATTR", "FGETXATTR", "GETXATTR", "SOCKET", "URING_CMD", "SEND_ZC",
	"SENDMSG_ZC", "READ_MULTISHOT", "WAITID", "FUTEX_WAIT", "FUTEX_WAKE",
	"FUTEX_WAITV", "FIXED_FD_INSTALL", "FTRUNCATE", "BIND", "LISTEN", "RECV_ZC",
	"EPOLL_WAIT", "READV_FIXED", "WRITEV_FIXED", "PIPE", "NOP128",
	"URING_CMD128",
}

// String returns the kernel's name without the prefix IORING_OP_.
func (o Op) String() string {
	if int(o) < len(opNames) {
		return opNames[o]
	}
	return "OP(" + strconv.Itoa(int(o)) + ")"
}
