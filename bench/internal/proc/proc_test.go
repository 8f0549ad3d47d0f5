package proc

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime is what this process has used, from another source than Read's.
func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var ru unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &ru); err != nil {
		t.Fatal(err)
	}
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

func TestReadSelf(t *testing.T) {
	before, err := Read(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for end := cpuTime(t) + 60*time.Millisecond; cpuTime(t) < end; { // busy machines give less in 60 ms
	}
	after, err := Read(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	used := after.Since(before)
	if used.CPU < 30*time.Millisecond || used.CPU > time.Minute {
		t.Errorf("60 ms of work used %v", used.CPU)
	}
	if used.PeakRSS < 1<<20 || after.Voluntary+after.Involuntary == 0 {
		t.Errorf("implausible: %+v", after)
	}
}

func TestReadGone(t *testing.T) {
	if _, err := Read(1 << 30); err == nil {
		t.Error("no error for a process that does not exist")
	}
}

func TestParseStat(t *testing.T) {
	const line = "7 (a b) (c) S 1 2 3 4 5 6 7 8 9 10 125 75 0 0 20 0"
	if got, err := parseStat([]byte(line)); err != nil || got != 2*time.Second {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := parseStat([]byte("7 (x) S 1")); err == nil {
		t.Error("a short line was accepted")
	}
}

func TestSinceStopsAtZero(t *testing.T) {
	s := Sample{Voluntary: 5}.Since(Sample{Voluntary: 9})
	if s.Voluntary != 0 {
		t.Errorf("got %d", s.Voluntary)
	}
}

func TestParseCPUs(t *testing.T) {
	tests := []struct {
		in   string
		want []int
	}{
		{"0", []int{0}},
		{"0,2-4", []int{0, 2, 3, 4}},
		{"", nil}, {"a", nil}, {"3-1", nil}, {"-1", nil}, {"1-", nil}, {"5000", nil},
	}
	for _, tt := range tests {
		got, err := ParseCPUs(tt.in)
		if !slices.Equal(got, tt.want) || (err == nil) != (tt.want != nil) {
			t.Errorf("ParseCPUs(%q) = %v, %v", tt.in, got, err)
		}
	}
}

func TestChildInheritsCPUs(t *testing.T) {
	all, err := Allowed()
	if err != nil {
		t.Fatal(err)
	}
	last := all[len(all)-1]
	cmd := exec.Command("grep", "Cpus_allowed_list", "/proc/self/status")
	var out strings.Builder
	cmd.Stdout = &out
	if err := WithCPUs([]int{last}, cmd.Start); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(out.String())
	if got, err := ParseCPUs(f[len(f)-1]); err != nil || !slices.Equal(got, []int{last}) {
		t.Errorf("the child may run on %q, want CPU %d", out.String(), last)
	}
	if again, _ := Allowed(); !slices.Equal(again, all) {
		t.Errorf("this thread may run on %v, had %v", again, all)
	}
}

func TestDescribe(t *testing.T) {
	m := Describe()
	if m.Kernel == "" || m.CPUs < 1 || m.Memory == 0 {
		t.Errorf("%+v", m)
	}
}
