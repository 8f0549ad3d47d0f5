//go:build linux

package doctor

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
)

const (
	servedNet = "\nio_uring is not usable: package net serves instead.\n"
	broken    = "\nPrograms that use quoit do not work here as they are.\n"
	allCalls  = "io_uring_setup,io_uring_enter,io_uring_register"
)

// see is the line that leads to a finding's section.
func see(id string) string { return "see:    " + docs + id + "\n" }

// Each way to be refused, as a user sees it.
func TestRefused(t *testing.T) {
	enginetest.NeedRing(t)
	tests := []struct {
		words  string
		status int
		want   []string
	}{
		{"EPERM=" + allCalls, exitNet, []string{servedNet, see(seccompRefuses), "seccomp:           filter; no_new_privs: yes\n",
			"cause:  a seccomp filter refuses io_uring_setup by EPERM, io_uring_enter by EPERM, io_uring_register by EPERM, as the"}},
		{"ENOSYS=" + allCalls, exitNet, []string{servedNet, see(seccompRefuses), "io_uring_setup by ENOSYS, io_uring_enter by ENOSYS"}},
		{"EPERM=io_uring_setup", exitNet, []string{servedNet, see(seccompRefuses), "refuses io_uring_setup by EPERM, as the"}},
		{"EPERM=io_uring_enter", exitNet, []string{servedNet, see(seccompRefuses), "refuses io_uring_enter by EPERM, as the"}},
		{"ENOSYS=io_uring_enter", exitNet, []string{servedNet, see(seccompRefuses), "refuses io_uring_enter by ENOSYS, as the"}},
		{"ENOMEM=io_uring_setup", exitNet, []string{servedNet, see(noMemory), "RLIMIT_MEMLOCK, "}},
		{"EACCES=io_uring_setup", exitNet, []string{servedNet, see(setupRefused), "by EACCES: by a seccomp filter, or a security module"}},
		{"EPERM=io_uring_register", exitRing, []string{served, "io_uring_register: refused by EPERM\n"}},
		{"kill=io_uring_register", exitRing, []string{served, "io_uring_register: killed\n"}},
		{"kill=" + allCalls, exitUsage, []string{broken, see(seccompKills), "ends who calls io_uring_setup and io_uring_enter and io_uring_register,",
			"QUOIT=off", "auto 0 0 0 µs not tried\n"}},
		{"kill=io_uring_setup", exitUsage, []string{broken, see(seccompKills), "ends who calls io_uring_setup,"}},
		{"kill=io_uring_enter", exitUsage, []string{broken, see(seccompKills), "ends who calls io_uring_enter,"}},
		{"thread=io_uring_setup", exitUsage, []string{broken, see(seccompKills), "ends who calls io_uring_setup,"}},
		{"trap=io_uring_setup", exitUsage, []string{broken, see(seccompKills), "ends who calls io_uring_setup,"}},
		{"EPERM=bpf", exitRing, []string{served, see(noSteering), "engine/steering cannot load its program: "}},
		{"noproc", exitRing, []string{served, see(noProc), "seccomp:           none;", "io_uring_disabled unreadable"}},
		{"noproc EPERM=" + allCalls, exitNet, []string{servedNet, see(noProc), see(seccompRefuses), "seccomp:           filter;"}},
		{"noproc EPERM=io_uring_setup", exitNet, []string{servedNet, see(noProc), see(setupRefused)}},
		{"noproc kill=" + allCalls, exitUsage, []string{broken, see(noProc), see(seccompKills)}},
		{"nosysctl", exitRing, []string{served, "io_uring_disabled unreadable"}},
		{"nosysctl EPERM=io_uring_setup", exitNet, []string{servedNet, see(setupRefused),
			"the sysctl kernel.io_uring_disabled, which cannot be read here, or a seccomp filter, or a security module"}},
		{"nosysctl EPERM=" + allCalls, exitNet, []string{servedNet, see(seccompRefuses)}},
		{"set=QUOIT=off", exitNet, []string{"\nQUOIT=off: package net serves.\n", see(environment), "auto       io_uring"}},
		{"set=QUOIT=ring set=QUOIT_RINGS=2", exitRing, []string{served, see(environment), "the environment has QUOIT=ring QUOIT_RINGS=2, which"}},
		{"set=QUOIT=off kill=" + allCalls, exitNet, []string{"\nQUOIT=off: package net serves.\n", see(seccompKills), see(environment)}},
		{"uid=64998", exitRing, []string{served, see(noSteering), "the process lacks CAP_BPF", "bpf:               refused by EPERM\n"}},
		{"userns", exitRing, []string{served, see(noSteering), "this process is in one of its own", "user namespace:    own\n", "CAP_IPC_LOCK:      no:", "bpf:               refused by EPERM\n"}},
	}
	for _, tt := range tests {
		t.Run(tt.words, func(t *testing.T) {
			if testenv.Race && strings.HasPrefix(tt.words, "noproc ") {
				t.Skip("the race detector takes a second to start a process without /proc; make test RACE= has it")
			}
			t.Parallel()
			testenv.Watch(t, 2*testenv.Bound)
			out, status := run(t, tt.words)
			checkReport(t, out, status, tt.status, tt.want...)
			if len(strings.Fields(tt.words)) == 1 && !strings.HasPrefix(tt.words, "set=") && tt.status != exitRing && strings.Count(out, "cause: ") != 1 {
				t.Errorf("more than one cause:\n%s", out)
			}
		})
	}
}

