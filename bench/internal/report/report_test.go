package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/quoit-go/quoit/bench/internal/hist"
	"github.com/quoit-go/quoit/bench/internal/load"
	"github.com/quoit-go/quoit/bench/internal/proc"
	"github.com/quoit-go/quoit/bench/internal/workload"
)

func result(units uint64, latency time.Duration) *load.Result {
	r := &load.Result{Units: units, Elapsed: time.Second, Latency: new(hist.Hist)}
	r.Latency.RecordN(latency, int(units))
	r.Server = proc.Sample{CPU: 500 * time.Millisecond, Voluntary: units / 10, PeakRSS: 20e6}
	return r
}

func sample() *Report {
	w := workload.All([]int{64})[0]
	faster := &Case{Workload: w, Versus: "quoit", Pin: "off"}
	noise := &Case{Workload: w, Versus: "net", Pin: "split", Procs: 1}
	for i := range uint64(5) {
		faster.Add(result(1000+i, time.Millisecond), result(1200+i, time.Millisecond/2))
		noise.Add(result(1000+i, time.Millisecond), result(1002-i, time.Millisecond))
	}
	odd := &Case{Workload: w, Versus: `quoit@/tmp/<b>&"x"`, Pin: "off", Errors: []string{"round 1: <script>"}}
	odd.Add(result(1, time.Second), result(1, time.Nanosecond))
	empty := &Case{Workload: w, Versus: "quoit", Pin: "off", Procs: 2}
	return &Report{Base: "net", Cases: []*Case{faster, noise, odd, empty}, Skipped: []string{"idle/64: x"}, Stopped: "stopped early"}
}

func TestCompare(t *testing.T) {
	c := sample().Cases[0]
	rate := c.Compare(metric("rate"))
	if rate.Base != 1002 || rate.Other != 1202 || rate.Ratio.N != 5 || rate.Ratio.Median < 1.199 || rate.Ratio.Median > 1.2 {
		t.Errorf("rate: %+v", rate)
	}
	if v := verdict(rate, metric("rate")); v != "good" {
		t.Errorf("a higher rate is %s", v)
	}
	if p50 := c.Compare(metric("p50")); p50.Ratio.Median > 0.51 || verdict(p50, metric("p50")) != "good" {
		t.Errorf("p50: %+v", p50)
	}
	if cpu := c.Compare(metric("cpu")); cpu.Ratio.Median < 0.83 || cpu.Ratio.Median > 0.84 {
		t.Errorf("cpu: %+v", cpu)
	}
	if invol := c.Compare(metric("invol")); invol.Ratio.N != 0 || verdict(invol, metric("invol")) != "same" || invol.ratio() != "-" {
		t.Errorf("without switches: %+v", invol)
	}
}

func TestVerdictNeedsBothQuartiles(t *testing.T) {
	tests := []struct {
		q1, q3 float64
		rate   string
		p50    string
	}{
		{0.9, 1.1, "same", "same"}, {1, 1, "same", "same"},
		{1.01, 1.2, "good", "bad"}, {0.8, 0.99, "bad", "good"},
	}
	for _, tt := range tests {
		var c Comparison
		c.Ratio.Q1, c.Ratio.Q3, c.Ratio.N = tt.q1, tt.q3, 8
		if got := verdict(c, metric("rate")); got != tt.rate {
			t.Errorf("rate %v-%v is %s", tt.q1, tt.q3, got)
		}
		if got := verdict(c, metric("p50")); got != tt.p50 {
			t.Errorf("p50 %v-%v is %s", tt.q1, tt.q3, got)
		}
	}
}

func TestTable(t *testing.T) {
	var b bytes.Buffer
	if err := sample().Table(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"http/64 ", "1.20 (1.20-1.20)", "http/64 procs=1 pin=split net", "skipped idle/64", "stopped early", "nothing measured"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, &b)
		}
	}
}

func TestMarkdown(t *testing.T) {
	var b bytes.Buffer
	if err := sample().Markdown(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| http/64 | 1002 | 1202 | 1.20 (1.20-1.20) |", "| net ÷ net |", "skipped idle/64"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, &b)
		}
	}
	columns := 0
	for line := range strings.Lines(b.String()) {
		if n := strings.Count(line, "|"); n > 0 {
			if columns == 0 {
				columns = n
			}
			if n != columns {
				t.Errorf("%d columns, the first line has %d: %s", n, columns, line)
			}
		}
	}
}

