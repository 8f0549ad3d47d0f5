//go:build linux

package ring

func (a *prepArgs) socketOps() []prepCase {
	const ud = prepUD
	return []prepCase{
		{"socket", func(s *SQE) { s.PrepSocket(2, 1, 6, 0, ud) }, SQE{Opcode: 45, Fd: 2, Off: 1, Len: 6}, "io_uring_prep_socket(sqe, 2, 1, 6, 0)"},
		{"socket direct", func(s *SQE) { s.PrepSocketDirect(2, 1, 6, 9, 0, ud) }, SQE{Opcode: 45, Fd: 2, Off: 1, Len: 6, FileIndex: 10},
			"io_uring_prep_socket_direct(sqe, 2, 1, 6, 9, 0)"},
		{"socket direct alloc", func(s *SQE) { s.PrepSocketDirect(2, 1, 6, FileIndexAlloc, 0, ud) },
			SQE{Opcode: 45, Fd: 2, Off: 1, Len: 6, FileIndex: 1<<32 - 1}, "io_uring_prep_socket_direct_alloc(sqe, 2, 1, 6, 0)"},
		{"bind", func(s *SQE) { s.PrepBind(8, a.sa, ud) }, SQE{Opcode: 56, Fd: 8, Off: 28, Addr: a.pSa},
			sprintf("io_uring_prep_bind(sqe, 8, (void*)%d, 28)", a.pSa)},
		{"listen", func(s *SQE) { s.PrepListen(8, 16, ud) }, SQE{Opcode: 57, Fd: 8, Len: 16}, "io_uring_prep_listen(sqe, 8, 16)"},
		{"connect", func(s *SQE) { s.PrepConnect(8, a.sa, ud) }, SQE{Opcode: 16, Fd: 8, Off: 28, Addr: a.pSa},
			sprintf("io_uring_prep_connect(sqe, 8, (void*)%d, 28)", a.pSa)},
		{"shutdown", func(s *SQE) { s.PrepShutdown(8, 2, ud) }, SQE{Opcode: 34, Fd: 8, Len: 2}, "io_uring_prep_shutdown(sqe, 8, 2)"},
	}
}

func (a *prepArgs) acceptOps() []prepCase {
	const ud = prepUD
	accept := func(f func(*SQE)) func(*SQE) { // PrepAccept clears the address
		return func(s *SQE) { n := a.sa.n; f(s); a.sa.n = n }
	}
	return []prepCase{
		{"accept", accept(func(s *SQE) { s.PrepAccept(5, a.sa, 0x80000, ud) }),
			SQE{Opcode: 13, Fd: 5, Off: a.pLen, Addr: a.pSa, OpFlags: 0x80000},
			sprintf("io_uring_prep_accept(sqe, 5, (void*)%d, (void*)%d, 0x80000)", a.pSa, a.pLen)},
		{"accept without address", func(s *SQE) { s.PrepAccept(5, nil, 0x80000, ud) }, SQE{Opcode: 13, Fd: 5, OpFlags: 0x80000},
			"io_uring_prep_accept(sqe, 5, 0, 0, 0x80000)"},
		{"accept direct", func(s *SQE) { s.PrepAcceptDirect(5, nil, 0x800, 9, ud) }, SQE{Opcode: 13, Fd: 5, OpFlags: 0x800, FileIndex: 10},
			"io_uring_prep_accept_direct(sqe, 5, 0, 0, 0x800, 9)"},
		{"accept direct alloc", func(s *SQE) { s.PrepAcceptDirect(5, nil, 0, FileIndexAlloc, ud) }, SQE{Opcode: 13, Fd: 5, FileIndex: 1<<32 - 1},
			"io_uring_prep_accept_direct(sqe, 5, 0, 0, 0, IORING_FILE_INDEX_ALLOC)"},
		{"accept multishot", func(s *SQE) { s.PrepAcceptMultishot(5, 0x80000, ud) }, SQE{Opcode: 13, Ioprio: 1, Fd: 5, OpFlags: 0x80000},
			"io_uring_prep_multishot_accept(sqe, 5, 0, 0, 0x80000)"},
		{"accept multishot direct", func(s *SQE) { s.PrepAcceptMultishotDirect(5, 0, ud) },
			SQE{Opcode: 13, Ioprio: 1, Fd: 5, FileIndex: 1<<32 - 1}, "io_uring_prep_multishot_accept_direct(sqe, 5, 0, 0, 0)"},
		{"accept flags", func(s *SQE) { s.PrepAcceptMultishot(5, 0, ud); s.SetAccept(AcceptDontwait | AcceptPollFirst) },
			SQE{Opcode: 13, Ioprio: 7, Fd: 5}, "io_uring_prep_multishot_accept(sqe, 5, 0, 0, 0); sqe->ioprio |= 6"},
	}
}

