package report

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quoit-go/quoit/bench/internal/workload"
)

func chart(t *testing.T, r *Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.Chart(&b); err != nil {
		t.Fatal(err)
	}
	wellFormed(t, b.String())
	for _, bad := range []string{"<script", "url(", "@import", "@font-face", "var(", "<b>", "NaN", "Inf", "%!"} {
		if strings.Contains(b.String(), bad) {
			t.Errorf("the chart has %q", bad)
		}
	}
	return b.String()
}

// versus is a case with that ratio of requests/s in every pair.
func versus(name string, conns int, ratio float64) *Case {
	c := &Case{Workload: workload.All([]int{conns})[0], Versus: name, Pin: "off", GOMAXPROCS: 2}
	for range 4 {
		c.Add(result(1000, time.Millisecond), result(uint64(1000*ratio), time.Millisecond))
	}
	return c
}

func TestChart(t *testing.T) {
	r := &Report{Base: "net", Go: "go1.26", Length: time.Second, Cases: []*Case{versus("quoit", 1, 0.8), versus("quoit", 64, 1.2)}}
	svg := chart(t, r)
	for _, want := range []string{
		`<svg xmlns="http://www.w3.org/2000/svg" width="860"`, "@media (prefers-color-scheme: dark)",
		">quoit ÷ net<", `class="value bad" text-anchor="end">0.80<`, `class="value good" text-anchor="end">1.20<`,
		"GOMAXPROCS 2", "4 pairs of runs of 1s", ">CPU per request<", ">p99<",
	} {
		if !strings.Contains(svg, want) {
			t.Errorf("no %q in\n%s", want, svg)
		}
	}
	for _, unwanted := range []string{"net ÷ net", `class="noise"`, "<path"} {
		if strings.Contains(svg, unwanted) {
			t.Errorf("%q in\n%s", unwanted, svg)
		}
	}
}

func TestChartParts(t *testing.T) {
	far := versus("quoit:ring", 64, 30)
	failed := versus("quoit:poll", 8, 1)
	failed.Pairs = nil
	all := []*Case{far, versus("quoit:poll", 64, 1.1), versus("net", 64, 0.97), versus("net", 1, 1.02), failed}
	all[1].Fallback = "seccomp & <more>"
	svg := chart(t, &Report{Base: "net", Cases: all, Stopped: "stopped early"})
	for want, n := range map[string]int{
		"quoit:ring ÷ net": 1, "quoit:poll ÷ net": 1, "net ÷ net, lowest": 1, `class="noise"`: 6,
		"seccomp &amp; &lt;more&gt;": 1, "not measured: http/8 quoit:poll": 1, "stopped early": 1,
		"<path": 4, // both quartiles of rate and of CPU per request
	} {
		if got := strings.Count(svg, want); got != n {
			t.Errorf("%q is there %d times, want %d:\n%s", want, got, n, svg)
		}
	}
	if svg := chart(t, &Report{Base: "net", Cases: all[2:4]}); !strings.Contains(svg, ">net ÷ net<") {
		t.Errorf("the noise alone is not shown:\n%s", svg)
	}
	if svg := chart(t, &Report{Base: "net"}); !strings.Contains(svg, "nothing measured") {
		t.Errorf("an empty report:\n%s", svg)
	}
	chart(t, sample())
}

// Every row and the footer are within the picture.
func TestChartHeight(t *testing.T) {
	for _, n := range []int{1, 5, 40} {
		r := &Report{Base: "net"}
		for i := range n {
			r.Cases = append(r.Cases, versus("quoit", i+1, 1.1))
		}
		svg := chart(t, r)
		var height, last, y float64
		if _, err := fmt.Sscanf(svg, `<svg xmlns="http://www.w3.org/2000/svg" width="860" height="%f"`, &height); err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(` y="([0-9.]+)"`).FindAllStringSubmatch(svg, -1) {
			fmt.Sscan(m[1], &y)
			last = max(last, y)
		}
		if last+5 > height || last+40 < height {
			t.Errorf("%d rows: the last text is at %v of %v", n, last, height)
		}
	}
}

func TestScale(t *testing.T) {
	tests := []struct {
		name   string
		ratios []float64
		span   float64
	}{
		{"none", nil, 1.25}, {"equal", []float64{1, 1}, 1.25}, {"slow", []float64{0.55, 1}, 2},
		{"at the edge", []float64{4}, 4}, {"far", []float64{50}, 10},
		{"one outlier of many", append(slices.Repeat([]float64{1.1}, 30), 50), 1.25},
	}
	for _, tt := range tests {
		var cases []*Case
		for _, r := range tt.ratios {
			cases = append(cases, versus("quoit", 1, r))
		}
		if s := scaleFor(cases, metric("rate")); s.span != tt.span {
			t.Errorf("%s: the axis ends at %v, want %v", tt.name, s.span, tt.span)
		}
	}
	a := ratioAxis{left: 100, width: 80, span: 2}
	for ratio, want := range map[float64]float64{0: 100, 0.5: 100, 1: 140, 2: 180, 9: 180} {
		if x := a.at(ratio); x < want-0.01 || x > want+0.01 {
			t.Errorf("%v is at %v, want %v", ratio, x, want)
		}
	}
	if a.beyond(0.4) != -1 || a.beyond(0.5) != 0 || a.beyond(2) != 0 || a.beyond(2.1) != 1 {
		t.Error("beyond is wrong")
	}
}

func TestWrap(t *testing.T) {
	got := wrap([]string{"aa", "bb", "a long one", "÷"}, ", ", 6)
	if want := []string{"aa, bb", "a long one", "÷"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
