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
