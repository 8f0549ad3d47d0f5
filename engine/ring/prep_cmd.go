//go:build linux

package ring

// PrepURingCmd fills s with command cmd of the driver, file system or socket
// behind fd. Its arguments go to Addr, Len, Addr3 and AttrMask, and on a
// SetupSQE128 ring to SQE128.Ext: set them after the Prep. What must stay
// referenced, and Res, depend on the command. EOPNOTSUPP if fd has none.
// Linux 5.19.
func (s *SQE) PrepURingCmd(fd int32, cmd uint32, ud UserData) {
	*s = SQE{Opcode: OpUringCmd, Fd: fd, Off: uint64(cmd), UserData: ud}
}

// PrepBlockDiscard fills s with the command to discard n bytes of block device
// fd from byte off on. No Go memory reaches the kernel. Linux 6.12.
func (s *SQE) PrepBlockDiscard(fd int32, off, n uint64, ud UserData) {
	s.PrepURingCmd(fd, blockURingCmdDiscard, ud)
	s.Addr, s.Addr3 = off, n
}

const blockURingCmdDiscard = 0x1200 // BLOCK_URING_CMD_DISCARD, _IO(0x12, 0)

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
