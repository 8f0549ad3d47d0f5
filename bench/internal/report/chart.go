package report

import (
	"fmt"
	"html"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quoit-go/quoit/bench/internal/svg"
)

// Sizes of the chart, in pixels.
const (
	chartWidth   = 860.0
	chartMargin  = 20.0
	chartGap     = 20.0
	footerLine   = 16.0
	footerLength = 135 // characters that fit the width in any common font
)

// chartKeys are the metrics that have a panel in the chart.
var chartKeys = []string{"rate", "cpu", "p99"}

// Chart writes an SVG picture of the ratios that needs nothing else, for a
// README. It brings a background of its own, since a theme may be set against
// the system's.
func (r *Report) Chart(w io.Writer) error {
	var d svg.Drawing
	versus, noise := r.compared()
	one := len(versus) == 1
	heading := "Ratios to " + r.Base
	if one {
		heading = versus[0] + " ÷ " + r.Base
	}
	d.Text(chartMargin, 36, "heading", "start", heading)
	d.Text(chartMargin, 57, "quiet", "start", "Dot: median of the ratios of neighbouring runs. Line: their quartiles.")
	legend(&d, chartMargin, 76, len(noise) > 0, r.Base)
	y := 94.0
	t := r.chartTable(versus)
	for _, v := range versus {
		cases := r.measured(v)
		if !one {
			d.Text(chartMargin, y+16, "title", "start", v+" ÷ "+r.Base)
			y += 26
		}
		t.top = y
		t.draw(&d, cases, noise)
		y = t.bottom(len(cases)) + 16
	}
	if len(versus) == 0 {
		d.Text(chartMargin, y+16, "quiet", "start", "nothing measured")
		y += 32
	}
	for _, l := range r.footer() {
		d.Text(chartMargin, y+10, "tick", "start", l)
		y += footerLine
	}
	height := y + 12
	_, err := fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" viewBox="0 0 %.0f %.0f" role="img" aria-label="%s">
<style>
%s</style>
<rect x="0.5" y="0.5" width="%.0f" height="%.0f" rx="8" class="card"/>
%s</svg>
`, chartWidth, height, chartWidth, height, html.EscapeString(heading+" by workload"), literalRules(), chartWidth-1, height-1, d.String())
	return err
}

// compared returns the servers that were compared with the base, and the
// cases of the base itself. Where there is nothing else, these count.
func (r *Report) compared() (versus []string, noise []*Case) {
	for _, v := range r.versus() {
		if v != r.Base {
			versus = append(versus, v)
		}
	}
	if len(versus) == 0 {
		return r.versus(), nil
	}
	return versus, r.measured(r.Base)
}

// measured returns the cases of a server that have results.
func (r *Report) measured(versus string) []*Case {
	var out []*Case
	for _, c := range r.Cases {
		if c.Versus == versus && len(c.Pairs) > 0 {
			out = append(out, c)
		}
	}
	return out
}

// chartTable gives names the width they need and shares the rest out.
func (r *Report) chartTable(versus []string) ratioTable {
	const charWidth = 7.2
	t := ratioTable{left: chartMargin, keys: chartKeys, gap: chartGap, row: 20}
	longest := 0
	for _, v := range versus {
		for _, c := range r.measured(v) {
			longest = max(longest, len(c.name()))
			t.all = append(t.all, c)
		}
	}
	t.label = min(max(charWidth*float64(longest)+nameGap+18, 130), 300)
	n := float64(len(t.keys))
	t.panel = (chartWidth - 2*chartMargin - t.label - (n-1)*t.gap) / n
	return t
}

// legend is one text: only the program that shows it knows how wide it is.
func legend(d *svg.Drawing, x, y float64, noise bool, base string) {
	items := [][3]string{
		{"good", "●", "better"},
		{"bad", "●", "worse"},
		{"same", "○", "neither: 1 is between the quartiles"},
		{"same", "›", "beyond the scale"},
	}
	if noise {
		items = append(items, [3]string{"same", "▒", base + " ÷ " + base + ", lowest to highest median"})
	}
	all, dx := "", 0
	for _, i := range items {
		all += fmt.Sprintf(`<tspan dx="%d" class="%s">%s</tspan> %s`, dx, i[0], i[1], html.EscapeString(i[2]))
		dx = 16
	}
	d.Add(`<text x="%.1f" y="%.1f" class="quiet">%s</text>`, x, y, all)
}

// footer says where and how, and what is missing.
func (r *Report) footer() []string {
	lines := wrap(r.setting(), " · ", footerLength)
	for _, c := range r.Cases {
		if c.Fallback != "" {
			lines = append(lines, "package net served in quoit's place: "+c.Fallback)
			break
		}
	}
	var failed []string
	for _, c := range r.Cases {
		if len(c.Pairs) == 0 {
			failed = append(failed, c.Label())
		}
	}
	if len(failed) > 0 {
		failed[0] = "not measured: " + failed[0]
		lines = append(lines, wrap(failed, ", ", footerLength)...)
	}
	if r.Stopped != "" {
		lines = append(lines, r.Stopped)
	}
	return lines
}

// wrap joins parts by sep in lines of at most length characters.
func wrap(parts []string, sep string, length int) []string {
	var lines []string
	for _, p := range parts {
		if n := len(lines); n > 0 && len([]rune(lines[n-1]+sep+p)) <= length {
			lines[n-1] += sep + p
		} else {
			lines = append(lines, p)
		}
	}
	return lines
}

// setting names machine and method, without which figures mean nothing.
func (r *Report) setting() []string {
	m := r.Machine
	out := []string{"Linux " + m.Kernel, fmt.Sprintf("%s, %d CPUs", cpuName.Replace(m.CPU), m.CPUs), r.Go}
	var pairs, procs []int
	for _, c := range r.Cases {
		if n := len(c.Pairs); n > 0 {
			pairs, procs = append(pairs, n), append(procs, c.GOMAXPROCS)
		}
	}
	if len(pairs) == 0 {
		return append(out, r.Date.Format(time.DateOnly))
	}
	if least, most := slices.Min(procs), slices.Max(procs); most > 0 {
		out = append(out, "GOMAXPROCS "+span(least, most))
	}
	return append(out,
		fmt.Sprintf("%s pairs of runs of %v", span(slices.Min(pairs), slices.Max(pairs)), r.Length),
		"load generator on the same machine",
		r.Date.Format(time.DateOnly))
}

func span(least, most int) string {
	if least == most {
		return strconv.Itoa(least)
	}
	return fmt.Sprintf("%d to %d", least, most)
}

var cpuName = strings.NewReplacer("(R)", "", "(TM)", "", "(tm)", "")
