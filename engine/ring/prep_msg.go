//go:build linux

package ring

import (
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"
)

// PrepSend fills s with a send of b, or of its first 2 GiB. msgFlags are
// send(2)'s. b must stay referenced and unchanged until the CQE. Res may be
// short, if the socket had no room for more. A send with MSG_WAITALL that is
// cancelled completes with what it sent. Two sends in flight on one stream have
// no order. Linux 5.6.
func (s *SQE) PrepSend(fd int32, b []byte, msgFlags uint32, ud UserData) {
	*s = SQE{
		Opcode: OpSend, Fd: fd,
		Addr: s.keptBytes(b), Len: bytesLen(b),
		OpFlags: msgFlags, UserData: ud,
	}
}

// PrepSendTo is PrepSend to sa, which is read at submission. Linux 6.1.
func (s *SQE) PrepSendTo(fd int32, b []byte, msgFlags uint32, sa *Sockaddr, ud UserData) {
	s.PrepSend(fd, b, msgFlags, ud)
	s.SetAddr(sa)
}

// SetAddr sends a PrepSend or PrepSendZC to sa, which is read at submission.
// Call it after the Prep. Linux 6.0 for PrepSendZC, 6.1 for PrepSend.
func (s *SQE) SetAddr(sa *Sockaddr) {
	s.modify("SetAddr", 1<<OpSend|1<<OpSendZC)
	s.Off, s.FileIndex = s.copied(unsafe.Pointer(sa)), sa.n // addr2, addr_len
}

// PrepSendV is PrepSend of all of iov's memory. iov is read at submission; its
// memory must stay referenced and unchanged until the CQE. Linux 6.17.
func (s *SQE) PrepSendV(fd int32, iov []unix.Iovec, msgFlags uint32, ud UserData) {
	*s = SQE{
		Opcode: OpSend, Ioprio: sendVectorized, Fd: fd,
		Addr: s.iov(iov), Len: uint32(len(iov)), OpFlags: msgFlags, UserData: ud,
	}
}

// PrepSendBundle fills s with a send of buffers that the caller has put into
// group bgid, in their order, n bytes at most, 0 for all of them. No Go memory
// reaches the kernel but the buffers'. Res is the bytes sent; CQE.Buffer names
// the first buffer. ENOBUFS if the group is empty. Linux 6.10.
func (s *SQE) PrepSendBundle(fd int32, bgid uint16, n, msgFlags uint32, ud UserData) {
	*s = SQE{
		Opcode: OpSend, Flags: SQEBufferSelect, Ioprio: recvsendBundle,
		Fd: fd, Len: n, OpFlags: msgFlags, BufGroup: bgid, UserData: ud,
	}
}

// PrepSendZC is PrepSend without a copy: the network device reads b itself. Of
// the two completions the first, with CQEMore, has the result, the second, for
// which CQE.Notif is true, says that b is free again; b must stay referenced
// and unchanged until then. A first one without CQEMore is the only one. On
// loopback and for small b it costs more than a copy. EOPNOTSUPP if the socket
// has no such thing. Linux 6.0.
func (s *SQE) PrepSendZC(fd int32, b []byte, msgFlags uint32, ud UserData) {
	s.PrepSend(fd, b, msgFlags, ud)
	s.Opcode = OpSendZC
}

// message returns the address of m for s. m's data is kept; m itself, the address
// and the control data that it names are copied if copied is set, else kept.
func (s *SQE) message(m *unix.Msghdr, copied bool) uint64 {
	s.noteMessage(m, copied)
	return address(unsafe.Pointer(m))
}

// PrepSendMsg fills s with a sendmsg(2). m and what it points to are read at
// submission, except for the data, which must stay referenced and unchanged until
// the CQE. Res is the bytes sent. Linux 5.3.
func (s *SQE) PrepSendMsg(fd int32, m *unix.Msghdr, msgFlags uint32, ud UserData) {
	*s = SQE{
		Opcode: OpSendMsg, Fd: fd,
		Addr: s.message(m, true), Len: 1, OpFlags: msgFlags, UserData: ud,
	}
}

// PrepSendMsgZC is PrepSendMsg without a copy, with PrepSendZC's completions.
// Linux 6.1.
func (s *SQE) PrepSendMsgZC(fd int32, m *unix.Msghdr, msgFlags uint32, ud UserData) {
	s.PrepSendMsg(fd, m, msgFlags, ud)
	s.Opcode = OpSendMsgZC
}

