//go:build linux

package ring

import "math"

func (a *prepArgs) pollOps() []prepCase {
	const ud = prepUD
	return []prepCase{
		{"poll", func(s *SQE) { s.PrepPollAdd(9, 0x10000001, ud) }, SQE{Opcode: 6, Fd: 9, OpFlags: 0x10000001},
			"io_uring_prep_poll_add(sqe, 9, 0x10000001)"},
		{"poll multishot", func(s *SQE) { s.PrepPollMultishot(9, 1, ud) }, SQE{Opcode: 6, Fd: 9, Len: 1, OpFlags: 1},
			"io_uring_prep_poll_multishot(sqe, 9, 1)"},
		{"poll remove", func(s *SQE) { s.PrepPollRemove(77, ud) }, SQE{Opcode: 7, Fd: -1, Addr: 77}, "io_uring_prep_poll_remove(sqe, 77)"},
		{"poll update", func(s *SQE) {
			s.PrepPollUpdate(77, PollUpdate{Events: 5, UserData: 88, NewEvents: true, NewUserData: true, Multishot: true}, ud)
		}, SQE{Opcode: 7, Fd: -1, Off: 88, Addr: 77, Len: 7, OpFlags: 5}, "io_uring_prep_poll_update(sqe, 77, 88, 5, 7)"},
		{"poll update user data", func(s *SQE) { s.PrepPollUpdate(77, PollUpdate{UserData: 88, NewUserData: true}, ud) },
			SQE{Opcode: 7, Fd: -1, Off: 88, Addr: 77, Len: 4}, "io_uring_prep_poll_update(sqe, 77, 88, 0, 4)"},
		{"epoll_ctl", func(s *SQE) { s.PrepEpollCtl(9, 10, 1, &a.ev[0], ud) }, SQE{Opcode: 29, Fd: 9, Off: 10, Addr: a.pEv, Len: 1},
			sprintf("io_uring_prep_epoll_ctl(sqe, 9, 10, 1, (void*)%d)", a.pEv)},
		{"epoll_wait", func(s *SQE) { s.PrepEpollWait(9, a.ev, ud) }, SQE{Opcode: 59, Fd: 9, Addr: a.pEv, Len: 5},
			sprintf("io_uring_prep_epoll_wait(sqe, 9, (void*)%d, 5, 0)", a.pEv)},
	}
}

func (a *prepArgs) timeoutOps() []prepCase {
	const ud = prepUD
	return []prepCase{
		{"timeout", func(s *SQE) { s.PrepTimeout(a.ts, 3, TimeoutAbs|TimeoutBoottime, ud) },
			SQE{Opcode: 11, Fd: -1, Off: 3, Addr: a.pTs, Len: 1, OpFlags: 5}, sprintf("io_uring_prep_timeout(sqe, (void*)%d, 3, 5)", a.pTs)},
		{"timeout multishot", func(s *SQE) { s.PrepTimeout(a.ts, 0, TimeoutMultishot, ud) },
			SQE{Opcode: 11, Fd: -1, Addr: a.pTs, Len: 1, OpFlags: 64}, sprintf("io_uring_prep_timeout(sqe, (void*)%d, 0, 64)", a.pTs)},
		{"timeout remove", func(s *SQE) { s.PrepTimeoutRemove(77, ud) }, SQE{Opcode: 12, Fd: -1, Addr: 77},
			"io_uring_prep_timeout_remove(sqe, 77, 0)"},
		{"timeout update", func(s *SQE) { s.PrepTimeoutUpdate(77, a.ts, TimeoutAbs, ud) },
			SQE{Opcode: 12, Fd: -1, Off: a.pTs, Addr: 77, OpFlags: 3}, sprintf("io_uring_prep_timeout_update(sqe, (void*)%d, 77, 1)", a.pTs)},
		{"link timeout update", func(s *SQE) { s.PrepLinkTimeoutUpdate(77, a.ts, 0, ud) },
			SQE{Opcode: 12, Fd: -1, Off: a.pTs, Addr: 77, OpFlags: 18}, sprintf("io_uring_prep_timeout_update(sqe, (void*)%d, 77, 16)", a.pTs)},
		{"link timeout", func(s *SQE) { s.PrepLinkTimeout(a.ts, TimeoutRealtime, ud) },
			SQE{Opcode: 15, Fd: -1, Addr: a.pTs, Len: 1, OpFlags: 8}, sprintf("io_uring_prep_link_timeout(sqe, (void*)%d, 8)", a.pTs)},
	}
}