var blanks = regexp.MustCompile(" +")

// checkReport looks for what a report must say. Blanks are alike: columns are as wide as
// the machine's slowest round trip makes them.
func checkReport(t *testing.T, out string, status, wantStatus int, want ...string) {
	t.Helper()
	var faults []string
	if status != wantStatus {
		faults = append(faults, fmt.Sprintf("exit status %d, want %d", status, wantStatus))
	}
	spaced := blanks.ReplaceAllString(out, " ")
	for _, w := range want {
		if !strings.Contains(spaced, blanks.ReplaceAllString(w, " ")) {
			faults = append(faults, fmt.Sprintf("no %q", w))
		}
	}
	if len(faults) > 0 {
		t.Errorf("%s\n%s", strings.Join(faults, "\n"), out)
	}
}

// What doctor advises where a filter kills.
func TestOffSurvives(t *testing.T) {
	testenv.Watch(t, 2*testenv.Bound)
	for words, survives := range map[string]bool{"kill=" + allCalls: false, "set=QUOIT=off kill=" + allCalls: true} {
		cmd, stderr := command(t, words, TrialCommand, "auto")
		out, err := cmd.Output()
		var trip Trip
		if err == nil {
			err = json.Unmarshal(out, &trip)
		}
		if got := err == nil && trip.ok() && trip.Transport == ServesNet; got != survives {
			t.Errorf("%s: %v, %+v %s", words, err, trip, stderr)
		}
	}
}

// Go's netpoller ends a process that has no descriptors for it: doctor must not
// open it.
func TestFewDescriptors(t *testing.T) {
	for _, tt := range []struct {
		limit, status int
		want          []string
	}{
		{5, exitUsage, []string{broken, see(fewDescriptors), see(noTrial), "RLIMIT_NOFILE is 5:", "too many open files"}},
		{16, exitNet, []string{servedNet, see(fewDescriptors), "RLIMIT_NOFILE is 16:"}},
		{31, exitNet, []string{servedNet, see(fewDescriptors), "RLIMIT_NOFILE is 31:"}},
	} {
		t.Run(fmt.Sprint(tt.limit), func(t *testing.T) {
			testenv.Watch(t, 2*testenv.Bound)
			out, status := run(t, fmt.Sprintf("nofile=%d", tt.limit))
			checkReport(t, out, status, tt.status, tt.want...)
		})
	}
	// What Go keeps open itself differs from machine to machine.
	for limit := 5; limit < 16; limit++ {
		out, status := run(t, fmt.Sprintf("nofile=%d", limit))
		wantStatus, want := exitUsage, broken
		if status == exitNet {
			wantStatus, want = exitNet, servedNet
		}
		checkReport(t, out, status, wantStatus, want, see(fewDescriptors))
	}
	t.Run("64", func(t *testing.T) {
		enginetest.NeedRing(t)
		out, status := run(t, "nofile=64")
		checkReport(t, out, status, exitRing, served, "RLIMIT_NOFILE 64")
	})
}

