package doctor

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/quoit-go/quoit"
	"github.com/quoit-go/quoit/internal/environ"
)

// served is the verdict where all is well.
const served = "\nio_uring is usable: quoit serves tcp and unix sockets over it.\n"

// answers are what a machine's system calls do: 0 is allowed.
func answers(setup, enter syscall.Errno) []Call {
	call := func(name string, errno syscall.Errno) Call {
		if errno == 0 {
			return Call{Name: name, Answer: allowed}
		}
		return Call{Name: name, Answer: refused, Errno: errno}
	}
	return []Call{call("io_uring_setup", setup), call("io_uring_enter", enter)}
}

// machine is a Linux machine as doctor finds it, before it concludes.
func machine(mode, sysctl string, setup, enter, fails syscall.Errno) *Report {
	r := &Report{
		OS: "linux", Arch: "amd64", Kernel: "6.18.1", CPUs: 2,
		Calls:        answers(setup, enter),
		Seccomp:      Seccomp{Mode: mode, NoNewPrivs: "no"},
		Sysctl:       Sysctl{Disabled: sysctl, Group: "-1"},
		Capabilities: []Capability{{Name: "CAP_BPF", Have: true}},
		Locked:       Locked{Soft: 65536, Hard: 65536},
		Files:        Files{Soft: 1024, Hard: 4096, Open: 7, PerRing: filesPerRing},
	}
	trip := Trip{Transport: ServesRing, RoundTrips: 100, Bytes: 200, Median: 14}
	if fails != 0 {
		r.Error = failure(&quoit.UnsupportedError{Feature: "io_uring", Err: os.NewSyscallError("io_uring_setup", fails)})
		trip.Transport, trip.Reason = ServesNet, r.Error
	}
	for _, trip.Gear = range []string{"auto", "ring", "poll"} {
		r.SelfTest = append(r.SelfTest, trip)
	}
	r.SelfTest = append(r.SelfTest, Trip{Gear: "net", Transport: ServesNet, RoundTrips: 100, Bytes: 200, Median: 13})
	return r
}

const eperm, eacces, enosys, enomem = syscall.EPERM, syscall.EACCES, syscall.ENOSYS, syscall.ENOMEM

func force(r *Report, mode string) {
	r.env = environ.Settings{Mode: mode}
	r.Forced = r.env.String()
}

