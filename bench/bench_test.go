package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/quoit-go/quoit/bench/internal/load"
	"github.com/quoit-go/quoit/bench/internal/proc"
	"github.com/quoit-go/quoit/bench/internal/report"
	"github.com/quoit-go/quoit/bench/internal/serve"
	"github.com/quoit-go/quoit/bench/internal/workload"
)

// TestMain lets the test binary be the children, as the program's own is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == childServe || os.Args[1] == childLoad) {
		main()
	}
	if len(os.Args) > 1 && os.Args[1] == foreignArg {
		serveForeign(os.Args[2:])
	}
	// The race detector lets each of the many children linger for a second.
	os.Setenv("GORACE", strings.TrimSpace(os.Getenv("GORACE")+" atexit_sleep_ms=0"))
	os.Exit(m.Run())
}

// small scales a workload down to what a test has time for.
func small(w workload.Workload) workload.Workload {
	w.Conns, w.Idle = min(w.Conns, 17), min(w.Idle, 20)
	return w
}

// length is more than a machine that is shared pauses for: in each measured
// time some request has to be answered.
const length = 300 * time.Millisecond

func testOptions(workloads ...workload.Workload) options {
	return options{
		workloads: workloads,
		base:      side{transport: "net"},
		versus:    []side{{transport: "quoit"}},
		procs:     []int{0},
		pins:      []pin{{name: "off"}},
		rounds:    1,
		warmup:    20 * time.Millisecond,
		length:    length,
	}
}

func runBench(t *testing.T, o options) *report.Report {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	rep, err := newBench(o, proc.MaxFiles(), newProgress(io.Discard)).run(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

func TestEveryWorkload(t *testing.T) {
	seen := map[string]bool{}
	for _, w := range workload.All(nil) {
		if seen[w.Family] {
			continue
		}
		seen[w.Family] = true
		t.Run(w.Family, func(t *testing.T) {
			o := testOptions(small(w))
			if w.Computing > 0 {
				o.length *= 4 // all latencies are of one conn, which computes for up to 50 ms before it answers
			}
			rep := runBench(t, o)
			if len(rep.Cases) != 1 || len(rep.Cases[0].Pairs) != 2 || rep.Failed() {
				t.Fatalf("not measured: %+v", rep.Cases[0].Errors)
			}
			for _, m := range report.Metrics {
				c := rep.Cases[0].Compare(m)
				// In so short a run CPU time may be less than a tick, and
				// switches none.
				if !strings.Contains("cpu vol invol", m.Key) && (c.Base <= 0 || c.Other <= 0 || c.Ratio.N != 2) {
					t.Errorf("%s: %+v", m.Key, c)
				}
			}
		})
	}
}

func TestReportsAreWritten(t *testing.T) {
	dir := t.TempDir()
	var stdout, stderr bytes.Buffer
	args := []string{
		"-run", "^echo-64B/3$", "-conns", "3", "-rounds", "1", "-length", length.String(), "-versus", "quoit,net",
		"-procs", "1", "-json", filepath.Join(dir, "r.json"), "-html", filepath.Join(dir, "r.html"), "-profile", dir,
		"-chart", filepath.Join(dir, "r.svg"), "-markdown", filepath.Join(dir, "r.md"), "-readme", filepath.Join(dir, "readme.md"),
	}
	if code := run(t.Context(), args, nil, &stdout, &stderr); code != exitOK {
		t.Fatalf("exit code %d\n%s%s", code, &stdout, &stderr)
	}
	for _, want := range []string{"echo-64B/3 procs=1", "echo-64B/3 procs=1 net", "p99.9", "peak RSS"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, &stdout)
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, "r.json"))
	if err != nil {
		t.Fatal(err)
	}
	var parsed struct {
		Cases []struct {
			Versus     string
			GOMAXPROCS int
			Summary    map[string]report.Comparison
		}
	}
	if err := json.Unmarshal(b, &parsed); err != nil {
		t.Fatal(err)
	}
	if len(parsed.Cases) != 2 || parsed.Cases[0].Summary["rate"].Ratio.N != 2 || parsed.Cases[0].GOMAXPROCS != 1 {
		t.Errorf("parsed: %+v", parsed)
	}
	profiles, err := filepath.Glob(filepath.Join(dir, "*.pprof"))
	if err != nil || len(profiles) != 4 {
		t.Errorf("profiles: %v, %v", profiles, err)
	}
	reportsAreTheSame(t, dir)
}

