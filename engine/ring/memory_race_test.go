//go:build linux && race

package ring

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/internal/testenv"
)

// What this package's tests forget is found, too.
func init() { collectFirst = true }

// forgets calls f, which must panic because memory of a request of op was
// collected.
func forgets(t *testing.T, op Op, before string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		p, _ := recover().(string)
		if !strings.Contains(p, op.String()+" ") || !strings.Contains(p, "collected before "+before) {
			t.Errorf("panic %q", p)
		}
	}()
	f()
}

// The mistake that Example_timeout once had: nothing keeps what the entries
// point to. Submit finds it, with no other collection.
func TestForgottenTimeout(t *testing.T) {
	r := newRing(t, Params{Entries: 4})
	pr, _ := pipePair(t)
	forgets(t, OpLinkTimeout, "Submit", func() {
		b, limit := make([]byte, 16), NewTimespec(10*time.Millisecond)
		read := r.NextSQE()
		read.PrepRead(pr, b, CurrentOffset, 1)
		read.SetFlags(SQEIOLink)
		r.NextSQE().PrepLinkTimeout(&limit, 0, 2)
		_, err := r.SubmitAndWait(2, -1)
		runtime.KeepAlive(b)
		t.Error("submitted", err)
	})
}

// All of what an entry leads to is looked at, as long as the kernel uses it.
func TestForgottenMemory(t *testing.T) {
	piece := func() []byte { return make([]byte, 64) }
	tests := []struct {
		name   string
		op     Op
		before string
		prep   func(s *SQE, fd int32) (kept, forgotten any)
	}{
		{"buffer", OpRecv, "its completion", func(s *SQE, fd int32) (kept, forgotten any) {
			b := piece()
			s.PrepRecv(fd, b, 0, 1)
			return nil, b
		}},
		{"iovecs", OpReadV, "Submit", func(s *SQE, fd int32) (kept, forgotten any) {
			b := piece()
			s.PrepReadV(fd, iovecs(b), 0, 0, 1)
			return b, nil
		}},
		{"memory of iovecs", OpReadV, "its completion", func(s *SQE, fd int32) (kept, forgotten any) {
			iov := iovecs(piece())
			s.PrepReadV(fd, iov, 0, 0, 1)
			return nil, iov
		}},
		{"message", OpRecvMsg, "its completion", func(s *SQE, fd int32) (kept, forgotten any) {
			iov := iovecs(piece())
			m := &unix.Msghdr{Iov: &iov[0], Iovlen: 1}
			s.PrepRecvMsg(fd, m, 0, 1)
			return iov, m
		}},
		{"message to send", OpSendMsg, "Submit", func(s *SQE, fd int32) (kept, forgotten any) {
			iov := iovecs(piece())
			s.PrepSendMsg(fd, &unix.Msghdr{Iov: &iov[0], Iovlen: 1}, 0, 1)
			return iov, nil
		}},
		{"path", OpOpenAt, "Submit", func(s *SQE, fd int32) (kept, forgotten any) {
			s.PrepOpenAt(fd, &piece()[0], 0, 0, 1)
			return nil, nil
		}},
		{"address", OpConnect, "its completion", func(s *SQE, fd int32) (kept, forgotten any) {
			sa := new(Sockaddr)
			s.PrepConnect(fd, sa, 1)
			return nil, sa
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRing(t, Params{Entries: 4})
			a, b := socketPair(t)
			forgets(t, tt.op, tt.before, func() {
				kept := func() any {
					kept, forgotten := tt.prep(r.NextSQE(), a)
					ok(t, second(r.Submit()))
					runtime.KeepAlive(forgotten)
					return kept
				}()
				_, _ = unix.Write(int(b), []byte("data"))
				reap(t, r, 1)
				runtime.KeepAlive(kept)
			})
		})
	}
}

func second(_ int, err error) error { return err }

// A Shared keeps what it was given to keep, and no more.
func TestForgottenKeep(t *testing.T) {
	s := newShared(t, Params{Entries: 4})
	pr, pw := pipePair(t)
	func() {
		b := make([]byte, 64)
		add(t, s, func(e *SQE) { e.PrepRead(pr, b, CurrentOffset, 1) }, nil)
	}()
	_, _ = unix.Write(int(pw), []byte("data"))
	forgets(t, OpRead, "its completion", func() { collect(t, s, 1) })
	add(t, s, func(e *SQE) { e.PrepNop(1) }, nil)
}

// What is kept is not reported, whatever happens between: other requests with
// the same user data, another Prep of the same entry, resized queues.
func TestKeptMemory(t *testing.T) {
	r := newRing(t, Params{Entries: 2, Flags: engineFlags})
	pr, pw := pipePair(t)
	for range 20 {
		b, c := make([]byte, 64), make([]byte, 64)
		s := r.NextSQE()
		s.PrepWrite(pw, make([]byte, 64), 0, 1)
		s.PrepRead(pr, b, CurrentOffset, 1)
		r.NextSQE().PrepRead(pr, c, CurrentOffset, 1)
		ok(t, second(r.Submit()))
		runtime.GC()
		if testenv.HaveKernel(t, "6.13") {
			ok(t, r.ResizeRings(2, 0))
		}
		for range 2 {
			_, _ = unix.Write(int(pw), []byte("data"))
			reap(t, r, 1)
			runtime.GC()
		}
		runtime.KeepAlive(b)
		runtime.KeepAlive(c)
	}
	if n := len(r.memory.inflight) + len(r.memory.entries); n != 0 {
		t.Errorf("%d requests are left", n)
	}
}
