//go:build linux

package ring

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"testing"
	"unsafe"
)

// The literals are those of <linux/io_uring.h>; TestABIHeader compares with
// the compiler's output where the header has the same name.
func TestLayout(t *testing.T) {
	var s SQE
	var c CQE
	var p setupParams
	var b bufReg
	tests := []struct {
		name      string
		got, want uintptr
	}{
		{"sizeof SQE", unsafe.Sizeof(s), 64},
		{"SQE.Opcode", unsafe.Offsetof(s.Opcode), 0},
		{"SQE.Flags", unsafe.Offsetof(s.Flags), 1},
		{"SQE.Ioprio", unsafe.Offsetof(s.Ioprio), 2},
		{"SQE.Fd", unsafe.Offsetof(s.Fd), 4},
		{"SQE.Off", unsafe.Offsetof(s.Off), 8},
		{"SQE.Addr", unsafe.Offsetof(s.Addr), 16},
		{"SQE.Len", unsafe.Offsetof(s.Len), 24},
		{"SQE.OpFlags", unsafe.Offsetof(s.OpFlags), 28},
		{"SQE.UserData", unsafe.Offsetof(s.UserData), 32},
		{"SQE.BufGroup", unsafe.Offsetof(s.BufGroup), 40},
		{"SQE.Personality", unsafe.Offsetof(s.Personality), 42},
		{"SQE.FileIndex", unsafe.Offsetof(s.FileIndex), 44},
		{"SQE.Addr3", unsafe.Offsetof(s.Addr3), 48},
		{"sizeof CQE", unsafe.Sizeof(c), 16},
		{"CQE.UserData", unsafe.Offsetof(c.UserData), 0},
		{"CQE.Res", unsafe.Offsetof(c.Res), 8},
		{"CQE.Flags", unsafe.Offsetof(c.Flags), 12},
		{"sizeof setupParams", unsafe.Sizeof(p), 120},
		{"setupParams.features", unsafe.Offsetof(p.features), 20},
		{"setupParams.sqOff", unsafe.Offsetof(p.sqOff), 40},
		{"setupParams.cqOff", unsafe.Offsetof(p.cqOff), 80},
		{"sizeof bufReg", unsafe.Sizeof(b), 40},
		{"bufReg.bgid", unsafe.Offsetof(b.bgid), 12},
		{"sizeof geteventsArg", unsafe.Sizeof(geteventsArg{}), sizeofGeteventsArg},
		{"sizeof probe", unsafe.Sizeof(probe{}), 16 + 256*8},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("%s = %d, want %d", tt.name, tt.got, tt.want)
		}
	}
}

// header is testdata/io_uring_abi.tsv.
type header struct {
	consts map[string]uint64
	sizes  map[string]uintptr
	fields map[string][2]uintptr // offset, size
}

