//go:build linux

package ring

import (
	"math"
	"testing"
	"unsafe"
)

// Every Prep overwrites all of a dirty entry.
func TestPrep(t *testing.T) {
	const ud = UserData(0x0102030405060708)
	b := make([]byte, 100)
	sa := &Sockaddr{n: 28}
	addr := func(p unsafe.Pointer) uint64 { return uint64(uintptr(p)) }
	tests := []struct {
		name string
		prep func(*SQE)
		want SQE
	}{
		{"nop", func(s *SQE) { s.PrepNop(ud) }, SQE{Opcode: 0, Fd: -1, UserData: ud}},
		{"accept", func(s *SQE) { s.PrepAcceptMultishot(5, 0x80000, ud) },
			SQE{Opcode: 13, Ioprio: 1, Fd: 5, OpFlags: 0x80000, UserData: ud}},
		{"recv", func(s *SQE) { s.PrepRecvMultishot(6, 0xbeef, 0, ud) },
			SQE{Opcode: 27, Flags: 32, Ioprio: 2, Fd: 6, BufGroup: 0xbeef, UserData: ud}},
		{"recv limited", func(s *SQE) { s.PrepRecvMultishot(6, 1, 1<<20, ud) },
			SQE{Opcode: 27, Flags: 32, Ioprio: 2, Fd: 6, BufGroup: 1, FileIndex: 1 << 20, UserData: ud}},
		{"recv poll first", func(s *SQE) { s.PrepRecvMultishot(6, 1, 0, ud); s.SetPollFirst() },
			SQE{Opcode: 27, Flags: 32, Ioprio: 3, Fd: 6, BufGroup: 1, UserData: ud}},
		{"send", func(s *SQE) { s.PrepSend(7, b[1:], 0x4000, ud) },
			SQE{Opcode: 26, Fd: 7, Addr: addr(unsafe.Pointer(&b[1])), Len: 99, OpFlags: 0x4000, UserData: ud}},
		{"send nothing", func(s *SQE) { s.PrepSend(7, nil, 0, ud) }, SQE{Opcode: 26, Fd: 7, UserData: ud}},
		{"connect", func(s *SQE) { s.PrepConnect(8, sa, ud) },
			SQE{Opcode: 16, Fd: 8, Off: 28, Addr: addr(unsafe.Pointer(&sa.raw[0])), UserData: ud}},
		{"poll", func(s *SQE) { s.PrepPollAdd(9, 0x10000001, ud) },
			SQE{Opcode: 6, Fd: 9, OpFlags: 0x10000001, UserData: ud}},
		{"poll multishot", func(s *SQE) { s.PrepPollMultishot(9, 1, ud) },
			SQE{Opcode: 6, Fd: 9, Len: 1, OpFlags: 1, UserData: ud}},
		{"cancel", func(s *SQE) { s.PrepCancel(0x1122334455667788, CancelAll, ud) },
			SQE{Opcode: 14, Fd: -1, Addr: 0x1122334455667788, OpFlags: 1, UserData: ud}},
		{"cancel fd", func(s *SQE) { s.PrepCancelFD(10, CancelAll, ud) },
			SQE{Opcode: 14, Fd: 10, OpFlags: 3, UserData: ud}},
		{"msg ring", func(s *SQE) { s.PrepMsgRing(11, 12, math.MaxUint64, ud) },
			SQE{Opcode: 40, Fd: 11, Off: math.MaxUint64, Len: 12, UserData: ud}},
		{"flags", func(s *SQE) { s.PrepRecvMultishot(6, 1, 0, ud); s.SetFlags(SQEIOLink | SQECQESkipSuccess) },
			SQE{Opcode: 27, Flags: 32 | 4 | 64, Ioprio: 2, Fd: 6, BufGroup: 1, UserData: ud}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var s SQE
			raw := unsafe.Slice((*byte)(unsafe.Pointer(&s)), unsafe.Sizeof(s))
			for i := range raw {
				raw[i] = 0xff
			}
			if tt.prep(&s); s != tt.want {
				t.Errorf("got  %+v\nwant %+v", s, tt.want)
			}
			for i, c := range raw[56:] { // the padding, which == skips
				if c != 0 {
					t.Errorf("byte %d is %#x", 56+i, c)
				}
			}
		})
	}
}

// The kernel may use a slice that was on a stack after that stack has moved.
func TestPrepForcesToHeap(t *testing.T) {
	var s SQE
	n := testing.AllocsPerRun(10, func() {
		var b [64]byte
		s.PrepSend(1, b[:], 0, 0)
	})
	if n != 1 {
		t.Errorf("%v allocations for a local array, want 1", n)
	}
}
