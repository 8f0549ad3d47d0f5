//go:build linux && race

package ring

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Two goroutines that use a ring without handing it over are reported, even
// when their calls do not overlap and share no memory of the package.
func TestOwnerCheck(t *testing.T) {
	if os.Getenv("QUOIT_RING_TWO_OWNERS") != "" {
		r := newRing(t, Params{Entries: 4})
		done := make(chan struct{})
		turn := make(chan struct{})
		go func() {
			<-turn
			r.SubmitAndGet()
			close(done)
		}()
		close(turn) // before its own use, so there is no order between the two
		r.SubmitAndGet()
		<-done
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestOwnerCheck$")
	cmd.Env = append(os.Environ(), "QUOIT_RING_TWO_OWNERS=1")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "DATA RACE") || !strings.Contains(string(out), "ownerCheck") {
		t.Errorf("not reported: %v\n%s", err, out)
	}
}

// Handing a ring over is fine.
func TestOwnerHandOver(t *testing.T) {
	r := newRing(t, Params{Entries: 4})
	for range 3 {
		done := make(chan struct{})
		go func() {
			defer close(done)
			nops(t, r, 5)
		}()
		<-done
	}
}
