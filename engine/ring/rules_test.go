//go:build linux

package ring

import (
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/internal/testenv"
)

// On a SQPOLL ring what is read at submission is the caller's again when
// SQPending does not count the entry any more, and Submit counts what the
// kernel's thread has yet to consume.
func TestSQPollReadAtSubmission(t *testing.T) {
	r := newRing(t, Params{Entries: 8, Flags: SetupSQPoll})
	fd := tempFile(t, "")
	first, later := []byte("first"), []byte("later")
	iov := iovecs(first)
	for range 500 {
		iov[0].Base = &first[0]
		r.NextSQE().PrepWriteV(fd, iov, 0, 0, 1)
		if n, err := r.Submit(); err != nil || n > 1 {
			t.Fatalf("Submit: %d, %v", n, err)
		}
		for r.SQPending() > 0 {
			runtime.Gosched()
		}
		iov[0].Base = &later[0]
		reap(t, r, 1)
		var got [5]byte
		if _, err := unix.Pread(int(fd), got[:], 0); err != nil || string(got[:]) != "first" {
			t.Fatalf("wrote %q, %v", got, err)
		}
	}
	runtime.KeepAlive(later)
}

// Completions and messages that find the queue full overflow: no call fails for
// it, CQOverflowed tells, and all come in the end.
func TestOverflowIsNoError(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.name, func(t *testing.T) {
			testenv.NeedKernel(t, mode.kernel)
			r := newRing(t, Params{Entries: 4, CQEntries: 4, Flags: mode.flags})
			other := newRing(t, Params{Entries: 4})
			for i := range 7 {
				want(t, other, 0, func(s *SQE) { s.PrepMsgRing(int32(r.FD()), uint32(i), 5, 1) })
			}
			if _, err := r.SubmitAndGet(); err != nil {
				t.Fatal(err)
			}
			var seen []int32
			for len(seen) < 7 {
				if over := r.CQOverflowed(); over != (len(seen) < 3) {
					t.Fatalf("overflowed: %v with %d of 7 seen", over, len(seen))
				}
				ok(t, r.FlushOverflow()) // also where it has no room
				var one [1]CQE
				if r.PeekCQEs(one[:]) != 1 {
					t.Fatalf("only %v", seen)
				}
				seen = append(seen, one[0].Res)
				ok(t, r.FlushOverflow())
			}
			for i, res := range seen {
				if res != int32(i) {
					t.Fatalf("seen %v", seen)
				}
			}
		})
	}
}

// Of a plain ring's requests the exit of the thread that submitted them cancels
// those that worker threads have, without an event.
func TestThreadExitCancelsAsync(t *testing.T) {
	r := newRing(t, Params{Entries: 4})
	var in, out [2]int // that block, as a splice does in a worker thread
	for _, pipe := range []*[2]int{&in, &out} {
		ok(t, unix.Pipe2(pipe[:], unix.O_CLOEXEC))
		closeLater(t, pipe[0])
		closeLater(t, pipe[1])
	}
	ok(t, testenv.OnThread(func() error {
		s := r.NextSQE()
		s.PrepSplice(int32(in[0]), -1, int32(out[1]), -1, 8, 0, 1)
		s.SetFlags(SQEAsync)
		_, err := r.Submit()
		return err
	}))
	const restartSys = syscall.Errno(512) // what a splice returns that was interrupted: this, or EINTR
	if c := reap(t, r, 1)[0]; c.Err() != syscall.ECANCELED && c.Err() != restartSys && c.Err() != syscall.EINTR {
		t.Errorf("got %+v", c)
	}
}
