//go:build linux

package ring

import (
	"bufio"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
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

// constants are the package's, by the header's name.
func constants() map[string]uint64 {
	m := map[string]uint64{
		"IORING_OFF_SQ_RING": offSQRing, "IORING_OFF_CQ_RING": offCQRing, "IORING_OFF_SQES": offSQEs,
		"IORING_OFF_PBUF_RING": offPbufRing, "IORING_OFF_PBUF_SHIFT": offPbufShift,
		"IORING_ENTER_GETEVENTS": enterGetevents, "IORING_ENTER_SQ_WAKEUP": enterSQWakeup,
		"IORING_ENTER_SQ_WAIT": enterSQWait, "IORING_ENTER_EXT_ARG": enterExtArg,
		"IORING_ENTER_REGISTERED_RING": enterRegisteredRing, "IORING_ENTER_ABS_TIMER": enterAbsTimer,
		"IORING_ENTER_EXT_ARG_REG": enterExtArgReg, "IORING_ENTER_NO_IOWAIT": enterNoIowait,
		"IORING_SQ_NEED_WAKEUP": sqNeedWakeup, "IORING_SQ_CQ_OVERFLOW": sqCQOverflow, "IORING_SQ_TASKRUN": sqTaskrun,
		"IORING_CQ_EVENTFD_DISABLED": cqEventFDDisabled, "IO_URING_OP_SUPPORTED": probeOpSupported,
		"IORING_REGISTER_USE_REGISTERED_RING": uint64(registerUseRegisteredRing),
		"IORING_RSRC_REGISTER_SPARSE":         rsrcRegisterSparse, "IORING_REGISTER_FILES_SKIP": 1<<64 - 2,
		"IORING_MEM_REGION_TYPE_USER": memRegionTypeUser, "IORING_MEM_REGION_REG_WAIT_ARG": memRegionWaitArg,
		"IORING_REGISTER_SRC_REGISTERED": cloneSrcRegistered, "IORING_REGISTER_DST_REPLACE": uint64(CloneReplace),
		"IORING_ACCEPT_MULTISHOT": acceptMultishot, "IORING_ACCEPT_DONTWAIT": uint64(AcceptDontwait),
		"IORING_ACCEPT_POLL_FIRST": uint64(AcceptPollFirst), "IORING_RECVSEND_POLL_FIRST": recvsendPollFirst,
		"IORING_RECV_MULTISHOT": recvMultishot, "IORING_RECVSEND_FIXED_BUF": recvsendFixedBuf,
		"IORING_SEND_ZC_REPORT_USAGE": sendZCReportUsage, "IORING_RECVSEND_BUNDLE": recvsendBundle,
		"IORING_SEND_VECTORIZED": sendVectorized, "IORING_NOTIF_USAGE_ZC_COPIED": notifUsageZCCopied,
		"IORING_POLL_ADD_MULTI": pollAddMulti, "IORING_POLL_UPDATE_EVENTS": pollUpdateEvents,
		"IORING_POLL_UPDATE_USER_DATA": pollUpdateUserData,
		"IORING_MSG_DATA":              msgData, "IORING_MSG_SEND_FD": msgSendFD, "IORING_RW_ATTR_FLAG_PI": attrFlagPI,
		"IORING_CQE_BUFFER_SHIFT": cqeBufferShift, "IORING_CQE_F_32": uint64(CQE32Bytes),
		"IORING_CQE_F_TSTAMP_HW": uint64(CQETstampHW), "IORING_TIMESTAMP_HW_SHIFT": cqeTimestampHWShift,
		"IORING_TIMESTAMP_TYPE_SHIFT": cqeTimestampHWShift + 1,
		"IORING_TIMEOUT_ABS":          uint64(TimeoutAbs), "IORING_TIMEOUT_UPDATE": timeoutUpdate,
		"IORING_TIMEOUT_BOOTTIME": uint64(TimeoutBoottime), "IORING_TIMEOUT_REALTIME": uint64(TimeoutRealtime),
		"IORING_LINK_TIMEOUT_UPDATE": linkTimeoutUpdate, "IORING_TIMEOUT_ETIME_SUCCESS": uint64(TimeoutETimeSuccess),
		"IORING_TIMEOUT_MULTISHOT":  uint64(TimeoutMultishot),
		"IORING_TIMEOUT_CLOCK_MASK": uint64(TimeoutBoottime | TimeoutRealtime), "IORING_TIMEOUT_UPDATE_MASK": timeoutUpdate | linkTimeoutUpdate,
		"IORING_FSYNC_DATASYNC": uint64(FsyncDatasync), "IORING_MSG_RING_CQE_SKIP": uint64(MsgRingCQESkip),
		"IORING_MSG_RING_FLAGS_PASS": uint64(MsgRingFlagsPass), "IORING_FIXED_FD_NO_CLOEXEC": uint64(InstallNoCloexec),
		"IORING_NOP_INJECT_RESULT": uint64(NopInjectResult), "IORING_NOP_CQE32": uint64(NopCQE32),
		"IORING_FILE_INDEX_ALLOC": FileIndexAlloc, "IORING_REG_WAIT_TS": uint64(RegWaitTS),
		"IORING_URING_CMD_FIXED": uringCmdFixed, "IORING_URING_CMD_MASK": uringCmdFixed,
		"IOU_PBUF_RING_MMAP": uint64(bufRingMmap), "IOU_PBUF_RING_INC": uint64(BufRingInc),
		"IORING_RESTRICTION_REGISTER_OP": restrictionRegisterOp, "IORING_RESTRICTION_SQE_OP": restrictionSQEOp,
		"IORING_RESTRICTION_SQE_FLAGS_ALLOWED":  restrictionSQEFlagsAllowed,
		"IORING_RESTRICTION_SQE_FLAGS_REQUIRED": restrictionSQEFlagsRequired,
		"SOCKET_URING_OP_SIOCINQ":               socketOpSIOCINQ, "SOCKET_URING_OP_SIOCOUTQ": socketOpSIOCOUTQ,
		"SOCKET_URING_OP_GETSOCKOPT": socketOpGetsockopt, "SOCKET_URING_OP_SETSOCKOPT": socketOpSetsockopt,
		"SOCKET_URING_OP_TX_TIMESTAMP": socketOpTxTimestamp, "IORING_ZCRX_AREA_SHIFT": zcrxAreaShift,
	}
	// A flag's name is that of its bit, an operation's that of its number.
	for prefix, names := range map[string][]string{
		"IORING_SETUP_": setupNames[:], "IORING_FEAT_": featureNames[:], "IOSQE_": sqeNames[:],
		"IORING_CQE_F_": cqeNames[:], "IORING_ASYNC_CANCEL_": cancelNames[:],
	} {
		for i, n := range names {
			m[prefix+n] = 1 << i
		}
	}
	for i, n := range sqeNames {
		m["IOSQE_"+n+"_BIT"] = uint64(i)
	}
	for i, n := range opNames {
		m["IORING_OP_"+n] = uint64(i)
	}
	for i, n := range registerNames {
		m["IORING_"+n] = uint64(i)
	}
	return m
}

// notBound are the header's constants that this package has no use for: newer
// than Linux 6.18, ends of enumerations, masks.
var notBound = map[string]string{
	"IORING_OP_LAST": "end", "IORING_REGISTER_LAST": "end", "IORING_RESTRICTION_LAST": "end",
	"IORING_OFF_MMAP_MASK": "mask", "IORING_ZCRX_AREA_MASK": "mask",
	"IO_WQ_BOUND": "an index", "IO_WQ_UNBOUND": "an index",
	"IORING_POLL_ADD_LEVEL":   "no request takes it: EINVAL on Linux 6.18",
	"IORING_ZCRX_AREA_DMABUF": "in a comment", "IORING_SETUP_SQE_MIXED": "6.19",
	"IORING_SETUP_SQ_REWIND": "7.0", "IORING_TIMEOUT_IMMEDIATE_ARG": "7.0",
	"IORING_REGISTER_ZCRX_CTRL": "6.19", "IORING_REGISTER_BPF_FILTER": "7.0",
	"SOCKET_URING_OP_GETSOCKNAME": "6.19", "ZCRX_CTRL_EXPORT": "6.19", "ZCRX_CTRL_FLUSH_RQ": "6.19",
	"ZCRX_FEATURE_RX_PAGE_SIZE": "6.19", "ZCRX_REG_IMPORT": "6.19", "ZCRX_REG_NODEV": "7.0",
}

func TestABIConstants(t *testing.T) {
	h, consts := readHeader(t), constants()
	for name, got := range consts {
		if want, ok := h.consts[name]; !ok || got != want {
			t.Errorf("%s = %d, want %d (in header: %v)", name, got, want, ok)
		}
	}
	for name := range h.consts {
		_, bound := consts[name]
		if _, not := notBound[name]; bound == not {
			t.Errorf("%s: bound %v, listed as not bound %v", name, bound, not)
		}
	}
	if got, want := uint64(len(opNames)), h.consts["IORING_OP_LAST"]; got != want {
		t.Errorf("%d operations have names, want %d", got, want)
	}
	// The last of each list, which fix the others.
	last := map[string][2]uint64{
		"SetupCQEMixed":     {uint64(SetupCQEMixed), h.consts["IORING_SETUP_CQE_MIXED"]},
		"FeatNoIowait":      {uint64(FeatNoIowait), h.consts["IORING_FEAT_NO_IOWAIT"]},
		"SQECQESkipSuccess": {uint64(SQECQESkipSuccess), h.consts["IOSQE_CQE_SKIP_SUCCESS"]},
		"CQESkip":           {uint64(CQESkip), h.consts["IORING_CQE_F_SKIP"]},
		"CancelOp":          {uint64(CancelOp), h.consts["IORING_ASYNC_CANCEL_OP"]},
		"OpUringCmd128":     {uint64(OpUringCmd128), h.consts["IORING_OP_URING_CMD128"]},
		"OpSend":            {uint64(OpSend), h.consts["IORING_OP_SEND"]},
		"registerQuery":     {uint64(registerQuery), h.consts["IORING_REGISTER_QUERY"]},
	}
	for name, v := range last {
		if v[0] != v[1] {
			t.Errorf("%s = %d, want %d", name, v[0], v[1])
		}
	}
}

// boundStructs are the package's, by the header's name.
var boundStructs = map[string]any{
	"io_uring_sqe": SQE{}, "io_uring_cqe": CQE{}, "io_uring_params": setupParams{},
	"io_sqring_offsets": sqOffsets{}, "io_cqring_offsets": cqOffsets{}, "io_timespec": Timespec{},
	"io_uring_getevents_arg": geteventsArg{}, "io_uring_buf_reg": bufReg{}, "io_uring_buf": buf{},
	"io_uring_rsrc_update": rsrcUpdate{},
	"io_uring_probe_op":    probeOp{}, "io_uring_probe": probe{}, "io_uring_rsrc_register": rsrcRegister{},
	"io_uring_rsrc_update2": rsrcUpdate2{}, "io_uring_restriction": restriction{},
	"io_uring_file_index_range": fileIndexRange{}, "io_uring_buf_status": bufStatus{}, "io_uring_napi": napi{},
	"io_uring_clock_register": clockRegister{}, "io_uring_clone_buffers": cloneBuffers{},
	"io_uring_sync_cancel_reg": syncCancelReg{}, "io_uring_region_desc": regionDesc{},
	"io_uring_mem_region_reg": memRegionReg{}, "io_uring_reg_wait": RegWait{}, "io_uring_zcrx_offsets": ZcrxOffsets{},
	"io_uring_zcrx_area_reg": ZcrxAreaReg{}, "io_uring_zcrx_ifq_reg": ZcrxIfqReg{}, "io_uring_zcrx_rqe": ZcrxRqe{},
	"io_uring_zcrx_cqe": ZcrxCQE{}, "io_uring_attr_pi": AttrPI{}, "io_uring_recvmsg_out": recvmsgOut{},
	"io_uring_files_update": rsrcUpdate{},
}

// unboundStructs are the header's that this package has no use for.
var unboundStructs = map[string]string{
	"io_uring_buf_ring":         "the tail lies over the first io_uring_buf's resv",
	"io_uring_task_restriction": "7.0", "zcrx_ctrl": "6.19", "zcrx_ctrl_export": "6.19", "zcrx_ctrl_flush_rq": "6.19",
}

// unionNames are the Go fields that have other names than C's, mostly those
// that one field has for several members of a union.
var unionNames = map[string]string{
	"io_uring_sqe.addr2": "Off", "io_uring_sqe.cmd_op": "Off:4", "io_uring_sqe.__pad1": "Off+4",
	"io_uring_sqe.level": "Addr:4", "io_uring_sqe.optname": "Addr+4", "io_uring_sqe.splice_off_in": "Addr",
	"io_uring_sqe.poll_events": "OpFlags:2", "io_uring_sqe.poll32_events": "OpFlags",
	"io_uring_sqe.fadvise_advice": "OpFlags", "io_uring_sqe.buf_index": "BufGroup",
	"io_uring_sqe.optlen": "FileIndex", "io_uring_sqe.splice_fd_in": "FileIndex", "io_uring_sqe.zcrx_ifq_idx": "FileIndex",
	"io_uring_sqe.addr_len": "FileIndex:2", "io_uring_sqe.__pad3": "FileIndex+2",
	"io_uring_sqe.attr_ptr": "Addr3", "io_uring_sqe.optval": "Addr3", "io_uring_sqe.cmd": "Addr3:0",
	"io_uring_sqe.attr_type_mask": "AttrMask", "io_uring_sqe.__pad2": "AttrMask",
	"io_uring_restriction.register_op": "arg", "io_uring_restriction.sqe_op": "arg", "io_uring_restriction.sqe_flags": "arg",
	"io_uring_napi.pad": "opcode:3", "io_uring_napi.resv": "opParam:8", // before 6.13
	"io_timespec.tv_sec": "Sec", "io_timespec.tv_nsec": "Nsec", "io_uring_files_update.fds": "data",
}

// goField finds C field name of struct cs in the Go struct of type typ.
func goField(typ reflect.Type, cs, name string) (off, size uintptr, ok bool) {
	want, known := unionNames[cs+"."+name]
	if !known {
		want = name
		if cs == "io_uring_sqe" && name != "flags" && strings.HasSuffix(name, "_flags") {
			want = "OpFlags"
		}
	}
	want, sizeText, sized := strings.Cut(want, ":")
	want, addText, added := strings.Cut(want, "+")
	want = strings.ReplaceAll(want, "_", "")
	f, ok := typ.FieldByNameFunc(func(s string) bool { return strings.EqualFold(s, want) })
	if !ok {
		return 0, 0, false
	}
	off, size = f.Offset, f.Type.Size()
	if n, _ := strconv.Atoi(addText); added {
		off, size = off+uintptr(n), size-uintptr(n)
	}
	if n, _ := strconv.Atoi(sizeText); sized {
		size = uintptr(n)
	}
	return off, size, true
}

func TestABIStructs(t *testing.T) {
	h := readHeader(t)
	for name, want := range h.sizes {
		v, ok := boundStructs[name]
		if _, not := unboundStructs[name]; not == ok {
			t.Errorf("%s: bound %v, listed as not bound %v", name, ok, not)
		}
		if !ok {
			continue
		}
		got := reflect.TypeOf(v).Size()
		if name == "io_uring_probe" {
			got = unsafe.Offsetof(probe{}.ops)
		}
		if got != want {
			t.Errorf("sizeof %s = %d, want %d", name, got, want)
		}
	}
	n := 0
	for name, want := range h.fields {
		cs, field, _ := strings.Cut(name, ".")
		v, ok := boundStructs[cs]
		if !ok {
			continue
		}
		n++
		off, size, ok := goField(reflect.TypeOf(v), cs, field)
		if !ok || off != want[0] || size != want[1] {
			t.Errorf("%s at offset %d, size %d; want %d (found: %v)", name, off, size, want, ok)
		}
	}
	t.Logf("%d constants, %d structs, %d fields", len(h.consts), len(h.sizes), n)
}

// The query interface has a header of its own, which the figures do not cover.
func TestABIQuery(t *testing.T) {
	var hdr queryHdr
	var q queryOpcode
	var w FutexWaitV
	for name, v := range map[string][2]uintptr{
		"sizeof query_hdr":           {unsafe.Sizeof(hdr), 40},
		"query_hdr.query_op":         {unsafe.Offsetof(hdr.queryOp), 16},
		"query_hdr.result":           {unsafe.Offsetof(hdr.result), 24},
		"sizeof query_opcode":        {unsafe.Sizeof(q), 48},
		"query_opcode.feature_flags": {unsafe.Offsetof(q.featureFlags), 8},
		"query_opcode.sqe_flags":     {unsafe.Offsetof(q.sqeFlags), 32},
		"sizeof futex_waitv":         {unsafe.Sizeof(w), 24},
		"futex_waitv.uaddr":          {unsafe.Offsetof(w.addr), 8},
		"futex_waitv.flags":          {unsafe.Offsetof(w.Flags), 16},
		"sizeof SQE128":              {unsafe.Sizeof(SQE128{}), 128},
		"SQE128.Ext":                 {unsafe.Offsetof(SQE128{}.Ext), 64},
		"sizeof CQE32":               {unsafe.Sizeof(CQE32{}), 32},
		"sizeof CPUSet":              {unsafe.Sizeof(unix.CPUSet{}), 128},
	} {
		if v[0] != v[1] {
			t.Errorf("%s = %d, want %d", name, v[0], v[1])
		}
	}
}
