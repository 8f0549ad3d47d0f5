//go:build linux

package engine

import (
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/engine/internal/gear"
	"github.com/quoit-go/quoit/engine/ring"
	"github.com/quoit-go/quoit/internal/testenv"
)

// The thread ends with its ring. Conns go on, with deadlines from before and after.
func TestThreadEndsWithRing(t *testing.T) {
	e := smallEngine(t, gear.Ring, 0)
	client, c := servedPair(t, e)
	read := func() error { _, err := c.Read(make([]byte, 1)); return err }
	try(t, c.SetDeadlines(time.Now().Add(50*time.Millisecond), true, true))
	parked := testenv.Go(read)
	breakRing(e)
	testenv.Wait(t, testenv.Go(func() error { <-e.stopped; return nil }), "the thread's end")
	if err := testenv.Recv(t, parked, "a Read from before"); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a Read from before: %v", err)
	}
	try(t, c.SetDeadlines(time.Now().Add(10*time.Millisecond), true, true))
	if err := testenv.Recv(t, testenv.Go(read), "a Read after it"); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a Read after it: %v", err)
	}
	try(t, c.SetDeadlines(time.Time{}, true, true))
	must(t)(unix.Write(client, []byte("x")))
	try(t, read())
	if err := e.Death(); err == nil || e.Alive() {
		t.Errorf("death of %v, alive: %v", err, e.Alive())
	}
}

// retired waits until e has no thread.
func retired(t *testing.T, e *Engine) {
	t.Helper()
	testenv.Poll(t, "the thread has retired", e.retired.Load)
}

// A thread that cannot begin again, for want of a ring, is the ring's death.
func TestThreadCannotReturn(t *testing.T) {
	e := smallEngine(t, gear.Ring, 0)
	retired(t, e)
	e.k.(*osKernel).cfg.CPU = 1000
	client, c := servedPair(t, e)
	read := testenv.Go(func() error { _, err := c.Read(make([]byte, 1)); return err })
	testenv.Poll(t, "the death", func() bool { return e.Death() != nil })
	must(t)(unix.Write(client, []byte("x")))
	testenv.Wait(t, read, "Read")
	if _, ok := errors.AsType[*AffinityError](e.Death()); !ok || e.Alive() {
		t.Errorf("death of %v, alive: %v", e.Death(), e.Alive())
	}
}

// Close does without a thread that has retired, and may come just then.
func TestThreadRetiresAndClose(t *testing.T) {
	for i := range 60 {
		e := smallEngine(t, gear.Ring, 0)
		testenv.Pace(lingerTime - time.Millisecond + time.Duration(i)*50*time.Microsecond)
		testenv.Wait(t, testenv.Go(e.Close), "Close")
		if err := e.Death(); err != nil {
			t.Fatal(err)
		}
	}
	e := smallEngine(t, gear.Ring, 0)
	retired(t, e)
	e.k.(*osKernel).cfg.CPU = 1000
	try(t, e.Close())
	if err := e.Death(); err != nil {
		t.Error(err)
	}
}

// Requests of other rings last when engines end: without SetupSingleIssuer they end with
// the thread that submitted them, and an engine may run on any that Go has.
func TestThreadEndsNoRequests(t *testing.T) {
	smallEngine(t, gear.Ring, 0)
	var pipe [2]int
	try(t, unix.Pipe2(pipe[:], unix.O_CLOEXEC))
	defer unix.Close(pipe[0])
	defer unix.Close(pipe[1])
	rings := make([]*ring.Ring, 16)
	for i := range rings {
		r, err := ring.New(&ring.Params{Entries: 4})
		try(t, err)
		defer r.Close()
		rings[i] = r
	}
	testenv.OnThreads(len(rings), func(i int) {
		rings[i].NextSQE().PrepPollAdd(int32(pipe[0]), unix.POLLIN, 1)
		if _, err := rings[i].Submit(); err != nil {
			t.Error(err)
		}
	})
	for range 20 {
		try(t, smallEngine(t, gear.Ring, 0).Close())
	}
	must(t)(unix.Write(pipe[1], []byte("x")))
	for i, r := range rings {
		must(t)(r.SubmitAndWait(1, testenv.Bound))
		cqe := make([]ring.CQE, 1)
		if n := r.PeekCQEs(cqe); n != 1 || cqe[0].Res&unix.POLLIN == 0 || cqe[0].Res < 0 {
			t.Errorf("ring %d: %d completions, %+v", i, n, cqe[0])
		}
	}
}