// reportsAreTheSame makes them again, from the JSON alone.
func reportsAreTheSame(t *testing.T, dir string) {
	t.Helper()
	again := t.TempDir()
	args := []string{"-from", filepath.Join(dir, "r.json")}
	names := map[string]string{"-json": "r.json", "-html": "r.html", "-chart": "r.svg", "-markdown": "r.md", "-readme": "readme.md"}
	for flag, name := range names {
		args = append(args, flag, filepath.Join(again, name))
	}
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), args, nil, &stdout, &stderr); code != exitOK {
		t.Fatalf("exit code %d\n%s%s", code, &stdout, &stderr)
	}
	for _, name := range names {
		want, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(again, name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not the same: %v", name, err)
		}
	}
	for _, args := range [][]string{
		{"-from", filepath.Join(dir, "nothing.json")}, {"-from", filepath.Join(dir, "r.svg")},
		{"-from", filepath.Join(dir, "r.json"), "-run", "^http/"},
	} {
		if code := run(t.Context(), args, nil, &stdout, &stderr); code != exitFailed {
			t.Errorf("%q: exit code %d", args, code)
		}
	}
}

// A variant reaches the server, which may be another build's.
func TestVariants(t *testing.T) {
	spec := serve.Spec{Kind: workload.ServeEcho}
	s, err := startServer(t.Context(), side{transport: "quoit", variant: "auto"}, spec, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.Variant != "auto" {
		t.Errorf("the server has variant %q", s.Variant)
	}
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := startServer(t.Context(), side{transport: "quoit", variant: "bogus", binary: self}, spec, 0, nil); err == nil || !strings.Contains(err.Error(), `"bogus" is none of`) {
		t.Errorf("a variant that is none: %v", err)
	}
	// A build from before there were variants.
	old := filepath.Join(t.TempDir(), "old")
	if err := os.WriteFile(old, []byte("#!/bin/sh\necho '{\"addr\":\"127.0.0.1:1\"}'\nread wait\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := startServer(t.Context(), side{transport: "quoit", variant: "auto", binary: old}, spec, 0, nil); err == nil || !strings.Contains(err.Error(), "knows nothing of variants") {
		t.Errorf("an old build: %v", err)
	}
}

// Several rings, with and without steering, and what they did in the report.
func TestSeveralRings(t *testing.T) {
	var stdout, stderr bytes.Buffer
	args := []string{
		"-run", "^skew/128$", "-conns", "128", "-rounds", "1", "-length", length.String(), "-json", "", "-html", "",
		"-gear", "ring", "-base", "quoit:1ring", "-versus", "quoit:2rings,quoit:2rings+hash",
	}
	if code := run(t.Context(), args, nil, &stdout, &stderr); code != exitOK {
		t.Fatalf("exit code %d\n%s%s", code, &stdout, &stderr)
	}
	if strings.Contains(stdout.String(), "package net served") {
		t.Skip("package net serves here")
	}
	_, rings, ok := strings.Cut(stdout.String(), "\nrings\n")
	rings, _, _ = strings.Cut(rings, "\n\n")
	for _, want := range []string{"ring+2rings ", "ring+2rings+hash "} {
		if !ok || strings.Count(rings, " quoit:"+want) != 2 { // case and server
			t.Errorf("no rings of quoit:%s in:\n%s", want, &stdout)
		}
	}
	if strings.Contains(rings, "1ring") {
		t.Errorf("one ring is compared with itself:\n%s", rings)
	}
}

func TestSplitPlacement(t *testing.T) {
	cpus, err := proc.Allowed()
	if err != nil {
		t.Fatal(err)
	}
	if len(cpus) < 2 {
		t.Skip("one CPU")
	}
	p, err := parsePin("split")
	if err != nil {
		t.Fatal(err)
	}
	s, err := startServer(t.Context(), side{transport: "net"}, serve.Spec{Kind: workload.ServeEcho}, 0, p.server)
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	var set int
	for _, c := range cpus {
		if allowed(t, s.pid, c) {
			set++
		}
	}
	if set != len(p.server) {
		t.Errorf("the server may use %d CPUs, want %v", set, p.server)
	}
}

// allowed asks /proc whether the process may run on the CPU.
func allowed(t *testing.T, pid, cpu int) bool {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("/proc", itoa(pid), "status"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "Cpus_allowed_list:")
	list, _, _ := strings.Cut(rest, "\n")
	cpus, err := proc.ParseCPUs(strings.TrimSpace(list))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cpus {
		if c == cpu {
			return true
		}
	}
	return false
}

func TestTooFewDescriptors(t *testing.T) {
	o := testOptions(workload.All(nil)...)
	b := newBench(o, 1024, newProgress(io.Discard))
	var names []string
	for _, j := range b.jobs {
		names = append(names, j.Workload.Family)
		if j.Workload.Files() > 1024 {
			t.Errorf("%s was not left out", j.Label())
		}
	}
	if len(b.skipped) == 0 || len(names)+len(b.skipped) != len(o.workloads) {
		t.Errorf("%d kept, skipped: %q", len(names), b.skipped)
	}
	o.workloads = []workload.Workload{{Family: "idle", Conns: 5000}}
	if _, err := newBench(o, 1024, newProgress(io.Discard)).run(t.Context()); err == nil || !strings.Contains(err.Error(), "ulimit -n") {
		t.Errorf("nothing left to run: %v", err)
	}
}

func TestFailuresAreReported(t *testing.T) {
	o := testOptions(small(workload.Workload{Family: "bogus", Server: workload.ServeEcho, Load: workload.LoadHTTP, Path: "/", Conns: 2, Depth: 1}))
	o.rounds = maxFailures + 2
	rep := runBench(t, o)
	if c := rep.Cases[0]; len(c.Pairs) != 0 || len(c.Errors) != maxFailures || !strings.Contains(c.Errors[0], "unexpected status") {
		t.Errorf("%d pairs, errors %q", len(c.Pairs), c.Errors)
	}
	if !rep.Failed() {
		t.Error("the report has not failed")
	}
	o.workloads[0].Server = "nothing"
	rep = runBench(t, o)
	if e := rep.Cases[0].Errors; len(e) == 0 || !strings.Contains(e[0], `unknown kind "nothing"`) {
		t.Errorf("errors %q", e)
	}
}

func TestTimeLimitAndInterrupt(t *testing.T) {
	o := testOptions(small(workload.All([]int{2})[0]))
	o.rounds, o.limit = 1000, time.Second
	rep := runBench(t, o)
	// It ends the round that it is in, which takes long on a busy machine, but
	// not as long as all of them.
	if rep.Elapsed > 100*time.Second || rep.Stopped == "" || len(rep.Cases[0].Pairs) == 0 {
		t.Errorf("took %v, %q, %d pairs", rep.Elapsed, rep.Stopped, len(rep.Cases[0].Pairs))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o.limit = 0
	rep, err := newBench(o, 1024, newProgress(io.Discard)).run(ctx)
	if err != nil || rep.Stopped == "" || len(rep.Cases[0].Errors) != 0 {
		t.Errorf("interrupted: %v, %+v", err, rep)
	}
	o.rounds = 1
	ctx, cancel = context.WithCancel(t.Context())
	rep, err = newBench(o, 1024, newProgress(writerFunc(cancel))).run(ctx)
	if err != nil || !strings.Contains(rep.Stopped, "with 1 of 1 rounds to go") || len(rep.Cases[0].Errors) != 0 {
		t.Errorf("interrupted in the last round: %v, %+v", err, rep)
	}
}

// A writerFunc is called when something is written, such as how far a run is.
type writerFunc func()

func (f writerFunc) Write(p []byte) (int, error) {
	f()
	return len(p), nil
}

func TestCrossCheckOutput(t *testing.T) {
	outputs := map[string]string{
		"wrk":    "  100 requests in 1.00s, 12MB read\nRequests/sec:  48712.53\nTransfer/sec: 1MB\n",
		"h2load": "\nfinished in 1.00s, 48712.53 req/s, 1.2MB/s\nrequests: 5 total\n",
	}
	for _, c := range checkers {
		if got, err := c.parse([]byte(outputs[c.tool])); err != nil || got != 48712.53 {
			t.Errorf("%s: %v, %v", c.tool, got, err)
		}
		if _, err := c.parse([]byte("unable to connect")); err == nil {
			t.Errorf("%s: no error without a rate", c.tool)
		}
	}
}

func TestCommandLine(t *testing.T) {
	if got, want := commandLine([]string{"-json", "", "-run", "^a$", "-quick"}), `bench -json "" -run "^a$" -quick`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestServerEndsWithItsInput(t *testing.T) {
	s, err := startServer(t.Context(), side{transport: "quoit"}, serve.Spec{Kind: workload.ServeHTTP}, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	if err := syscall.Kill(s.pid, 0); err == nil {
		t.Error("the server is still there")
	}
}

func TestServerThatDies(t *testing.T) {
	w := small(workload.All([]int{2})[0])
	s, err := startServer(t.Context(), side{transport: "net"}, serve.Spec{Kind: w.Server}, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(50*time.Millisecond, s.cancel)
	_, err = runLoad(t.Context(), load.Spec{Workload: w, Addr: s.Addr, PID: s.pid, Length: 10 * time.Second}, nil)
	if err == nil {
		t.Error("the generator did not notice")
	}
	if err := s.stop(); err == nil {
		t.Error("stop did not say that the server was killed")
	}
}