func readHeader(t *testing.T) header {
	t.Helper()
	f, err := os.Open("testdata/io_uring_abi.tsv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := header{map[string]uint64{}, map[string]uintptr{}, map[string][2]uintptr{}}
	num := func(s string) uint64 {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for sc := bufio.NewScanner(f); sc.Scan(); {
		c := strings.Split(sc.Text(), "\t")
		switch c[0] {
		case "const":
			h.consts[c[1]] = num(c[2])
		case "struct":
			h.sizes[c[1]] = uintptr(num(c[2]))
		case "field":
			h.fields[c[1]] = [2]uintptr{uintptr(num(c[2])), uintptr(num(c[3]))}
		}
	}
	return h
}

func TestABIHeader(t *testing.T) {
	h := readHeader(t)
	consts := map[string]uint64{
		"IORING_OFF_SQ_RING": offSQRing, "IORING_OFF_CQ_RING": offCQRing, "IORING_OFF_SQES": offSQEs,
		"IORING_ENTER_GETEVENTS": enterGetevents, "IORING_ENTER_SQ_WAKEUP": enterSQWakeup,
		"IORING_ENTER_EXT_ARG": enterExtArg, "IORING_ENTER_REGISTERED_RING": enterRegisteredRing,
		"IORING_ENTER_NO_IOWAIT": enterNoIowait,
		"IORING_SQ_NEED_WAKEUP":  sqNeedWakeup, "IORING_SQ_CQ_OVERFLOW": sqCQOverflow, "IORING_SQ_TASKRUN": sqTaskrun,
		"IORING_REGISTER_EVENTFD": registerEventFD, "IORING_UNREGISTER_EVENTFD": unregisterEventFD,
		"IORING_REGISTER_PROBE": registerProbe, "IORING_REGISTER_ENABLE_RINGS": registerEnableRings,
		"IORING_REGISTER_RING_FDS": registerRingFDs, "IORING_UNREGISTER_RING_FDS": unregisterRingFDs,
		"IORING_REGISTER_PBUF_RING": registerPbufRing, "IORING_UNREGISTER_PBUF_RING": unregisterPbufRing,
		"IO_URING_OP_SUPPORTED": probeOpSupported, "IORING_ACCEPT_MULTISHOT": acceptMultishot,
		"IORING_RECVSEND_POLL_FIRST": recvsendPollFirst, "IORING_RECV_MULTISHOT": recvMultishot,
		"IORING_POLL_ADD_MULTI": pollAddMulti, "IORING_MSG_DATA": msgData,
		"IORING_CQE_BUFFER_SHIFT": cqeBufferShift,
	}
	// A flag's name is that of its bit, an operation's that of its number.
	for prefix, names := range map[string][]string{
		"IORING_SETUP_": setupNames[:], "IORING_FEAT_": featureNames[:], "IOSQE_": sqeNames[:],
		"IORING_CQE_F_": cqeNames[:], "IORING_ASYNC_CANCEL_": cancelNames[:],
	} {
		for i, n := range names {
			consts[prefix+n] = 1 << i
		}
	}
	for i, n := range opNames {
		consts["IORING_OP_"+n] = uint64(i)
	}
	for name, got := range consts {
		if want, ok := h.consts[name]; !ok || got != want {
			t.Errorf("%s = %d, want %d (in header: %v)", name, got, want, ok)
		}
	}
	if got, want := uint64(len(opNames)), h.consts["IORING_OP_LAST"]; got != want {
		t.Errorf("%d operations have names, want %d", got, want)
	}
	last := map[string][2]uint64{
		"SetupCQEMixed":     {uint64(SetupCQEMixed), h.consts["IORING_SETUP_CQE_MIXED"]},
		"FeatNoIowait":      {uint64(FeatNoIowait), h.consts["IORING_FEAT_NO_IOWAIT"]},
		"SQECQESkipSuccess": {uint64(SQECQESkipSuccess), h.consts["IOSQE_CQE_SKIP_SUCCESS"]},
		"CQESkip":           {uint64(CQESkip), h.consts["IORING_CQE_F_SKIP"]},
		"CancelOp":          {uint64(CancelOp), h.consts["IORING_ASYNC_CANCEL_OP"]},
		"OpUringCmd128":     {uint64(OpUringCmd128), h.consts["IORING_OP_URING_CMD128"]},
		"OpSend":            {uint64(OpSend), h.consts["IORING_OP_SEND"]},
	}
	for name, v := range last {
		if v[0] != v[1] {
			t.Errorf("%s = %d, want %d", name, v[0], v[1])
		}
	}
}

func TestABIStructs(t *testing.T) {
	h := readHeader(t)
	var s SQE
	var c CQE
	var p setupParams
	var so sqOffsets
	var co cqOffsets
	var a geteventsArg
	var b bufReg
	var u rsrcUpdate
	var pr probe
	var po probeOp
	var ts timespec
	sizes := map[string]uintptr{
		"io_uring_sqe": unsafe.Sizeof(s), "io_uring_cqe": unsafe.Sizeof(c), "io_uring_params": unsafe.Sizeof(p),
		"io_sqring_offsets": unsafe.Sizeof(so), "io_cqring_offsets": unsafe.Sizeof(co),
		"io_uring_getevents_arg": unsafe.Sizeof(a), "io_uring_buf_reg": unsafe.Sizeof(b),
		"io_uring_rsrc_update": unsafe.Sizeof(u), "io_uring_probe_op": unsafe.Sizeof(po),
		"io_uring_probe": unsafe.Offsetof(pr.ops), "io_timespec": unsafe.Sizeof(ts),
	}
	for name, want := range h.sizes {
		if got := sizes[name]; got != want {
			t.Errorf("sizeof %s = %d, want %d", name, got, want)
		}
	}
	fields := map[string][2]uintptr{
		"io_uring_sqe.opcode": {unsafe.Offsetof(s.Opcode), unsafe.Sizeof(s.Opcode)}, "io_uring_sqe.flags": {unsafe.Offsetof(s.Flags), unsafe.Sizeof(s.Flags)},
		"io_uring_sqe.ioprio": {unsafe.Offsetof(s.Ioprio), unsafe.Sizeof(s.Ioprio)}, "io_uring_sqe.fd": {unsafe.Offsetof(s.Fd), unsafe.Sizeof(s.Fd)},
		"io_uring_sqe.off": {unsafe.Offsetof(s.Off), unsafe.Sizeof(s.Off)}, "io_uring_sqe.addr": {unsafe.Offsetof(s.Addr), unsafe.Sizeof(s.Addr)},
		"io_uring_sqe.len": {unsafe.Offsetof(s.Len), unsafe.Sizeof(s.Len)}, "io_uring_sqe.msg_flags": {unsafe.Offsetof(s.OpFlags), unsafe.Sizeof(s.OpFlags)},
		"io_uring_sqe.user_data": {unsafe.Offsetof(s.UserData), unsafe.Sizeof(s.UserData)}, "io_uring_sqe.buf_group": {unsafe.Offsetof(s.BufGroup), unsafe.Sizeof(s.BufGroup)},
		"io_uring_sqe.personality": {unsafe.Offsetof(s.Personality), unsafe.Sizeof(s.Personality)}, "io_uring_sqe.file_index": {unsafe.Offsetof(s.FileIndex), unsafe.Sizeof(s.FileIndex)},
		"io_uring_sqe.optlen": {unsafe.Offsetof(s.FileIndex), unsafe.Sizeof(s.FileIndex)}, "io_uring_sqe.addr3": {unsafe.Offsetof(s.Addr3), unsafe.Sizeof(s.Addr3)},
		"io_uring_cqe.user_data": {unsafe.Offsetof(c.UserData), unsafe.Sizeof(c.UserData)}, "io_uring_cqe.res": {unsafe.Offsetof(c.Res), unsafe.Sizeof(c.Res)},
		"io_uring_cqe.flags":         {unsafe.Offsetof(c.Flags), unsafe.Sizeof(c.Flags)},
		"io_uring_params.sq_entries": {unsafe.Offsetof(p.sqEntries), 4}, "io_uring_params.cq_entries": {unsafe.Offsetof(p.cqEntries), 4},
		"io_uring_params.flags": {unsafe.Offsetof(p.flags), unsafe.Sizeof(p.flags)}, "io_uring_params.features": {unsafe.Offsetof(p.features), unsafe.Sizeof(p.features)},
		"io_uring_params.wq_fd": {unsafe.Offsetof(p.wqFd), 4}, "io_uring_params.sq_off": {unsafe.Offsetof(p.sqOff), unsafe.Sizeof(p.sqOff)},
		"io_uring_params.cq_off": {unsafe.Offsetof(p.cqOff), unsafe.Sizeof(p.cqOff)},
		"io_sqring_offsets.head": {unsafe.Offsetof(so.head), 4}, "io_sqring_offsets.tail": {unsafe.Offsetof(so.tail), 4},
		"io_sqring_offsets.flags": {unsafe.Offsetof(so.flags), 4}, "io_sqring_offsets.array": {unsafe.Offsetof(so.array), 4},
		"io_sqring_offsets.user_addr": {unsafe.Offsetof(so.userAddr), 8},
		"io_cqring_offsets.head":      {unsafe.Offsetof(co.head), 4}, "io_cqring_offsets.tail": {unsafe.Offsetof(co.tail), 4},
		"io_cqring_offsets.overflow": {unsafe.Offsetof(co.overflow), 4}, "io_cqring_offsets.cqes": {unsafe.Offsetof(co.cqes), 4},
		"io_cqring_offsets.user_addr":    {unsafe.Offsetof(co.userAddr), 8},
		"io_uring_getevents_arg.sigmask": {unsafe.Offsetof(a.sigmask), 8}, "io_uring_getevents_arg.sigmask_sz": {unsafe.Offsetof(a.sigmaskSz), 4},
		"io_uring_getevents_arg.min_wait_usec": {unsafe.Offsetof(a.minWaitUsec), 4}, "io_uring_getevents_arg.ts": {unsafe.Offsetof(a.ts), 8},
		"io_uring_buf_reg.ring_addr": {unsafe.Offsetof(b.ringAddr), 8}, "io_uring_buf_reg.ring_entries": {unsafe.Offsetof(b.ringEntries), 4},
		"io_uring_buf_reg.bgid": {unsafe.Offsetof(b.bgid), 2}, "io_uring_buf_reg.flags": {unsafe.Offsetof(b.flags), 2},
		"io_uring_buf_reg.min_left":   {unsafe.Offsetof(b.minLeft), 4},
		"io_uring_rsrc_update.offset": {unsafe.Offsetof(u.offset), 4}, "io_uring_rsrc_update.data": {unsafe.Offsetof(u.data), 8},
		"io_uring_probe.last_op": {unsafe.Offsetof(pr.lastOp), 1}, "io_uring_probe.ops_len": {unsafe.Offsetof(pr.opsLen), 1},
		"io_uring_probe_op.op": {unsafe.Offsetof(po.op), 1}, "io_uring_probe_op.flags": {unsafe.Offsetof(po.flags), 2},
		"io_timespec.tv_sec": {unsafe.Offsetof(ts.sec), 8}, "io_timespec.tv_nsec": {unsafe.Offsetof(ts.nsec), 8},
	}
	for name, got := range fields {
		if want, ok := h.fields[name]; !ok || got != want {
			t.Errorf("%s at offset %d, size %d; want %d", name, got[0], got[1], want)
		}
	}
}