// A user's rings share RLIMIT_MEMLOCK.
func TestMemoryLimit(t *testing.T) {
	enginetest.NeedRing(t)
	uid := 60000 + os.Getpid()%4000 // whose memory nobody else takes
	t.Run("64 KB", func(t *testing.T) {
		testenv.Watch(t, 2*testenv.Bound)
		out, status := run(t, fmt.Sprintf("memlock=65536 uid=%d", uid))
		checkReport(t, out, status, exitRing, served, see(smallerRings), "RLIMIT_MEMLOCK is 64 KiB; it is shared with no other", "of 128 entries, 24 KiB")
	})
	t.Run("0", func(t *testing.T) {
		testenv.Watch(t, 2*testenv.Bound)
		out, status := run(t, fmt.Sprintf("memlock=0 uid=%d", uid))
		if status == exitRing { // older kernels do not count a ring's memory
			checkReport(t, out, status, exitRing, served, see(smallerRings))
			return
		}
		checkReport(t, out, status, exitNet, servedNet, see(memoryLimit), "RLIMIT_MEMLOCK is 0 bytes; it is shared with no other")
	})
	t.Run("held", func(t *testing.T) {
		testenv.Watch(t, 2*testenv.Bound)
		holder, stderr := command(t, fmt.Sprintf("uid=%d", uid), "hold")
		stdin, err := holder.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		stdout, err := holder.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := holder.Start(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "holds\n" {
			t.Fatalf("%q, %v: %s", line, err, stderr)
		}
		out, status := run(t, fmt.Sprintf("memlock=65536 uid=%d", uid))
		by := fmt.Sprintf("(pid %d) 192 KiB in 1 ring", holder.Process.Pid)
		if status == exitRing {
			checkReport(t, out, status, exitRing, served, see(smallerRings), by)
		} else {
			checkReport(t, out, status, exitNet, servedNet, see(memoryLimit), by)
		}
		stdin.Close()
		if err := holder.Wait(); err != nil {
			t.Error(err)
		}
	})
}

// The sysctl is against all, or those outside a group without CAP_SYS_ADMIN.
func TestSysctl(t *testing.T) {
	testenv.NeedKernel(t, "6.6")
	if !testenv.Guest() {
		t.Skip("it changes a setting of the machine; make test-kernels has it")
	}
	testenv.Setting(t, "kernel/io_uring_group", "64001")
	for _, tt := range []struct {
		disabled, words string
		status          int
		want            []string
	}{
		{"1", "set=HOME=/", exitRing, []string{served, "kernel.io_uring_disabled 1, kernel.io_uring_group 64001\n"}},
		{"1", "uid=64001", exitRing, []string{served, "kernel.io_uring_disabled 1,"}},
		{"1", "uid=64002", exitNet, []string{servedNet, see(sysctl1), "the group in kernel.io_uring_group, 64001, may"}},
		{"2", "set=HOME=/", exitNet, []string{servedNet, see(sysctl2), "kernel.io_uring_disabled is 2"}},
		{"2", "uid=64001", exitNet, []string{servedNet, see(sysctl2)}},
	} {
		t.Run(tt.disabled+"/"+tt.words, func(t *testing.T) {
			testenv.Watch(t, 2*testenv.Bound)
			testenv.Setting(t, "kernel/io_uring_disabled", tt.disabled)
			out, status := run(t, tt.words)
			checkReport(t, out, status, tt.status, tt.want...)
		})
	}
}

// A container's limit on memory is in the report, and leaves room for doctor. So does a
// fifth of a processor, or more of one that takes doctor seconds without a limit: it has
// bounds on time.
func TestMemoryGroup(t *testing.T) {
	if testenv.Race {
		t.Skip("the race detector's shadow takes that memory; make test RACE= has it")
	}
	testenv.Watch(t, 4*testenv.Bound)
	began := time.Now()
	_, want := run(t, "set=HOME=/")
	slowness := max(1, time.Since(began).Seconds()/2)
	out, status := run(t, "group="+testenv.NewGroup(t, 64<<20, int(20*slowness)).String())
	checkReport(t, out, status, want, "control group: limit 64 MiB, used ")
}

// A user without privileges who can start no process learns that.
func TestNoTrial(t *testing.T) {
	testenv.Watch(t, 2*testenv.Bound)
	r := &Report{OS: "linux", Files: Files{Soft: 1024}}
	r.tryAll(func(string, any) error { return &startError{os.ErrPermission} })
	r.conclude()
	if r.Status != exitUsage || r.Serves != ServesNothing || r.finding(noTrial) == nil || r.finding(fewDescriptors) != nil {
		t.Errorf("%+v", r)
	}
}

// The exit status is there for who does not read.
func TestStandardOutput(t *testing.T) {
	testenv.Watch(t, 2*testenv.Bound)
	_, want := run(t, "nofile=1024")
	gone := func() *os.File {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		t.Cleanup(func() { w.Close() })
		return w
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	for _, tt := range []struct {
		name, stderr string
		stdout       *os.File
	}{
		{"reader gone", "", gone()},
		{"full", "the report is incomplete: write /dev/stdout: no space left on device\n", full},
		{"closed", "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd, stderr := command(t, "nofile=1024", "doctor")
			if tt.stdout != nil {
				cmd.Stdout = tt.stdout
			} else { // a shell closes it, and its exit status is the command's
				cmd.Args = []string{"sh", "-c", `exec "$0" doctor >&-`, os.Args[0]}
				cmd.Path = "/bin/sh"
			}
			cmd.Run()
			if got := cmd.ProcessState.ExitCode(); got != want {
				t.Errorf("exit status %d, want %d", got, want)
			}
			if !strings.HasSuffix(stderr.String(), tt.stderr) || tt.stderr == "" && stderr.Len() > 0 {
				t.Errorf("standard error %q, want %q", stderr, tt.stderr)
			}
		})
	}
}

// Who writes a part and then nothing does not keep the reader.
func TestReadBound(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	w.WriteString("part")
	out, late := readBound(int(r.Fd()), 20*time.Millisecond)
	if !late || string(out) != "part" {
		t.Errorf("%q, late %v", out, late)
	}
	w.Close()
	if out, late := readBound(int(r.Fd()), testenv.Bound); late || len(out) != 0 {
		t.Errorf("%q after the end, late %v", out, late)
	}
}
