package report

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quoit-go/quoit/bench/internal/load"
	"github.com/quoit-go/quoit/bench/internal/serve"
	"github.com/quoit-go/quoit/bench/internal/workload"
)

func withRings(r *load.Result, work ...uint64) *load.Result {
	for _, w := range work {
		r.Rings = append(r.Rings, serve.Ring{Conns: 10, Work: w})
	}
	return r
}

func ringed() *Report {
	c := &Case{Workload: workload.All([]int{64})[0], Versus: "quoit:2rings<", Pin: "off"}
	one, two := result(1000, time.Millisecond), result(1000, time.Millisecond)
	c.Add(one, withRings(two, 100, 300))
	c.Add(one, withRings(result(1000, time.Millisecond), 100, 100))
	return &Report{Base: "quoit:1ring", Cases: []*Case{c}}
}

func TestRingRows(t *testing.T) {
	rows := ringed().ringRows()
	want := []string{"http/64 quoit:2rings<", "quoit:2rings<", "2", "2", "1.00 (1.00-1.00)", "-", "1.25 (1.12-1.38)"}
	if len(rows) != 1 || !slices.Equal(rows[0].texts(), want) {
		t.Errorf("%+v, want %q", rows, want)
	}
	r := ringed()
	r.Cases[0].Add(withRings(result(1, 1), 1, 1, 1), withRings(result(1, 1), 0, 1))
	rows = r.ringRows()
	if len(rows) != 2 || rows[0].Server != "quoit:1ring" || rows[0].Rings != 3 || rows[0].Runs != 1 || rows[1].Runs != 3 {
		t.Errorf("both sides: %+v", rows)
	}
}

func TestBusiest(t *testing.T) {
	tests := []struct {
		conns []int
		want  float64
		ok    bool
	}{
		{[]int{4, 4}, 1, true}, {[]int{1, 2, 3}, 1.5, true}, {[]int{0, 8, 0, 0}, 4, true},
		{[]int{0, 0}, 0, false}, {[]int{0, 1}, 0, false}, {[]int{1, 1}, 1, true},
	}
	for _, tt := range tests {
		var rings []serve.Ring
		for _, n := range tt.conns {
			rings = append(rings, serve.Ring{Conns: n})
		}
		x, ok := busiest(rings, ringFigures[0].of)
		if ok != tt.ok || ok && x != tt.want {
			t.Errorf("%v: %v, %t, want %v, %t", tt.conns, x, ok, tt.want, tt.ok)
		}
	}
}

func TestReportsWithRings(t *testing.T) {
	r := ringed()
	var file bytes.Buffer
	if err := r.JSON(&file); err != nil {
		t.Fatal(err)
	}
	if s := file.String(); strings.Count(s, `"rings":[{"conns":10,"accepted":0,"work":100},`) != 2 {
		t.Errorf("the JSON lacks the rings:\n%s", s)
	}
	back, err := Read(&file)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		render func(*Report, io.Writer) error
		want   string
	}{
		"Table":    {(*Report).Table, "SERVER         RINGS  RUNS  CONNS             ACCEPTED  WORK\n"},
		"Markdown": {(*Report).Markdown, "| quoit:2rings< | 2 | 2 | 1.00 (1.00-1.00) | - | 1.25 (1.12-1.38) |\n"},
		"HTML":     {(*Report).HTML, "<td>quoit:2rings&lt;<td>2<td>2<td>1.00 (1.00-1.00)<td>-<td>1.25 (1.12-1.38)</tr>"},
	} {
		var b, again, without bytes.Buffer
		if err := errors.Join(tt.render(r, &b), tt.render(back, &again), tt.render(sample(), &without)); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(b.String(), tt.want) || !strings.Contains(b.String(), "1 is even") {
			t.Errorf("%s: no %q in\n%s", name, tt.want, &b)
		}
		if b.String() != again.String() {
			t.Errorf("%s differs when read back:\n%s\nwas:\n%s", name, &again, &b)
		}
		if s := strings.ToLower(without.String()); strings.Contains(s, "rings") || strings.Contains(s, "accepted") {
			t.Errorf("%s speaks of rings where there are none:\n%s", name, &without)
		}
	}
	file.Reset()
	if err := sample().JSON(&file); err != nil || strings.Contains(file.String(), "rings") {
		t.Errorf("the JSON speaks of rings where there are none: %v", err)
	}
}