// PrepRecv fills s with a recv(2) into b, or into a buffer of SetBufferGroup.
// b must stay referenced until the CQE. Res is the bytes received, 0 at the
// end of a stream. Linux 5.6.
func (s *SQE) PrepRecv(fd int32, b []byte, msgFlags uint32, ud UserData) {
	*s = SQE{
		Opcode: OpRecv, Fd: fd,
		Addr: s.keptBytes(b), Len: bytesLen(b), OpFlags: msgFlags, UserData: ud,
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

// PrepRecvMsg fills s with a recvmsg(2) into m's memory. m and what it points
// to must stay referenced until the CQE, after which m's Namelen, Controllen
// and Flags are valid. Res is the bytes received. Linux 5.3.
func (s *SQE) PrepRecvMsg(fd int32, m *unix.Msghdr, msgFlags uint32, ud UserData) {
	*s = SQE{
		Opcode: OpRecvMsg, Fd: fd,
		Addr: s.message(m, false), Len: 1, OpFlags: msgFlags, UserData: ud,
	}
}

// PrepRecvMsgMultishot fills s with a recvmsg(2) posting one CQE per message,
// each naming a buffer taken from group bgid that holds the address, control
// data and payload, for ParseRecvMsg to find; Res is the length of all. Of m,
// which is read at submission, only Namelen and Controllen count, which say how
// much room a buffer keeps for either. It ends as PrepRecvMultishot does, with an
// empty datagram, which it delivers, and with EFAULT if a buffer has no room
// for the header. Linux 6.0.
func (s *SQE) PrepRecvMsgMultishot(fd int32, m *unix.Msghdr, bgid uint16, msgFlags uint32, ud UserData) {
	s.PrepRecvMsg(fd, m, msgFlags, ud)
	s.Ioprio, s.Flags, s.BufGroup = recvMultishot, SQEBufferSelect, bgid
}

// PrepRecvZC fills s with a receive without a copy from the zero-copy queue
// zcrxID, see RegisterZcrxIfq: one wide CQE per arrival, Res its length, the
// extra half, a ZcrxCQE, its place. It ends with a CQE without F_MORE, after n
// bytes if n is not 0. No Go memory reaches the kernel. Linux 6.15.
func (s *SQE) PrepRecvZC(fd int32, zcrxID, n uint32, ud UserData) {
	*s = SQE{Opcode: OpRecvZC, Ioprio: recvMultishot, Fd: fd, Len: n, FileIndex: zcrxID, UserData: ud}
}

// RecvMsg is a message that a multishot recvmsg received. Its slices lie in
// the provided buffer.
type RecvMsg struct {
	Name    []byte // the address in the kernel's form, cut to the room for it
	Control []byte // for unix.ParseSocketControlMessage
	Payload []byte
	Flags   uint32 // such as unix.MSG_TRUNC, MSG_CTRUNC

	// How long they were before they were cut to the room for them.
	NameLen, PayloadLen int
}

const sizeofRecvmsgOut = 16

// ParseRecvMsg finds the parts of a message in b, a provided buffer up to
// CQE.Res, of PrepRecvMsgMultishot with m. It returns false if b is too short
// to be one.
func ParseRecvMsg(b []byte, m *unix.Msghdr) (msg RecvMsg, ok bool) {
	nameRoom, controlRoom := uint64(m.Namelen), uint64(m.Controllen)
	room := uint64(len(b))
	if room < sizeofRecvmsgOut || nameRoom > room || controlRoom > room ||
		sizeofRecvmsgOut+nameRoom+controlRoom > room {
		return RecvMsg{}, false
	}
	field := func(i int) uint32 { return binary.NativeEndian.Uint32(b[4*i:]) }
	name := b[sizeofRecvmsgOut:]
	control := name[nameRoom:]
	return RecvMsg{
		Name:    name[:min(uint64(field(0)), nameRoom)],
		Control: control[:min(uint64(field(1)), controlRoom)],
		Payload: control[controlRoom:],
		Flags:   field(3),
		NameLen: int(field(0)), PayloadLen: int(field(2)),
	}, true
}