// diagnoses are machines, and what doctor says about them.
var diagnoses = []struct {
	name   string
	r      *Report
	change func(*Report)
	want   string // IDs
	text   string
	status int
}{
	{"good", machine(modeNone, "0", 0, 0, 0), nil, "", served, exitRing},
	{"other system", machine(modeUnknown, absent, 0, 0, enosys), func(r *Report) { r.OS = "darwin" },
		notLinux, "this is darwin", exitNet},
	{"sysctl 2", machine(modeFilter, "2", eperm, 0, eperm), nil,
		sysctl2, "sysctl -w kernel.io_uring_disabled=0", exitNet},
	{"sysctl 2 and a filter", machine(modeFilter, "2", eperm, eperm, eperm), nil,
		sysctl2 + " " + seccompRefuses, "io_uring_enter by EPERM", exitNet},
	{"sysctl 2 where a filter answers", machine(modeFilter, "2", enosys, enosys, enosys), nil,
		seccompRefuses, "io_uring_enter by ENOSYS", exitNet},
	{"sysctl 1", machine(modeNone, "1", eperm, 0, eperm), nil,
		sysctl1, "kernel.io_uring_group, -1, may", exitNet},
	{"sysctl 1, in the group", machine(modeFilter, "1", eperm, 0, eperm), func(r *Report) { r.Sysctl.InGroup = true },
		seccompRefuses, "refuses io_uring_setup by EPERM", exitNet},
	{"sysctl 1, as root", machine(modeNone, "1", 0, 0, enomem), nil,
		memoryLimit, "RLIMIT_MEMLOCK is 64 KiB", exitNet},
	{"seccomp", machine(modeFilter, "0", eperm, eperm, eperm), nil,
		seccompRefuses, "--security-opt seccomp=FILE", exitNet},
	{"a sandbox, and no way to ask for a filter", machine(modeUnknown, unreadable, eperm, eperm, eperm), nil,
		seccompRefuses, "seccompProfile", exitNet},
	{"no io_uring, with a filter", machine(modeFilter, absent, enosys, enosys, enosys), nil,
		noIOURing, "CONFIG_IO_URING=y", exitNet},
	{"old, with a filter", machine(modeFilter, unreadable, enosys, enosys, enosys), func(r *Report) { r.Kernel = "4.19.0-1-amd64" },
		noIOURing, "older than Linux 5.1", exitNet},
	{"no sysctl yet, with a filter", machine(modeFilter, absent, enosys, enosys, enosys), func(r *Report) { r.Kernel = "6.1.0" },
		seccompRefuses, "io_uring_setup by ENOSYS", exitNet},
	{"no io_uring", machine(modeNone, absent, enosys, enosys, enosys), nil,
		noIOURing, "gVisor", exitNet},
	{"security module", machine(modeNone, "0", eacces, 0, eacces), nil,
		securityModule, "audit log", exitNet},
	{"security module later", machine(modeNone, "0", 0, 0, eacces), nil,
		securityModule, "SELinux", exitNet},
	{"EPERM of nobody", machine(modeNone, "0", eperm, 0, eperm), nil,
		securityModule, "AppArmor", exitNet},
	{"EPERM at enter without a filter", machine(modeNone, "0", 0, eperm, eperm), nil,
		securityModule, "AppArmor", exitNet},
	{"unreadable", machine(modeNone, unreadable, eperm, 0, eperm), nil,
		setupRefused, "by the sysctl kernel.io_uring_disabled, which cannot be read here, or a security module", exitNet},
	{"memory", machine(modeNone, "0", 0, 0, enomem), func(r *Report) {
		r.Locked.Holders = []Holder{{PID: 7, Command: "a", Rings: 2, RingBytes: 20 << 10}, {PID: 8, Command: "b\x1b[2J", Locked: 2 << 20}, {}, {}, {}}
		r.Locked.Hidden = 3
	},
		memoryLimit, "shared with a (pid 7) 20 KiB in 2 rings, b?[2J (pid 8) 2048 KiB, ", exitNet},
	{"memory, exempt", machine(modeNone, "0", 0, 0, enomem), func(r *Report) {
		r.Locked.Exempt, r.Memory = true, Memory{Limit: 64 << 20, Used: 63 << 20}
	},
		noMemory, "(control group: limit 64 MiB, used 63 MiB); RLIMIT_MEMLOCK, 64 KiB, does", exitNet},
	{"memory without a limit", machine(modeNone, "0", 0, 0, enomem), func(r *Report) { r.Locked.Soft, r.Memory.Limit = unlimited, unlimited },
		noMemory, "limit unlimited", exitNet},
	{"memory before rings count", machine(modeNone, "0", 0, 0, enomem), func(r *Report) { r.Kernel = "6.12.118" },
		noMemory, "MemoryMax=", exitNet},
	{"descriptors", machine(modeNone, "0", 0, 0, syscall.EMFILE), nil,
		descriptorsUsed, "7 are open here, and RLIMIT_NOFILE is 1024", exitNet},
	{"few descriptors", machine(modeNone, "0", 0, 0, syscall.EMFILE), func(r *Report) { r.Files.Soft = 20 },
		fewDescriptors, "RLIMIT_NOFILE is 20:", exitNet},
	{"too old", machine(modeNone, absent, 0, 0, syscall.EINVAL), func(r *Report) {
		r.Kernel, r.Error.Feature, r.Error.MinKernel = "5.15.0", "IORING_SETUP_DEFER_TASKRUN", "6.1"
	},
		kernelTooOld, "(5.15.0) is too old: IORING_SETUP_DEFER_TASKRUN came with Linux 6.1", exitNet},
	{"architecture", machine(modeNone, "0", 0, 0, enosys), func(r *Report) { r.Arch, r.Error.Feature = "s390x", "io_uring on linux/s390x" },
		architecture, "this is s390x", exitNet},
	{"unexplained", machine(modeNone, "0", 0, 0, syscall.EIO), nil,
		unexplained, "report", exitNet},
	{"smaller", machine(modeNone, "0", 0, 0, 0), func(r *Report) { r.Features = []Feature{{Name: "full-size rings"}} },
		smallerRings, "RLIMIT_MEMLOCK is 64 KiB", exitRing},
	{"smaller for want of memory", machine(modeNone, "0", 0, 0, 0), func(r *Report) {
		r.Features, r.Locked.Soft = []Feature{{Name: "full-size rings"}}, unlimited
	},
		smallerRings, "no memory for larger ones", exitRing},
	{"fewer", machine(modeNone, "0", 0, 0, 0), func(r *Report) { r.CPUs, r.Engine.Rings = 192, 32 },
		fewerRings, "room for 32 rings, and there would be 64", exitRing},
	{"one gear fails", machine(modeNone, "0", 0, 0, 0), func(r *Report) { r.SelfTest[1].Error = &Failure{Text: "changed"} },
		selfTestFailed, "gear ring: changed", exitUsage},
	{"off", machine(modeNone, "0", 0, 0, 0), func(r *Report) { force(r, "off") },
		environment, "QUOIT=off: package net serves.", exitNet},
	{"gear by environment", machine(modeNone, "0", 0, 0, 0), func(r *Report) { force(r, "ring") },
		environment, served, exitRing},
	{"off where it would be killed", machine(modeFilter, "0", 0, 0, 0), func(r *Report) {
		force(r, "off")
		r.Calls[0].Answer = kills
		r.SelfTest = slices.Concat([]Trip{{Gear: "auto", Skipped: true}}, r.SelfTest[3:])
	},
		seccompKills + " " + environment, "ends who calls io_uring_setup,", exitNet},
}

