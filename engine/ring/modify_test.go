//go:build linux

package ring

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/internal/testenv"
)

// Each modifier on an entry of each operation: race builds refuse those that
// would say something else there.
func TestModifiers(t *testing.T) {
	sends := []Op{OpSend, OpSendMsg, OpSendZC, OpSendMsgZC}
	rw := []Op{OpRead, OpReadV, OpReadFixed, OpReadVFixed, OpWrite, OpWriteV, OpWriteFixed, OpWriteVFixed}
	modifiers := []struct {
		name string
		set  func(s *SQE)
		ops  []Op // nil for all
	}{
		{"SetFlags", func(s *SQE) { s.SetFlags(SQEAsync) }, nil},
		{"SetPersonality", func(s *SQE) { s.SetPersonality(1) }, nil},
		{"SetPollFirst", (*SQE).SetPollFirst, append([]Op{OpRecv, OpRecvMsg, OpRecvZC}, sends...)},
		{"SetBufferGroup", func(s *SQE) { s.SetBufferGroup(1) }, []Op{OpRead, OpReadV, OpReadMultishot, OpRecv, OpRecvMsg, OpSend}},
		{"SetBundle", (*SQE).SetBundle, []Op{OpSend, OpRecv}},
		{"SetReportUsage", (*SQE).SetReportUsage, []Op{OpSendZC, OpSendMsgZC}},
		{"SetFixedBuffer", func(s *SQE) { s.SetFixedBuffer(1) }, []Op{OpSendZC, OpSendMsgZC, OpUringCmd}},
		{"SetAddr", func(s *SQE) { s.SetAddr(new(Sockaddr)) }, []Op{OpSend, OpSendZC}},
		{"SetAccept", func(s *SQE) { s.SetAccept(AcceptDontwait) }, []Op{OpAccept}},
		{"SetAttrPI", func(s *SQE) { s.SetAttrPI(new(AttrPI)) }, rw},
	}
	panics := func(f func()) (did bool) {
		defer func() { did = recover() != nil }()
		f()
		return false
	}
	for _, m := range modifiers {
		right := map[Op]bool{}
		for _, op := range m.ops {
			right[op] = true
		}
		for op := range OpUringCmd128 + 1 {
			s := SQE{Opcode: op, Fd: 3}
			if wrong := m.ops != nil && !right[op]; panics(func() { m.set(&s) }) != (wrong && testenv.Race) {
				t.Errorf("%s on %v", m.name, op)
			}
		}
		if panics(func() { m.set(new(SQE)) }) != testenv.Race {
			t.Errorf("%s before a Prep", m.name)
		}
	}
}

// In race builds an entry is empty when it is handed out, whatever its place
// was used for, and must not be submitted so.
func TestNextSQECleared(t *testing.T) {
	for _, flags := range []SetupFlags{0, SetupSQE128} {
		r := newRing(t, Params{Entries: 2, Flags: flags})
		b := make([]byte, 8)
		fd := tempFile(t, "some text")
		for range 4 {
			want(t, r, 8, func(s *SQE) {
				if testenv.Race && *s != (SQE{}) {
					t.Errorf("handed out %+v", s)
				}
				s.PrepRead(fd, b, 0, 1)
				s.SetFlags(SQEAsync)
			})
		}
		s := r.NextSQE()
		if testenv.Race {
			misuse(t, "had no Prep", func() { _, _ = r.Submit() })
			misuse(t, "SetFlags before a Prep", func() { s.SetFlags(SQEIOLink) })
		}
		s.PrepPollAdd(fd, unix.POLLIN, 1)
		reap(t, r, 1)
	}
}
