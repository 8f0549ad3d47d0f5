package main

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quoit-go/quoit/bench/internal/proc"
	"github.com/quoit-go/quoit/bench/internal/report"
)

func itoa(n int) string { return strconv.Itoa(n) }

func TestParse(t *testing.T) {
	var stderr strings.Builder
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	o, err := parse([]string{"-run", "^http/", "-conns", "2,5", "-versus", "quoit@" + self + ",net", "-procs", "1,2", "-pin", "off 0:0", "-length", "2s"}, &stderr)
	if err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	var names []string
	for _, w := range o.workloads {
		names = append(names, w.Name())
	}
	if !slices.Equal(names, []string{"http/2", "http/5"}) {
		t.Errorf("workloads %v", names)
	}
	if o.base.String() != "net" || len(o.versus) != 2 || o.versus[0].binary != self || o.versus[1].transport != "net" {
		t.Errorf("base %v, versus %v", o.base, o.versus)
	}
	if !slices.Equal(o.procs, []int{1, 2}) || len(o.pins) != 2 || !slices.Equal(o.pins[1].load, []int{0}) {
		t.Errorf("procs %v, pins %v", o.procs, o.pins)
	}
	if o.rounds != defaultRounds || o.length != 2*time.Second || o.warmup != 400*time.Millisecond || o.limit != 0 {
		t.Errorf("%d rounds of %v after %v, limit %v", o.rounds, o.length, o.warmup, o.limit)
	}
	if b := newBench(o, 1024, newProgress(&stderr)); len(b.jobs) != 2*2*2*2 {
		t.Errorf("%d jobs", len(b.jobs))
	}
}

func TestParseQuick(t *testing.T) {
	var stderr strings.Builder
	all, err := parse(nil, &stderr)
	if err != nil {
		t.Fatal(err)
	}
	quick, err := parse([]string{"-quick"}, &stderr)
	if err != nil {
		t.Fatal(err)
	}
	if len(quick.workloads) >= len(all.workloads) || quick.limit == 0 || quick.limit >= 3*time.Minute {
		t.Errorf("%d of %d workloads, limit %v", len(quick.workloads), len(all.workloads), quick.limit)
	}
	runs := time.Duration(len(quick.workloads) * quick.rounds * 4)
	if nominal := runs * (quick.length + quick.warmup + quick.settle/2 + 50*time.Millisecond); nominal > quick.limit {
		t.Errorf("the quick run takes %v and has %v", nominal, quick.limit)
	}
}

func TestSides(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		text, gear string
		want       side
		err        string
	}{
		{"net", "auto", side{transport: "net"}, ""},
		{"quoit", "", side{transport: "quoit"}, ""},
		{"quoit", "auto", side{transport: "quoit", variant: "auto"}, ""},
		{"quoit:auto", "", side{transport: "quoit", variant: "auto"}, ""},
		{"quoit:any@" + self, "", side{transport: "quoit", variant: "any", binary: self}, ""}, // which that build will judge
		{"quoit@" + self, "any", side{transport: "quoit", variant: "any", binary: self}, ""},
		{"quoit:2rings", "auto", side{transport: "quoit", variant: "auto+2rings"}, ""},
		{"quoit:poll+2rings+hash", "ring", side{transport: "quoit", variant: "poll+2rings+hash"}, ""},
		{"quoit:2rings@" + self, "ring", side{transport: "quoit", variant: "ring+2rings", binary: self}, ""},
		{"quoit:any@" + self, "ring", side{transport: "quoit", variant: "any", binary: self}, ""}, // perhaps a gear of its own
		{"cmd:/bin/server -l {addr}@x", "ring", side{command: "/bin/server -l {addr}@x"}, ""},
		{"quoit:any", "", side{}, `"any" is none of`},
		{"quoit:ring+any", "", side{}, `"any" is none of`},
		{"quoit:", "", side{}, "colon"},
		{"net:auto", "", side{}, "net has no variants"},
		{"quoit:any@/nonexistent", "", side{}, "no such file"},
	}
	for _, tt := range tests {
		got, err := parseSide(tt.text, tt.gear)
		switch {
		case tt.err == "" && (err != nil || got != tt.want):
			t.Errorf("%s with gear %q: %+v, %v", tt.text, tt.gear, got, err)
		case tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)):
			t.Errorf("%s: %v, want %q", tt.text, err, tt.err)
		}
	}
	for want, s := range map[string]side{
		"cmd:server": {command: " /bin/server -l {addr}"}, "net": {transport: "net"}, "quoit:ring": {transport: "quoit", variant: "ring"}, "quoit:ring@/x": {transport: "quoit", variant: "ring", binary: "/x"},
	} {
		if s.String() != want {
			t.Errorf("got %s, want %s", s, want)
		}
	}
}

func TestSplitSides(t *testing.T) {
	for list, want := range map[string][]string{
		"net":                      {"net"},
		"quoit:ring,net":           {"quoit:ring", "net"},
		"quoit,":                   {"quoit", ""},
		"cmd:a {addr},b":           {"cmd:a {addr},b"},
		"net,quoit,cmd:a {addr},b": {"net", "quoit", "cmd:a {addr},b"},
	} {
		if got := splitSides(list); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", list, got, want)
		}
	}
}

