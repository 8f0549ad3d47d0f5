package counters

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// open skips where this user or machine has no such counters.
func open(t *testing.T, events ...string) *Set {
	t.Helper()
	s, err := Open(os.Getpid(), events)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EPERM) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EOPNOTSUPP) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// Threads started after Open count, too.
func TestCountsCalls(t *testing.T) {
	s := open(t, AllCalls, Call("getppid"), Call("bogus"))
	before, err := s.Read()
	if err != nil {
		t.Fatal(err)
	}
	const calls = 1000
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range calls {
			unix.Getppid()
		}
	}()
	<-done
	after, err := s.Read()
	if err != nil {
		t.Fatal(err)
	}
	got := Since(after, before)
	if n := got[Call("getppid")]; n != calls {
		t.Errorf("%d calls were counted, %d made", n, calls)
	}
	if n := got[AllCalls]; n < calls {
		t.Errorf("%d calls in all", n)
	}
	if _, ok := got[Call("bogus")]; ok {
		t.Error("there is a figure for a call that does not exist")
	}
}

func TestOpenFails(t *testing.T) {
	if _, err := Open(os.Getpid(), []string{"bogus"}); err == nil {
		t.Error("no error for an unknown event")
	}
	if _, err := Open(1<<30, Calls()); err == nil {
		t.Error("no error for a process that does not exist")
	}
}

func TestNilSet(t *testing.T) {
	var s *Set
	if m, err := s.Read(); len(m) > 0 || err != nil {
		t.Errorf("%v, %v", m, err)
	}
	s.Close()
}

func TestCallName(t *testing.T) {
	if name, ok := CallName(Call("read")); !ok || name != "read" {
		t.Errorf("%q, %t", name, ok)
	}
	if _, ok := CallName(AllCalls); ok {
		t.Error("all calls have a name")
	}
}
