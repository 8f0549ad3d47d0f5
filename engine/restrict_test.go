//go:build linux

package engine

import (
	"errors"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/engine/ring"
	"github.com/quoit-go/quoit/internal/testenv"
)

// A ring of the engine's refuses what the engine does not ask for, and takes what it
// does.
func TestRestrict(t *testing.T) {
	if !mayRestrict() {
		t.Skip("there is a seccomp filter, or no /proc: rings are not restricted")
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	r, err := setupRing(Options{Entries: 64, Share: 1})
	if err != nil {
		testenv.NoRing(t, err)
	}
	defer r.Close()
	result := func(prep func(*ring.SQE)) error {
		prep(r.NextSQE())
		if err := r.WaitCQEs(1, testenv.Bound); err != nil {
			t.Fatal(err)
		}
		var c [1]ring.CQE
		r.PeekCQEs(c[:])
		return c[0].Err()
	}
	allowed := []ring.Op{ring.OpPollAdd, ring.OpSend, ring.OpAsyncCancel}
	for op := range ring.OpSendMsgZC { // all of Linux 6.1
		err := result(func(s *ring.SQE) { *s = ring.SQE{Opcode: op, Fd: -1} })
		want := unix.EACCES
		for _, a := range allowed {
			if op == a {
				want = unix.EBADF
			}
		}
		if op == ring.OpAsyncCancel {
			want = unix.ENOENT // there is nothing to cancel
		}
		if !errors.Is(err, want) {
			t.Errorf("%v: %v, want %v", op, err, want)
		}
	}
	for _, flag := range []ring.SQEFlags{ring.SQEFixedFile, ring.SQEIODrain, ring.SQEIOLink, ring.SQEIOHardlink, ring.SQEAsync} {
		err := result(func(s *ring.SQE) { s.PrepSend(-1, nil, 0, 1); s.SetFlags(flag) })
		if !errors.Is(err, unix.EACCES) {
			t.Errorf("a send with %v: %v", flag, err)
		}
	}
	if err := r.RegisterEventFD(0); !errors.Is(err, unix.EACCES) {
		t.Errorf("RegisterEventFD: %v", err)
	}
	if _, err := r.RegisterPersonality(); !errors.Is(err, unix.EACCES) {
		t.Errorf("RegisterPersonality: %v", err)
	}
}