func (a *prepArgs) sendOps() []prepCase {
	const ud = prepUD
	return []prepCase{
		{"send", func(s *SQE) { s.PrepSend(7, a.b[1:], 0x4000, ud) }, SQE{Opcode: 26, Fd: 7, Addr: a.pB + 1, Len: 99, OpFlags: 0x4000},
			sprintf("io_uring_prep_send(sqe, 7, (void*)%d, 99, 0x4000)", a.pB+1)},
		{"send nothing", func(s *SQE) { s.PrepSend(7, nil, 0, ud) }, SQE{Opcode: 26, Fd: 7}, "io_uring_prep_send(sqe, 7, 0, 0, 0)"},
		{"sendto", func(s *SQE) { s.PrepSendTo(7, a.b, 0x4000, a.sa, ud) },
			SQE{Opcode: 26, Fd: 7, Off: a.pSa, Addr: a.pB, Len: 100, OpFlags: 0x4000, FileIndex: 28},
			sprintf("io_uring_prep_send(sqe, 7, (void*)%d, 100, 0x4000); io_uring_prep_send_set_addr(sqe, (void*)%d, 28)", a.pB, a.pSa)},
		{"send vectored", func(s *SQE) { s.PrepSendV(7, a.iov, 0x4000, ud) },
			SQE{Opcode: 26, Ioprio: 32, Fd: 7, Addr: a.pIov, Len: 3, OpFlags: 0x4000},
			sprintf("io_uring_prep_send(sqe, 7, (void*)%d, 3, 0x4000); sqe->ioprio |= 32", a.pIov)},
		{"send bundle", func(s *SQE) { s.PrepSendBundle(7, 8, 0, 0x4000, ud) },
			SQE{Opcode: 26, Flags: 32, Ioprio: 16, Fd: 7, OpFlags: 0x4000, BufGroup: 8},
			"io_uring_prep_send_bundle(sqe, 7, 0, 0x4000); sqe->flags |= IOSQE_BUFFER_SELECT; sqe->buf_group = 8"},
		{"send_zc", func(s *SQE) { s.PrepSendZC(7, a.b, 0x4000, ud); s.SetReportUsage() },
			SQE{Opcode: 47, Ioprio: 8, Fd: 7, Addr: a.pB, Len: 100, OpFlags: 0x4000},
			sprintf("io_uring_prep_send_zc(sqe, 7, (void*)%d, 100, 0x4000, 8)", a.pB)},
		{"send_zc fixed", func(s *SQE) { s.PrepSendZC(7, a.b, 0x4000, ud); s.SetFixedBuffer(3) },
			SQE{Opcode: 47, Ioprio: 4, Fd: 7, Addr: a.pB, Len: 100, OpFlags: 0x4000, BufGroup: 3},
			sprintf("io_uring_prep_send_zc_fixed(sqe, 7, (void*)%d, 100, 0x4000, 0, 3)", a.pB)},
		{"sendmsg", func(s *SQE) { s.PrepSendMsg(7, a.msg, 0x4000, ud) }, SQE{Opcode: 9, Fd: 7, Addr: a.pMsg, Len: 1, OpFlags: 0x4000},
			sprintf("io_uring_prep_sendmsg(sqe, 7, (void*)%d, 0x4000)", a.pMsg)},
		{"sendmsg_zc", func(s *SQE) { s.PrepSendMsgZC(7, a.msg, 0x4000, ud) }, SQE{Opcode: 48, Fd: 7, Addr: a.pMsg, Len: 1, OpFlags: 0x4000},
			sprintf("io_uring_prep_sendmsg_zc(sqe, 7, (void*)%d, 0x4000)", a.pMsg)},
		{"sendmsg_zc fixed", func(s *SQE) { s.PrepSendMsgZC(7, a.msg, 0, ud); s.SetFixedBuffer(3) },
			SQE{Opcode: 48, Ioprio: 4, Fd: 7, Addr: a.pMsg, Len: 1, BufGroup: 3},
			sprintf("io_uring_prep_sendmsg_zc_fixed(sqe, 7, (void*)%d, 0, 3)", a.pMsg)},
	}
}

