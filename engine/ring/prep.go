//go:build linux

package ring

import (
	"math"
	"unsafe"
)

// Each Prep is one whole-struct write, so no field of the entry's last use
// survives. Only the ring's owner may call them.

// SetFlags adds to the entry's flags. Call it after the Prep.
func (s *SQE) SetFlags(f SQEFlags) { s.Flags |= f }

// SetPollFirst makes a send or receive wait for the socket to be ready before
// it tries, which spares an attempt known to fail. A multishot receive on an
// empty buffer group then arms instead of ending with ENOBUFS. Call it after
// the Prep. Linux 5.19.
//
// Beware of a multishot receive armed this way on a socket that already holds
// data and behind it a reset, or the end of a unix stream: on Linux 6.18 it
// posts the data and then nothing. Armed without, it posts both.
func (s *SQE) SetPollFirst() { s.Ioprio |= recvsendPollFirst }

// PrepNop fills s with a request that completes at once with 0. No Go memory
// reaches the kernel. Linux 5.1.
func (s *SQE) PrepNop(ud UserData) {
	*s = SQE{Opcode: OpNop, Fd: -1, UserData: ud}
}

// PrepAcceptMultishot fills s with an accept posting one CQE per connection,
// its Res the new fd. flags are accept4's; without SOCK_CLOEXEC child
// processes inherit the connection. No Go memory reaches the kernel.
//
// It stays armed until a CQE without F_MORE: EMFILE at the file limit, EINVAL
// after shutdown of the listener, ECANCELED, a full completion queue. close(2)
// does not end it. Linux 5.19.
func (s *SQE) PrepAcceptMultishot(fd int32, flags uint32, ud UserData) {
	*s = SQE{
		Opcode: OpAccept, Ioprio: acceptMultishot,
		Fd: fd, OpFlags: flags, UserData: ud,
	}
}

// PrepRecvMultishot fills s with a receive posting one CQE per arrival, each
// naming a buffer taken from group bgid. No Go memory reaches the kernel.
//
// It stays armed until a CQE without F_MORE, which may carry data; the caller
// re-arms. An empty group ends it with ENOBUFS. maxBytes, if not 0, ends it
// once that many bytes have come, or up to one buffer more. fd must stay open
// until that CQE: close(2) alone neither ends the request nor sends FIN
// (liburing#932). Linux 6.0; with maxBytes 6.17, EINVAL before.
func (s *SQE) PrepRecvMultishot(fd int32, bgid uint16, maxBytes uint32, ud UserData) {
	*s = SQE{
		Opcode: OpRecv, Flags: SQEBufferSelect, Ioprio: recvMultishot,
		Fd: fd, BufGroup: bgid, FileIndex: maxBytes, UserData: ud,
	}
}

// PrepSend fills s with a send of b, or of its first 2 GiB. msgFlags are
// send(2)'s. b must stay referenced and unchanged until the CQE. Res may be
// short; a short send is one that the socket had no more room for. A send
// with MSG_WAITALL that is cancelled completes with what it sent. Two sends
// in flight on one stream have no order. Linux 5.6.
func (s *SQE) PrepSend(fd int32, b []byte, msgFlags uint32, ud UserData) {
	*s = SQE{
		Opcode: OpSend, Fd: fd,
		Addr: address(unsafe.Pointer(unsafe.SliceData(b))), Len: uint32(min(len(b), math.MaxInt32)),
		OpFlags: msgFlags, UserData: ud,
	}
}

// PrepConnect fills s with a connect to sa, which must stay referenced and
// unchanged until the CQE. Linux 5.5.
func (s *SQE) PrepConnect(fd int32, sa *Sockaddr, ud UserData) {
	*s = SQE{
		Opcode: OpConnect, Fd: fd,
		Addr: address(unsafe.Pointer(sa)), Off: uint64(sa.n), UserData: ud,
	}
}

// PrepPollAdd fills s with a poll(2) for events, one CQE with the events that
// came in Res. No Go memory reaches the kernel. Linux 5.1.
func (s *SQE) PrepPollAdd(fd int32, events uint32, ud UserData) {
	*s = SQE{Opcode: OpPollAdd, Fd: fd, OpFlags: events, UserData: ud}
}

// PrepPollMultishot fills s with a poll(2) that posts a CQE for each wake-up
// of fd until one without F_MORE. It is edge-triggered. No Go memory reaches
// the kernel. Linux 5.13.
func (s *SQE) PrepPollMultishot(fd int32, events uint32, ud UserData) {
	*s = SQE{Opcode: OpPollAdd, Fd: fd, Len: pollAddMulti, OpFlags: events, UserData: ud}
}

// PrepCancel fills s with a cancellation of the request whose user data is
// target; CancelAll extends it to all of them, CancelAny to every request of
// the ring. No Go memory reaches the kernel.
//
// Res is 0, or with CancelAll or CancelAny the number found; ENOENT if there
// is none, EALREADY if it is already running. This CQE is not the target's,
// which posts its own: usually ECANCELED, but possibly a result that was
// faster. Linux 5.5; with flags 5.19.
func (s *SQE) PrepCancel(target UserData, flags CancelFlags, ud UserData) {
	*s = SQE{
		Opcode: OpAsyncCancel, Fd: -1,
		Addr: uint64(target), OpFlags: uint32(flags), UserData: ud,
	}
}

// PrepCancelFD is PrepCancel for requests on fd. Linux 5.19.
func (s *SQE) PrepCancelFD(fd int32, flags CancelFlags, ud UserData) {
	*s = SQE{Opcode: OpAsyncCancel, Fd: fd, OpFlags: uint32(flags | CancelFD), UserData: ud}
}

// PrepMsgRing fills s with a message to the ring with fd ringFD: that ring
// gets a CQE with UserData data and Res res, and its sleeper wakes. This ring
// gets a CQE too; EBADFD says that the other is not enabled, EOVERFLOW that
// its queue is full. No Go memory reaches the kernel. Linux 5.18.
func (s *SQE) PrepMsgRing(ringFD int32, res uint32, data uint64, ud UserData) {
	*s = SQE{
		Opcode: OpMsgRing, Fd: ringFD, Off: data,
		Addr: msgData, Len: res, UserData: ud,
	}
}

// address returns p for the kernel. p's memory is forced to the heap, since a
// stack may move while the kernel uses it; keeping it referenced is up to the
// caller.
func address(p unsafe.Pointer) uint64 {
	if escape.never {
		escape.to = p
	}
	return uint64(uintptr(p))
}

// escape makes the compiler believe that address keeps its argument.
var escape struct {
	never bool
	to    unsafe.Pointer
}
