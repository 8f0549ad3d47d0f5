//go:build linux

package ring

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestIovecs(t *testing.T) {
	r := newRing(t, Params{Entries: 4})
	fd := tempFile(t, "")
	v := NewIovecs([]byte("one "), nil, []byte("two"))
	r.NextSQE().PrepWriteV(fd, v.Slice(), 0, 0, 1)
	for range 3 {
		runtime.GC() // nothing but v refers to the memory
	}
	if c := reap(t, r, 1)[0]; c.Res != 7 {
		t.Fatalf("wrote %d, %v", c.Res, c.Err())
	}
	v.Unpin()
	v.Unpin()
	if len(v.Slice()) != 0 {
		t.Error("not empty after Unpin")
	}
	NewIovecs().Unpin()

	into := make([]byte, 4)
	mapped := anonymous(t, 4096)
	v = NewIovecs(into, mapped[:3])
	defer v.Unpin()
	want(t, r, 7, func(s *SQE) { s.PrepReadV(fd, v.Slice(), 0, 0, 1) })
	if string(into) != "one " || string(mapped[:3]) != "two" {
		t.Errorf("read %q and %q", into, mapped[:3])
	}
	fixed := NewIovecs(into)
	ok(t, r.RegisterBuffers(fixed.Slice()))
	want(t, r, 3, func(s *SQE) { s.PrepReadFixed(fd, into, 4, 0, 1) })
	ok(t, r.UnregisterBuffers())
	fixed.Unpin()
	if string(into[:3]) != "two" {
		t.Errorf("read %q", into)
	}
}

// The collector says so when an Iovecs is forgotten.
func TestIovecsForgotten(t *testing.T) {
	if os.Getenv("QUOIT_RING_FORGETS") != "" {
		func() { NewIovecs(make([]byte, 100)) }()
		for range 100 { // finalizers run some time after a collection
			runtime.GC()
			time.Sleep(time.Millisecond)
		}
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestIovecsForgotten$")
	cmd.Env = append(os.Environ(), "QUOIT_RING_FORGETS=1")
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "forgot to call Unpin") {
		t.Errorf("no panic: %v\n%s", err, out)
	}
}