func (a *prepArgs) recvOps() []prepCase {
	const ud = prepUD
	const sel = "; sqe->flags |= IOSQE_BUFFER_SELECT; sqe->buf_group = 0xbeef"
	return []prepCase{
		{"recv", func(s *SQE) { s.PrepRecv(6, a.b, 0x100, ud) }, SQE{Opcode: 27, Fd: 6, Addr: a.pB, Len: 100, OpFlags: 0x100},
			sprintf("io_uring_prep_recv(sqe, 6, (void*)%d, 100, 0x100)", a.pB)},
		{"recv bundle", func(s *SQE) { s.PrepRecv(6, nil, 0, ud); s.SetBufferGroup(0xbeef); s.SetBundle() },
			SQE{Opcode: 27, Flags: 32, Ioprio: 16, Fd: 6, BufGroup: 0xbeef}, "io_uring_prep_recv(sqe, 6, 0, 0, 0); sqe->ioprio |= 16" + sel},
		{"recv multishot", func(s *SQE) { s.PrepRecvMultishot(6, 0xbeef, 0, ud) },
			SQE{Opcode: 27, Flags: 32, Ioprio: 2, Fd: 6, BufGroup: 0xbeef}, "io_uring_prep_recv_multishot(sqe, 6, 0, 0, 0)" + sel},
		{"recv multishot limited", func(s *SQE) { s.PrepRecvMultishot(6, 0xbeef, 1<<20, ud) },
			SQE{Opcode: 27, Flags: 32, Ioprio: 2, Fd: 6, BufGroup: 0xbeef, FileIndex: 1 << 20},
			"io_uring_prep_recv_multishot(sqe, 6, 0, 0, 0); sqe->file_index = 1<<20" + sel},
		{"recv poll first", func(s *SQE) { s.PrepRecvMultishot(6, 0xbeef, 0, ud); s.SetPollFirst() },
			SQE{Opcode: 27, Flags: 32, Ioprio: 3, Fd: 6, BufGroup: 0xbeef},
			"io_uring_prep_recv_multishot(sqe, 6, 0, 0, 0); sqe->ioprio |= IORING_RECVSEND_POLL_FIRST" + sel},
		{"recvmsg", func(s *SQE) { s.PrepRecvMsg(6, a.msg, 0x100, ud) }, SQE{Opcode: 10, Fd: 6, Addr: a.pMsg, Len: 1, OpFlags: 0x100},
			sprintf("io_uring_prep_recvmsg(sqe, 6, (void*)%d, 0x100)", a.pMsg)},
		{"recvmsg multishot", func(s *SQE) { s.PrepRecvMsgMultishot(6, a.msg, 0xbeef, 0x20, ud) },
			SQE{Opcode: 10, Flags: 32, Ioprio: 2, Fd: 6, Addr: a.pMsg, Len: 1, OpFlags: 0x20, BufGroup: 0xbeef},
			sprintf("io_uring_prep_recvmsg_multishot(sqe, 6, (void*)%d, 0x20)", a.pMsg) + sel},
		{"recv_zc", func(s *SQE) { s.PrepRecvZC(6, 3, 9, ud) }, SQE{Opcode: 58, Ioprio: 2, Fd: 6, Len: 9, FileIndex: 3}, ""},
	}
}

func (a *prepArgs) cmdOps() []prepCase {
	const ud = prepUD
	return []prepCase{
		{"uring_cmd", func(s *SQE) { s.PrepURingCmd(6, 0x1234, ud) }, SQE{Opcode: 46, Fd: 6, Off: 0x1234}, "io_uring_prep_uring_cmd(sqe, 0x1234, 6)"},
		{"uring_cmd fixed", func(s *SQE) { s.PrepURingCmd(6, 0x1234, ud); s.SetFixedBuffer(2) },
			SQE{Opcode: 46, Fd: 6, Off: 0x1234, OpFlags: 1, BufGroup: 2},
			"io_uring_prep_uring_cmd(sqe, 0x1234, 6); sqe->rw_flags = 1; sqe->buf_index = 2"},
		{"discard", func(s *SQE) { s.PrepBlockDiscard(6, 4096, 8192, ud) }, SQE{Opcode: 46, Fd: 6, Off: 0x1200, Addr: 4096, Addr3: 8192},
			"io_uring_prep_cmd_discard(sqe, 6, 4096, 8192)"},
		{"siocinq", func(s *SQE) { s.PrepSocketInq(6, ud) }, SQE{Opcode: 46, Fd: 6, Off: 0}, "io_uring_prep_cmd_sock(sqe, 0, 6, 0, 0, 0, 0)"},
		{"siocoutq", func(s *SQE) { s.PrepSocketOutq(6, ud) }, SQE{Opcode: 46, Fd: 6, Off: 1}, "io_uring_prep_cmd_sock(sqe, 1, 6, 0, 0, 0, 0)"},
		{"getsockopt", func(s *SQE) { s.PrepGetsockopt(6, 1, 4, a.b, ud) },
			SQE{Opcode: 46, Fd: 6, Off: 2, Addr: 1 | 4<<32, FileIndex: 100, Addr3: a.pB},
			sprintf("io_uring_prep_cmd_sock(sqe, 2, 6, 1, 4, (void*)%d, 100)", a.pB)},
		{"setsockopt", func(s *SQE) { s.PrepSetsockopt(6, 1, 4, a.b, ud) },
			SQE{Opcode: 46, Fd: 6, Off: 3, Addr: 1 | 4<<32, FileIndex: 100, Addr3: a.pB},
			sprintf("io_uring_prep_cmd_sock(sqe, 3, 6, 1, 4, (void*)%d, 100)", a.pB)},
		{"tx timestamp", func(s *SQE) { s.PrepSocketTxTimestamp(6, ud) }, SQE{Opcode: 46, Fd: 6, Off: 4},
			"io_uring_prep_cmd_sock(sqe, 4, 6, 0, 0, 0, 0)"},
	}
}
