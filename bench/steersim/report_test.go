package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestParseFails(t *testing.T) {
	for _, args := range [][]string{
		{"-conns", "0"}, {"-rings", "0"}, {"-rings", "70000"}, {"-skew", "odd"}, {"-long", "2"},
		{"-bursty", "-1"}, {"-delay", "-1s"}, {"-run", "1ms"}, {"-restart", "-1s"}, {"-phase", "1us"}, {"-run", "24h"}, {"-source-skew", "NaN"},
		{"-hold-at", "0.9"}, {"-resume-at", "1.2"}, {"-resume-at", "0.9"}, {"-hold-at", "NaN"}, {"-policies", "hash,nothing"}, {"-policies", ""}, {"more"},
	} {
		var stderr bytes.Buffer
		if code := run(args, io.Discard, &stderr); code != exitUsage || stderr.Len() == 0 {
			t.Errorf("%v: exit code %d, %s", args, code, &stderr)
		}
	}
}

func TestHelp(t *testing.T) {
	var stderr bytes.Buffer
	if code := run([]string{"-help"}, io.Discard, &stderr); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	for _, p := range policies {
		if !strings.Contains(stderr.String(), p.about) {
			t.Errorf("no %s in\n%s", p.name, &stderr)
		}
	}
}

func TestDefaultPolicies(t *testing.T) {
	ps, err := parsePolicies(defaultPolicies)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range policies {
		if !slices.ContainsFunc(ps, func(q policy) bool { return q.name == p.name }) {
			t.Errorf("%s is not among the default policies", p.name)
		}
	}
	for _, name := range lined {
		if !slices.ContainsFunc(ps, func(q policy) bool { return q.name == name }) {
			t.Errorf("%s has a line in the chart and is not among the default policies", name)
		}
	}
}

func TestRun(t *testing.T) {
	dir := t.TempDir()
	svg, js := filepath.Join(dir, "a.svg"), filepath.Join(dir, "a.json")
	args := []string{"-conns", "2000", "-rings", "4", "-run", "5s", "-svg", svg, "-json", js}
	var outputs [2]string
	for i := range outputs {
		var stdout, stderr bytes.Buffer
		if code := run(args, &stdout, &stderr); code != exitOK {
			t.Fatalf("exit code %d: %s", code, &stderr)
		}
		outputs[i] = stdout.String()
	}
	if outputs[0] != outputs[1] {
		t.Errorf("two runs differ:\n%s\n%s", outputs[0], outputs[1])
	}
	for _, want := range []string{"2,000 conns on 4 rings", "\np2c-bump+hold ", "hash, at once "} {
		if !strings.Contains(outputs[0], want) {
			t.Errorf("no %q in\n%s", want, outputs[0])
		}
	}
	b, err := os.ReadFile(js)
	if err != nil {
		t.Fatal(err)
	}
	var rep report
	if err := json.Unmarshal(b, &rep); err != nil {
		t.Fatal(err)
	}
	if len(rep.Results) != 1+strings.Count(defaultPolicies, ",") || len(rep.Drains) != 4 || len(rep.Results[0].Work.Seconds) != 6 || rep.Config.Conns != 2000 {
		t.Errorf("%+v", rep)
	}
	if b, err = os.ReadFile(svg); err != nil {
		t.Fatal(err)
	}
	checkChart(t, string(b))
	if code := run([]string{"-conns", "10", "-run", "1s", "-json", dir}, io.Discard, io.Discard); code != exitFailed {
		t.Errorf("writing to a directory: exit code %d", code)
	}
}

// checkChart fails if svg is not a picture of its own, or draws outside.
func checkChart(t *testing.T, svg string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(svg))
	for {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, svg)
		}
	}
	for _, bad := range []string{"<script", "url(", "@import", "var(", "NaN", "Inf", "%!"} {
		if strings.Contains(svg, bad) {
			t.Errorf("the chart has %q", bad)
		}
	}
	height := attributes(t, svg, "height")[0]
	for name, limit := range map[string]float64{"x": chartWidth, "x1": chartWidth, "x2": chartWidth, "y": height, "y1": height, "y2": height} {
		for _, v := range attributes(t, svg, name) {
			if v < 0 || v > limit {
				t.Errorf("%s=%v is outside of the picture", name, v)
			}
		}
	}
}

func attributes(t *testing.T, svg, name string) (out []float64) {
	for _, m := range regexp.MustCompile(` `+name+`="([^"]*)"`).FindAllStringSubmatch(svg, -1) {
		v, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			t.Error(err)
		}
		out = append(out, v)
	}
	return out
}

// picture draws policies whose loads are these at all times.
func picture(t *testing.T, loads map[string]float64) string {
	t.Helper()
	r := &report{Config: small()}
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for name := range loads {
			if !yield(name) {
				return
			}
		}
	}) {
		l := load{Seconds: []float64{loads[name], loads[name], loads[name]}}
		l.fill()
		r.Results = append(r.Results, result{Policy: name, Conns: l, Work: l})
	}
	var b bytes.Buffer
	if err := r.chart(&b); err != nil {
		t.Fatal(err)
	}
	checkChart(t, b.String())
	return b.String()
}

func TestChart(t *testing.T) {
	svg := picture(t, map[string]float64{"hash": 2, "p2c-bump": 2, "p2c-work": 1, "scan-stale": 256})
	if n := strings.Count(svg, "<polyline"); n != 4 {
		t.Errorf("%d lines, want 4", n)
	}
	// Names beside the lines keep apart.
	var last float64
	for i, m := range regexp.MustCompile(`y="([0-9.]+)" class="line`).FindAllStringSubmatch(svg, -1) {
		y, _ := strconv.ParseFloat(m[1], 64)
		if i > 0 && last-y < lineStep-0.1 {
			t.Errorf("names at %v and %v", last, y)
		}
		last = y
	}
	for _, loads := range []map[string]float64{nil, {"random": 1}, {"hash": 1}, {"hash": 60_000}} {
		if svg := picture(t, loads); strings.Count(svg, "<polyline") != len(loads)-strings.Count(svg, ">random<") {
			t.Errorf("%v:\n%s", loads, svg)
		}
	}
}

func TestScaled(t *testing.T) {
	a := newScaled(100, 200, []float64{4})
	for load, want := range map[float64]float64{0: 100, 1: 100, 2: 150, 4: 200} {
		if got := a.at(load); math.Abs(got-want) > 0.01 {
			t.Errorf("%v is at %v, want %v", load, got, want)
		}
	}
	if got := a.grid(20); !slices.Equal(got, []float64{1, 1.5, 2, 3, 4}) {
		t.Errorf("grid %v", got)
	}
}

func TestText(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := thousands(n); got != want {
			t.Errorf("%d: %q", n, got)
		}
	}
	for share, want := range map[float64]string{0: "0%", 0.5: "50%", 0.125: "12.5%", 1: "100%"} {
		if got := percent(share); got != want {
			t.Errorf("%v: %q", share, got)
		}
	}
	for d, want := range map[time.Duration]string{50 * time.Millisecond: "50ms", 90 * time.Second: "1m30s", 5 * time.Minute: "5m", time.Minute + 20*time.Second: "1m20s"} {
		if got := short(d); got != want {
			t.Errorf("%v: %q", d, got)
		}
	}
	if got := wrap([]string{"aa", "bb", "a long one", "c"}, 7); !slices.Equal(got, []string{"aa · bb", "a long one", "c"}) {
		t.Errorf("%q", got)
	}
}
