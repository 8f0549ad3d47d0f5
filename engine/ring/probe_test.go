//go:build linux

package ring

import (
	"testing"

	"github.com/quoit-go/quoit/internal/testenv"
)

func TestQueryLimits(t *testing.T) {
	testenv.NeedKernel(t, "6.18")
	l, err := QueryLimits()
	ok(t, err)
	r := newRing(t, Params{Entries: 4})
	p, err := r.Probe()
	ok(t, err)
	if l.Ops != int(p.p.lastOp)+1 || l.Features&r.Features() != r.Features() || l.SetupFlags&SetupCQEMixed == 0 ||
		l.SQEFlags&SQECQESkipSuccess == 0 || l.EnterFlags&enterNoIowait == 0 || l.RegisterOps <= int(registerQuery) {
		t.Errorf("limits %+v, last operation %v", l, p.p.lastOp)
	}
}

// The kernel knows each operation from the version on that Op documents.
func TestProbeByKernel(t *testing.T) {
	r := newRing(t, Params{Entries: 4})
	p, err := r.Probe()
	ok(t, err)
	since := opKernels(t)
	for op := range Op(len(opNames)) {
		if testenv.HaveKernel(t, since[op]) && !p.Supports(op) {
			t.Errorf("%v: documented for Linux %s, not supported", op, since[op])
		}
	}
	for _, op := range p.Ops() {
		if !p.Supports(op) {
			t.Errorf("%v listed, not supported", op)
		}
	}
	if len(p.Ops()) == 0 || !p.Has(FeatNodrop|FeatExtArg) || p.Has(1<<31) || Features(0).Has(FeatNodrop) {
		t.Error("nothing is supported, or everything")
	}
}

func TestProbe(t *testing.T) {
	r := newRing(t, Params{Entries: 4})
	p, err := r.Probe()
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range []Op{OpNop, OpAccept, OpRecv, OpSend, OpConnect, OpPollAdd, OpAsyncCancel, OpMsgRing, OpSendZC} {
		if !p.Supports(op) {
			t.Errorf("%v is not supported", op)
		}
	}
	if p.Supports(255) {
		t.Error("operation 255 is supported")
	}
}