func TestReadme(t *testing.T) {
	r := sample()
	slower := &Case{Workload: workload.All([]int{8})[0], Versus: "quoit", Pin: "off"}
	slower.Add(result(1000, time.Millisecond), result(900, time.Millisecond))
	r.Cases = append(r.Cases, slower)
	r.Go, r.Machine.Kernel, r.Machine.CPU, r.Machine.CPUs = "go1.26", "6.18", "Intel(R) Xeon(R)", 2
	var b bytes.Buffer
	if err := r.Readme(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| quoit ÷ net | requests/s | CPU per request | p50 | p99 |\n|---|---|---|---|---|\n| http/64 | 1.20 (1.20-1.20) |",
		"| http/8 | **0.90 (0.90-0.90)** |",
		"\nLinux 6.18, Intel Xeon, 2 CPUs, go1.26, 1 to 5 pairs of runs of 0s, ",
		"\nNoise, net ÷ net, lowest and highest median: requests/s 1.00-1.00, ",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, &b)
		}
	}
	if strings.Contains(b.String(), "| net ÷ net") {
		t.Errorf("the noise has a table:\n%s", &b)
	}
}

func TestPage(t *testing.T) {
	var b bytes.Buffer
	if err := sample().HTML(&b); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, bad := range []string{"<script", "http://", "https://", "<b>", "NaN", "Inf"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	if !strings.Contains(page, "the noise floor") || strings.Count(page, `class="curve other"`) < 2 {
		t.Error("the page lacks a part")
	}
	n := 0
	for rest := page; ; n++ {
		_, after, ok := strings.Cut(rest, "<svg")
		if !ok {
			break
		}
		var svg string
		svg, rest, _ = strings.Cut(after, "</svg>")
		wellFormed(t, "<svg"+svg+"</svg>")
	}
	if n != 6 {
		t.Errorf("%d pictures, want 6", n)
	}
}

func TestReadBack(t *testing.T) {
	r := sample()
	r.Date, r.Length, r.Elapsed = time.Date(2026, 11, 22, 1, 2, 3, 0, time.UTC), 1500*time.Millisecond, 61*time.Second
	r.Machine, r.Checks = proc.Machine{Kernel: "6.18", CPUs: 2, Load: "1 2 3"}, []string{"wrk agrees"}
	r.Cases[0].GOMAXPROCS, r.Cases[1].Fallback = 2, "seccomp"
	var file bytes.Buffer
	if err := r.JSON(&file); err != nil {
		t.Fatal(err)
	}
	back, err := Read(bytes.NewReader(file.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	for name, render := range map[string]func(*Report, io.Writer) error{
		"JSON": (*Report).JSON, "HTML": (*Report).HTML, "Chart": (*Report).Chart,
		"Markdown": (*Report).Markdown, "Readme": (*Report).Readme, "Table": (*Report).Table,
	} {
		var want, got bytes.Buffer
		if err := errors.Join(render(r, &want), render(back, &got)); err != nil {
			t.Fatal(err)
		}
		if want.String() != got.String() {
			t.Errorf("%s differs:\n%s\nwas:\n%s", name, &got, &want)
		}
	}
	back.Select(func(name string) bool { return name == "echo-64B/1" })
	if len(back.Cases) != 0 {
		t.Errorf("%d cases match", len(back.Cases))
	}
}

func TestReadErrors(t *testing.T) {
	for in, want := range map[string]string{
		"": "EOF", "[]": "cannot unmarshal", "{}": "no results",
		`{"cases":[{"name":"http/1"}]}`: "http/1 has no latencies",
	} {
		if _, err := Read(strings.NewReader(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", in, err, want)
		}
	}
}

func wellFormed(t *testing.T, s string) {
	t.Helper()
	for d := xml.NewDecoder(strings.NewReader(s)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, s)
		}
	}
}

func TestNotes(t *testing.T) {
	c := &Case{Workload: workload.All(nil)[0], Versus: "quoit", Fallback: "seccomp", Errors: []string{"e"}}
	a, b := result(1, 1), result(1, 1)
	b.Starved, a.LoadCPU, b.LoadCPU = 7, time.Second, time.Second
	c.Add(a, b)
	all := strings.Join(c.Notes("net"), "\n")
	for _, want := range []string{"e\n", "seccomp", "quoit: up to 7 conns", "100% of a processor"} {
		if !strings.Contains(all, want) {
			t.Errorf("no %q in %q", want, all)
		}
	}
}

func TestNumber(t *testing.T) {
	for x, want := range map[float64]string{0: "0", 1.234: "1.23", 12.34: "12.3", 1234: "1234", 12345: "12.3k", 1234567: "1.23M"} {
		if got := Number(x); got != want {
			t.Errorf("Number(%v) = %q, want %q", x, got, want)
		}
	}
}
