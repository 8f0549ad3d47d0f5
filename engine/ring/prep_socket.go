//go:build linux

package ring

import "unsafe"

// PrepSocket fills s with a socket(2). Res is the fd. flags is reserved. No Go
// memory reaches the kernel. Linux 5.19.
func (s *SQE) PrepSocket(domain, typ, proto int32, flags uint32, ud UserData) {
	*s = SQE{Opcode: OpSocket, Fd: domain, Off: uint64(typ), Len: uint32(proto), OpFlags: flags, UserData: ud}
}

// PrepSocketDirect is PrepSocket for a registered file, at slot or where
// FileIndexAlloc finds room: Res is 0, or then the index. typ must not have
// SOCK_CLOEXEC. ENFILE if there is no room, ENXIO if no files are registered.
// Linux 5.19.
func (s *SQE) PrepSocketDirect(domain, typ, proto int32, slot uint32, flags uint32, ud UserData) {
	s.PrepSocket(domain, typ, proto, flags, ud)
	s.FileIndex = fileSlot(slot)
}

// PrepBind fills s with a bind(2) to sa, which is read at submission.
// Linux 6.11.
func (s *SQE) PrepBind(fd int32, sa *Sockaddr, ud UserData) {
	*s = SQE{
		Opcode: OpBind, Fd: fd,
		Addr: s.copied(unsafe.Pointer(sa)), Off: uint64(sa.n), UserData: ud,
	}
}

// PrepListen fills s with a listen(2). No Go memory reaches the kernel.
// Linux 6.11.
func (s *SQE) PrepListen(fd int32, backlog int32, ud UserData) {
	*s = SQE{Opcode: OpListen, Fd: fd, Len: uint32(backlog), UserData: ud}
}

// PrepConnect fills s with a connect to sa, which must stay referenced and
// unchanged until the CQE. Linux 5.5.
func (s *SQE) PrepConnect(fd int32, sa *Sockaddr, ud UserData) {
	*s = SQE{
		Opcode: OpConnect, Fd: fd,
		Addr: s.kept(unsafe.Pointer(sa)), Off: uint64(sa.n), UserData: ud,
	}
}

// PrepAccept fills s with an accept4(2), its Res the new fd. sa, if not nil, is
// where the kernel writes the peer's address; it must stay referenced until
// the CQE and is valid after it. Linux 5.5.
func (s *SQE) PrepAccept(fd int32, sa *Sockaddr, flags uint32, ud UserData) {
	*s = SQE{Opcode: OpAccept, Fd: fd, OpFlags: flags, UserData: ud}
	if sa != nil {
		*sa = Sockaddr{n: uint32(len(sa.raw))}
		s.Addr, s.Off = s.kept(unsafe.Pointer(sa)), s.kept(unsafe.Pointer(&sa.n))
	}
}

// PrepAcceptDirect is PrepAccept for a registered file, at slot or where
// FileIndexAlloc finds room: Res is 0, or then the index. flags must not have
// SOCK_CLOEXEC. ENFILE, if there is no room, drops the connection. Linux 5.15;
// with FileIndexAlloc 5.19.
func (s *SQE) PrepAcceptDirect(fd int32, sa *Sockaddr, flags, slot uint32, ud UserData) {
	s.PrepAccept(fd, sa, flags, ud)
	s.FileIndex = fileSlot(slot)
}

// AcceptFlags qualify any kind of accept, see SetAccept.
type AcceptFlags uint16

const (
	// AcceptDontwait completes with EAGAIN where the request would wait:
	// IORING_ACCEPT_DONTWAIT, Linux 6.10.
	AcceptDontwait AcceptFlags = acceptDontwait

	// AcceptPollFirst waits for a connection before it tries:
	// IORING_ACCEPT_POLL_FIRST, Linux 6.10.
	AcceptPollFirst AcceptFlags = acceptPollFirst
)

// SetAccept adds flags to an accept. Call it after the Prep. Linux 6.10.
func (s *SQE) SetAccept(f AcceptFlags) {
	s.modify("SetAccept", 1<<OpAccept)
	s.Ioprio |= uint16(f)
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

// PrepAcceptMultishotDirect is PrepAcceptMultishot for registered files: each
// Res is an index that the kernel chose. flags must not have SOCK_CLOEXEC.
// ENFILE, if there is no room, drops the connection. Linux 5.19.
func (s *SQE) PrepAcceptMultishotDirect(fd int32, flags uint32, ud UserData) {
	s.PrepAcceptMultishot(fd, flags, ud)
	s.FileIndex = FileIndexAlloc
}

// PrepShutdown fills s with a shutdown(2); how is unix.SHUT_RD, SHUT_WR or
// SHUT_RDWR. It runs on a worker thread. No Go memory reaches the kernel.
// Linux 5.11.
func (s *SQE) PrepShutdown(fd int32, how int32, ud UserData) {
	*s = SQE{Opcode: OpShutdown, Fd: fd, Len: uint32(how), UserData: ud}
}

// PrepSocketInq fills s with a SIOCINQ: Res is how many bytes the socket has to
// receive. No Go memory reaches the kernel. EOPNOTSUPP if the socket cannot
// tell. Linux 6.7.
func (s *SQE) PrepSocketInq(fd int32, ud UserData) { s.prepSocketCmd(socketOpSIOCINQ, fd, ud) }

// PrepSocketOutq fills s with a SIOCOUTQ: Res is how many bytes the socket has
// not sent, or the peer not acknowledged. Else as PrepSocketInq.
func (s *SQE) PrepSocketOutq(fd int32, ud UserData) { s.prepSocketCmd(socketOpSIOCOUTQ, fd, ud) }

// PrepGetsockopt fills s with a getsockopt(2) of up to len(val) bytes into val;
// Res is how many. level is SOL_SOCKET, any other is EOPNOTSUPP. Linux 6.7.
func (s *SQE) PrepGetsockopt(fd int32, level, name uint32, val []byte, ud UserData) {
	s.prepSocketCmd(socketOpGetsockopt, fd, ud)
	s.sockopt(level, name, val)
}

// PrepSetsockopt fills s with a setsockopt(2) of val. Linux 6.7.
func (s *SQE) PrepSetsockopt(fd int32, level, name uint32, val []byte, ud UserData) {
	s.prepSocketCmd(socketOpSetsockopt, fd, ud)
	s.sockopt(level, name, val)
}

func (s *SQE) sockopt(level, name uint32, val []byte) {
	s.Addr = uint64(level) | uint64(name)<<32
	s.FileIndex, s.Addr3 = uint32(len(val)), s.keptBytes(val)
}

// PrepSocketTxTimestamp fills s with a request that posts, for each time stamp
// in the socket's error queue, a wide completion with CQEMore, for
// CQE.TxTimestamp to read, until a last one without. The ring must have
// SetupCQE32, or SetupCQEMixed. No Go memory reaches the kernel. It needs
// SO_TIMESTAMPING with SOF_TIMESTAMPING_OPT_TSONLY. Linux 6.17.
func (s *SQE) PrepSocketTxTimestamp(fd int32, ud UserData) {
	s.prepSocketCmd(socketOpTxTimestamp, fd, ud)
}

func (s *SQE) prepSocketCmd(cmd uint32, fd int32, ud UserData) {
	s.PrepURingCmd(fd, cmd, ud)
}