func TestDiagnosis(t *testing.T) {
	covered := map[string]bool{noTrial: true, noSteering: true, noProc: true} // by processes, elsewhere
	for _, tt := range diagnoses {
		t.Run(tt.name, func(t *testing.T) {
			r := tt.r.clone()
			if tt.change != nil {
				tt.change(r)
			}
			r.conclude()
			var got []string
			for _, f := range r.Findings {
				got = append(got, f.ID)
				covered[f.ID] = true
				if strings.Contains(f.Cause, "%!") || f.Remedy == "" {
					t.Errorf("%s: %q, %q", f.ID, f.Cause, f.Remedy)
				}
			}
			if strings.Join(got, " ") != tt.want || r.Status != tt.status {
				t.Errorf("findings %q, exit status %d; want %q, %d", got, r.Status, tt.want, tt.status)
			}
			var out strings.Builder
			if err := r.writeText(&out); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(out.String(), tt.text) || r.Error != nil && !strings.Contains(out.String(), "error:  "+r.Error.Text) {
				t.Errorf("no %q, or no error, in:\n%s", tt.text, out.String())
			}
		})
	}
	for id := range findings {
		if !covered[id] {
			t.Errorf("nothing is diagnosed as %s", id)
		}
	}
}

// clone is for a test that changes r.
func (r *Report) clone() *Report {
	out := *r
	out.Calls, out.SelfTest = slices.Clone(r.Calls), slices.Clone(r.SelfTest)
	if r.Error != nil {
		err := *r.Error
		out.Error = &err
	}
	return &out
}