func (a *prepArgs) cancelOps() []prepCase {
	const ud = prepUD
	return []prepCase{
		{"cancel", func(s *SQE) { s.PrepCancel(0x1122334455667788, CancelAll, ud) },
			SQE{Opcode: 14, Fd: -1, Addr: 0x1122334455667788, OpFlags: 1}, "io_uring_prep_cancel64(sqe, 0x1122334455667788, 1)"},
		{"cancel any", func(s *SQE) { s.PrepCancel(0, CancelAny, ud) }, SQE{Opcode: 14, Fd: -1, OpFlags: 4}, "io_uring_prep_cancel64(sqe, 0, 4)"},
		{"cancel fd", func(s *SQE) { s.PrepCancelFD(10, CancelAll, ud) }, SQE{Opcode: 14, Fd: 10, OpFlags: 3}, "io_uring_prep_cancel_fd(sqe, 10, 1)"},
		{"cancel fixed", func(s *SQE) { s.PrepCancelFDFixed(10, 0, ud) }, SQE{Opcode: 14, Fd: 10, OpFlags: 10}, "io_uring_prep_cancel_fd(sqe, 10, 8)"},
		{"cancel op", func(s *SQE) { s.PrepCancelOp(OpRead, 7, CancelUserData|CancelAll, ud) },
			SQE{Opcode: 14, Fd: -1, Addr: 7, Len: 22, OpFlags: 0x31}, "io_uring_prep_cancel64(sqe, 7, 0x31); sqe->len = 22"},
	}
}

func (a *prepArgs) ringOps() []prepCase {
	const ud = prepUD
	return []prepCase{
		{"msg ring", func(s *SQE) { s.PrepMsgRing(11, 12, math.MaxUint64, ud) }, SQE{Opcode: 40, Fd: 11, Off: math.MaxUint64, Len: 12},
			"io_uring_prep_msg_ring(sqe, 11, 12, -1, 0)"},
		{"msg ring flags", func(s *SQE) { s.PrepMsgRingFlags(11, 12, 13, CQEMore, ud) },
			SQE{Opcode: 40, Fd: 11, Off: 13, Len: 12, OpFlags: 2, FileIndex: 2}, "io_uring_prep_msg_ring_cqe_flags(sqe, 11, 12, 13, 0, 2)"},
		{"msg ring fd", func(s *SQE) { s.PrepMsgRingFD(11, 4, 5, 13, MsgRingCQESkip, ud) },
			SQE{Opcode: 40, Fd: 11, Off: 13, Addr: 1, OpFlags: 1, FileIndex: 6, Addr3: 4}, "io_uring_prep_msg_ring_fd(sqe, 11, 4, 5, 13, 1)"},
		{"msg ring fd alloc", func(s *SQE) { s.PrepMsgRingFD(11, 4, FileIndexAlloc, 13, 0, ud) },
			SQE{Opcode: 40, Fd: 11, Off: 13, Addr: 1, FileIndex: 1<<32 - 1, Addr3: 4}, "io_uring_prep_msg_ring_fd_alloc(sqe, 11, 4, 13, 0)"},
	}
}

func (a *prepArgs) bufferOps() []prepCase {
	const ud = prepUD
	return []prepCase{
		{"provide buffers", func(s *SQE) { s.PrepProvideBuffers(a.b, 25, 4, 8, 9, ud) },
			SQE{Opcode: 31, Fd: 4, Off: 9, Addr: a.pB, Len: 25, BufGroup: 8}, sprintf("io_uring_prep_provide_buffers(sqe, (void*)%d, 25, 4, 8, 9)", a.pB)},
		{"remove buffers", func(s *SQE) { s.PrepRemoveBuffers(4, 8, ud) }, SQE{Opcode: 32, Fd: 4, BufGroup: 8}, "io_uring_prep_remove_buffers(sqe, 4, 8)"},
	}
}

func (a *prepArgs) processOps() []prepCase {
	const ud = prepUD
	const private32 = Futex32 | FutexPrivate
	return []prepCase{
		{"futex wait", func(s *SQE) { s.PrepFutexWait(a.word, 7, FutexAny, private32, ud) },
			SQE{Opcode: 51, Fd: 130, Off: 7, Addr: a.pWord, Addr3: 1<<32 - 1},
			sprintf("io_uring_prep_futex_wait(sqe, (void*)%d, 7, 0xffffffff, 130, 0)", a.pWord)},
		{"futex wake", func(s *SQE) { s.PrepFutexWake(a.word, 1, FutexAny, private32, ud) },
			SQE{Opcode: 52, Fd: 130, Off: 1, Addr: a.pWord, Addr3: 1<<32 - 1},
			sprintf("io_uring_prep_futex_wake(sqe, (void*)%d, 1, 0xffffffff, 130, 0)", a.pWord)},
		{"futex waitv", func(s *SQE) { s.PrepFutexWaitV(a.ws, ud) }, SQE{Opcode: 53, Addr: a.pWs, Len: 6},
			sprintf("io_uring_prep_futex_waitv(sqe, (void*)%d, 6, 0)", a.pWs)},
		{"waitid", func(s *SQE) { s.PrepWaitID(1, 99, a.info, 4, ud) }, SQE{Opcode: 50, Fd: 99, Off: a.pInfo, Len: 1, FileIndex: 4},
			sprintf("io_uring_prep_waitid(sqe, 1, 99, (void*)%d, 4, 0)", a.pInfo)},
	}
}
