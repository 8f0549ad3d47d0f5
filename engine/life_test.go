//go:build linux

package engine

import (
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/engine/internal/gear"
	"github.com/quoit-go/quoit/internal/testenv"
)

// The thread ends with its ring. Conns go on, with deadlines from before and after.
func TestThreadEndsWithRing(t *testing.T) {
	e := smallEngine(t, gear.Ring, 0)
	client, c := servedPair(t, e)
	read := func() error { _, err := c.Read(make([]byte, 1)); return err }
	try(t, c.SetDeadlines(time.Now().Add(50*time.Millisecond), true, true))
	parked := testenv.Go(read)
	try(t, breakRing(e))
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