// The probe's ring is one, and given back: an engine can meet a limit that it
// did not.
func TestEngineFallsBack(t *testing.T) {
	r := machine(modeNone, "0", 0, 0, 0)
	r.Calls, r.SelfTest = nil, nil
	r.tryAll(func(step string, result any) error {
		switch result := result.(type) {
		case *Call:
			result.Answer = allowed
		case *probed:
			result.Engine = Engine{Rings: 1, Entries: 32, Bytes: 6144}
		case *Trip:
			result.Transport = ServesNet
			if step != "net" {
				result.Reason = &Failure{Text: "no memory", Errno: enomem}
			}
		}
		return nil
	})
	r.conclude()
	if r.Status != exitNet || r.finding(memoryLimit) == nil || r.Error == nil || r.Engine.Rings != 0 {
		t.Errorf("%+v", r)
	}
}

// A program that reads the report finds each key, whatever the machine.
func TestJSON(t *testing.T) {
	r := machine(modeFilter, "0", syscall.EPERM, syscall.EPERM, syscall.EPERM)
	r.Version = "quoit v0.1.0 go1.26.8 linux/amd64"
	r.Locked.Holders = []Holder{{PID: 7, Command: "server", Rings: 1, RingBytes: 196608}}
	r.Memory = Memory{Limit: unlimited, Used: unknown}
	r.Features = []Feature{{Name: "IORING_FEAT_NO_IOWAIT", MinKernel: "6.15", Use: "waits", Without: "iowait"}}
	r.conclude()
	var out strings.Builder
	if err := r.writeJSON(&out); err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/report.json"
	if os.Getenv("QUOIT_UPDATE") == "1" {
		if err := os.WriteFile(golden, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if out.String() != string(want) {
		t.Errorf("got\n%s\nwant %s", out.String(), golden)
	}
	var back map[string]any
	if err := json.Unmarshal(want, &back); err != nil {
		t.Fatal(err)
	}
	empty := new(strings.Builder)
	if err := new(Report).writeJSON(empty); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(empty.String(), "null"); n != 1 { // the error; every list is one
		t.Errorf("%d nulls in %s", n, empty)
	}
}

func TestArguments(t *testing.T) {
	for _, tt := range []struct {
		args           []string
		status         int
		stdout, stderr string
	}{
		{[]string{"now"}, exitUsage, "", `takes no arguments, got ["now"]`},
		{[]string{"-v"}, exitUsage, "", "not defined: -v"},
		{[]string{"-h"}, exitRing, "usage: quoit doctor", ""},
	} {
		var stdout, stderr strings.Builder
		if got := Run(tt.args, "test", &stdout, &stderr); got != tt.status {
			t.Errorf("%q: exit status %d", tt.args, got)
		}
		if !strings.Contains(stdout.String(), tt.stdout) || !strings.Contains(stderr.String(), tt.stderr) {
			t.Errorf("%q: %q, %q", tt.args, stdout.String(), stderr.String())
		}
	}
}

// The memory of the last trial's ring is not there at once: a lack of it is
// looked at again.
func TestTrialAgain(t *testing.T) {
	r := new(Report)
	n := 0
	r.tryTrip(func(step string, result any) error {
		n++
		trip := Trip{Gear: step, Transport: ServesRing}
		if n == 1 {
			trip.Transport, trip.Reason = ServesNet, &Failure{Errno: syscall.ENOMEM}
		}
		*result.(*Trip) = trip
		return nil
	}, &Trip{Gear: "auto"})
	if n != 2 {
		t.Errorf("tried %d times", n)
	}
}

// What an echo changes, and what it keeps, does not pass for right.
func TestSelfTestFinds(t *testing.T) {
	if trip := selfTest("net"); trip.Error != nil || trip.RoundTrips != roundTrips || trip.Bytes < 2*bulk {
		t.Errorf("%+v", trip)
	}
	trip := new(Trip)
	err := trip.talk(&liar{})
	if err == nil || !strings.Contains(err.Error(), "came back changed") || trip.RoundTrips != 0 {
		t.Errorf("%v after %d", err, trip.RoundTrips)
	}
	if _, err := perform("nothing"); err == nil {
		t.Error("a step that is none was taken")
	}
	if f := failure(errors.Join(errors.New("a"), syscall.EPERM)); f.Errno != syscall.EPERM || strings.Contains(f.Text, "\n") {
		t.Errorf("%+v", f)
	}
}
