//go:build linux

package ring

import (
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestPeekSeenIterate(t *testing.T) {
	eachMode(t, Params{Entries: 8, CQEntries: 8}, func(t *testing.T, r *Ring) {
		if r.PeekCQE() != nil {
			t.Error("a completion in an empty queue")
		}
		r.SeenCQEs(3) // of none
		var ud UserData
		for range 30 {
			for i := range UserData(7) {
				r.NextSQE().PrepNop(ud + i)
			}
			if _, err := r.SubmitAndWait(7, -1); err != nil {
				t.Fatal(err)
			}
			for range 2 { // peeking leaves it
				if c := r.PeekCQE(); c == nil || c.UserData != ud {
					t.Fatalf("PeekCQE = %+v, want %d", c, ud)
				}
			}
			r.SeenCQEs(2)
			ud += 2
			for c := range r.CQEs() {
				if c.UserData != ud {
					t.Fatalf("got %+v, want %d", c, ud)
				}
				if ud++; ud%7 == 4 {
					break
				}
			}
			if r.CQReady() != 3 {
				t.Fatalf("%d left", r.CQReady())
			}
			for c := range r.CQEs() {
				if c.UserData != ud {
					t.Fatalf("got %+v, want %d", c, ud)
				}
				ud++
			}
			if r.CQReady() != 0 || r.cq.head.loadAcquire() != r.cq.next {
				t.Fatalf("%d left", r.CQReady())
			}
		}
	})
}

func TestFlushOverflow(t *testing.T) {
	eachMode(t, Params{Entries: 4, CQEntries: 4}, func(t *testing.T, r *Ring) {
		if err := r.FlushOverflow(); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			for i := range UserData(4) {
				r.NextSQE().PrepNop(i)
			}
			if _, err := r.SubmitAndGet(); err != nil {
				t.Fatal(err)
			}
		}
		var got int
		cqes := make([]CQE, 4)
		for got = r.PeekCQEs(cqes); got < 12; got += r.PeekCQEs(cqes) {
			if !r.CQOverflowed() {
				t.Fatalf("no overflow after %d", got)
			}
			if err := r.FlushOverflow(); err != nil && !errors.Is(err, unix.EBUSY) {
				t.Fatal(err)
			}
		}
		if got != 12 || r.CQOverflowed() {
			t.Errorf("%d completions, overflowed %v", got, r.CQOverflowed())
		}
	})
}

func TestIterationAllocs(t *testing.T) {
	r := newRing(t, Params{Entries: 8})
	var sum UserData
	if n := testing.AllocsPerRun(50, func() {
		for i := range UserData(4) {
			r.NextSQE().PrepNop(i)
		}
		r.SubmitAndWaitFor(&WaitOptions{N: 4, Timeout: time.Second})
		for c := range r.CQEs() {
			sum += c.UserData
		}
		r.SeenCQEs(1)
		r.FlushOverflow()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestCQOverflow(t *testing.T) {
	eachMode(t, Params{Entries: 4, CQEntries: 4}, func(t *testing.T, r *Ring) {
		const total = 40
		for i := range UserData(total) {
			s := r.NextSQE()
			if s == nil {
				if n, err := r.SubmitAndGet(); n != 4 || err != nil {
					t.Fatalf("SubmitAndGet = %d, %v", n, err)
				}
				s = r.NextSQE()
			}
			s.PrepNop(i)
		}
		if n, err := r.SubmitAndGet(); n != 4 || err != nil {
			t.Fatalf("SubmitAndGet = %d, %v", n, err)
		}
		if !r.CQOverflowed() || r.CQReady() != 4 {
			t.Errorf("overflowed %v, ready %d", r.CQOverflowed(), r.CQReady())
		}
		for i, c := range reap(t, r, total) {
			if c.UserData != UserData(i) {
				t.Fatalf("completion %d is %d's", i, c.UserData)
			}
		}
		if r.CQOverflowed() || r.CQOverflowCount() != 0 {
			t.Errorf("overflowed %v, lost %d", r.CQOverflowed(), r.CQOverflowCount())
		}
		r.NextSQE().PrepNop(99)
		if c := reap(t, r, 1)[0]; c.UserData != 99 {
			t.Errorf("after recovery: %+v", c)
		}
	})
}

func TestTaskrunPending(t *testing.T) {
	r := newRing(t, Params{Entries: 4, Flags: SetupSingleIssuer | SetupDeferTaskrun | SetupTaskrunFlag})
	fd := eventFD(t)
	r.NextSQE().PrepPollAdd(fd, unix.POLLIN, 1)
	if _, err := r.Submit(); err != nil {
		t.Fatal(err)
	}
	if r.TaskrunPending() {
		t.Error("task work before the event")
	}
	signalEvent(t, fd)
	if !r.TaskrunPending() || r.CQReady() != 0 {
		t.Errorf("pending %v, ready %d", r.TaskrunPending(), r.CQReady())
	}
	reap(t, r, 1)
	if r.TaskrunPending() {
		t.Error("task work after the completion")
	}
}