func TestParseFrom(t *testing.T) {
	var stderr strings.Builder
	for args, wantJSON := range map[string]string{
		"-from a.json -chart c.svg -run ^http/":      "",
		"-from a.json -json b.json -markdown c.md":   "b.json",
		"-from a.json -json= -html= -readme READ.md": "",
	} {
		o, err := parse(strings.Split(args, " "), &stderr)
		if err != nil || o.json != wantJSON || o.from != "a.json" {
			t.Errorf("%s: JSON %q, %v", args, o.json, err)
		}
	}
}

func TestParseErrors(t *testing.T) {
	tests := []struct{ args, want string }{
		{"extra", `unexpected argument "extra"`},
		{"-bogus", "not defined"},
		{"-run ^nothing$", "no workload matches"},
		{"-run (", "-run: "},
		{"-conns 0", "-conns: "},
		{"-conns 1,x", "-conns: "},
		{"-base epoll", "-base: "},
		{"-versus quoit,", "-versus: "},
		{"-versus quoit@/nonexistent", "-versus: "},
		{"-procs -1", "-procs: "},
		{"-pin both", "-pin: "},
		{"-pin 0:x", "-pin: "},
		{"-pin=", "-pin: "},
		{"-rounds -1", "-rounds"},
		{"-length 1ms", "-length"},
		{"-warmup -5s", "-warmup"},
		{"-settle -5s", "-settle"},
		{"-limit -1s", "-limit"},
		{"-gear bogus", "-gear: "},
		{"-gear 2rings", "-gear: "},
		{"-versus quoit:bogus", "-versus: "},
		{"-versus quoit:1ring,quoit:2ring", `-versus: "2ring" is not 1ring`},
		{"-base quoit:least", "-base: "},
		{"-base net:auto", "-base: "},
		{"-versus cmd:server", "neither {addr} nor {port}"},
		{"-versus net,cmd:server,{addr}", "cmd:server,{addr} cannot serve http-timeouts/1: a command is for http, close, pipelined, echo-64B,"},
		{"-base cmd:server,{port} -run ^tunnel/", "cannot serve tunnel/64"},
		{"-base cmd:/bin/server,{port} -run ^proxy-64B/", "neither {backend} nor {backport}"},
		{"-base cmd:server,{port},{backport} -run ^http/", "there is no backend"},
		{"-base cmd:/a/server{port} -versus cmd:/b/server{port} -run ^http/", "called, too"},
		{"-from a.json -quick", "-quick is for runs"},
	}
	for _, tt := range tests {
		var stdout, stderr strings.Builder
		if code := run(t.Context(), strings.Split(tt.args, " "), nil, &stdout, &stderr); code != exitUsage {
			t.Errorf("%s: exit code %d", tt.args, code)
		}
		if !strings.Contains(stderr.String(), tt.want) {
			t.Errorf("%s: %q, want %q in it", tt.args, &stderr, tt.want)
		}
	}
}

func TestHelpAndList(t *testing.T) {
	var stdout, stderr strings.Builder
	if code := run(t.Context(), []string{"-help"}, nil, &stdout, &stderr); code != exitOK || !strings.Contains(stderr.String(), "-quick") || !strings.Contains(stderr.String(), "roundrobin") {
		t.Errorf("-help: %d\n%s", code, &stderr)
	}
	if code := run(t.Context(), []string{"-list"}, nil, &stdout, &stderr); code != exitOK || !strings.Contains(stdout.String(), "grpc-unary/8") {
		t.Errorf("-list: %d\n%s", code, &stdout)
	}
}

func TestPinSplitHalves(t *testing.T) {
	cpus, err := proc.Allowed()
	if err != nil {
		t.Fatal(err)
	}
	p, err := parsePin("split")
	if len(cpus) < 2 {
		if err == nil {
			t.Error("one CPU was split")
		}
		return
	}
	if err != nil || !slices.Equal(slices.Concat(p.server, p.load), cpus) {
		t.Errorf("%v and %v of %v: %v", p.server, p.load, cpus, err)
	}
}

// Spread alone decides, and only from half of the rounds on.
func TestIsSteady(t *testing.T) {
	j := &job{Case: new(report.Case)}
	pair := func(rate float64) {
		run := func(x float64) report.Run {
			return report.Run{Metrics: map[string]float64{"rate": x, "cpu": x}}
		}
		j.Pairs = append(j.Pairs, report.Pair{run(1), run(rate)})
	}
	for range 8 {
		pair(1.3)
	}
	b := &bench{options: options{rounds: 8, steady: 0.03}}
	if b.isSteady(j, 3) || !b.isSteady(j, 4) {
		t.Error("steady too early, or never")
	}
	for i := range 32 {
		pair(0.5 + float64(i)/4)
	}
	if b.isSteady(j, 7) {
		t.Error("steady with such a spread")
	}
	if b.steady = 0; b.isSteady(j, 7) {
		t.Error("steady without being asked")
	}
}
