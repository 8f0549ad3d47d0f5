package main

import (
	"cmp"
	_ "embed"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/quoit-go/quoit/bench/internal/svg"
)

// Sizes of the chart, in pixels.
const (
	chartWidth  = 860.0
	chartMargin = 20.0
	barLeft     = 150.0 // after the names of policies
	barRight    = 800.0 // values need room to the right
	barRow      = 32.0
	barHeight   = 9.0
	lineRight   = 730.0 // before the names of lines
	lineHeight  = 230.0
	lineStep    = 15.0 // between names of lines
	footerLine  = 16.0
	footerChars = 125
)

// lined are the policies shown over time: as many as there are line colours.
var lined = []string{"hash", "scan-stale", "p2c-bump", "p2c-bump+hold", "p2c-work"}

// gridAt are the loads that have a grid line.
var gridAt = []float64{1, 1.1, 1.25, 1.5, 2, 3, 4, 6, 8, 16, 32, 64, 128, 256, 1024, 4096, 16384, 65536}

// chartRules are GitHub's colours for light and dark.
//
//go:embed chart.css
var chartRules string

// scaled is a logarithmic axis of loads from 1 to most.
type scaled struct{ from, to, most float64 }

func newScaled(from, to float64, loads []float64) scaled {
	return scaled{from, to, max(slices.Max(append(loads, 1)), 1.25)}
}

func (a scaled) at(load float64) float64 {
	return a.from + (a.to-a.from)*math.Log(max(load, 1))/math.Log(a.most)
}

// grid returns the loads to draw, with room for labels between them.
func (a scaled) grid(room float64) []float64 {
	var out []float64
	for _, v := range gridAt {
		if v > a.most || len(out) > 0 && math.Abs(a.at(v)-a.at(out[len(out)-1])) < room {
			continue
		}
		out = append(out, v)
	}
	return out
}

// chart writes an SVG picture that needs nothing else. It brings a background
// of its own, since a theme may be set against the system's.
func (r *report) chart(w io.Writer) error {
	const heading = "Load of the worst ring, by steering policy"
	var d svg.Drawing
	d.Text(chartMargin, 36, "heading", "start", heading)
	d.Text(chartMargin, 57, "quiet", "start", "Relative to the mean of all rings; 1 is even. Bar: median over the run. Thin line: to the worst moment.")
	d.Add(`<text x="%.1f" y="76.0" class="quiet"><tspan class="conns">■</tspan> conns<tspan dx="16" class="work">■</tspan> work</text>`, chartMargin)
	y := r.bars(&d, 94)
	y = r.lines(&d, y+14)
	for _, l := range wrap(r.setting(), footerChars) {
		d.Text(chartMargin, y+10, "tick", "start", l)
		y += footerLine
	}
	height := y + 12
	_, err := fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" viewBox="0 0 %.0f %.0f" role="img" aria-label="%s">
<style>
%s</style>
<rect x="0.5" y="0.5" width="%.0f" height="%.0f" rx="8" class="card"/>
%s</svg>
`, chartWidth, height, chartWidth, height, heading, chartRules, chartWidth-1, height-1, d.String())
	return err
}

// bars draws conns and work of each policy, and returns where it ends.
func (r *report) bars(d *svg.Drawing, top float64) float64 {
	var all []float64
	for _, res := range r.Results {
		all = append(all, res.Conns.Worst, res.Work.Worst)
	}
	axis := newScaled(barLeft, barRight, all)
	bottom := top + 18 + barRow*float64(len(r.Results))
	for i := 0; i < len(r.Results); i += 2 {
		d.Add(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" class="stripe"/>`,
			chartMargin, top+18+barRow*float64(i), chartWidth-2*chartMargin, barRow)
	}
	for _, v := range axis.grid(30) {
		d.Line(axis.at(v), top+14, axis.at(v), bottom, "grid")
		d.Text(axis.at(v), top+8, "tick", "middle", fmt.Sprint(v))
	}
	for i, res := range r.Results {
		y := top + 18 + barRow*float64(i)
		d.Text(barLeft-10, y+20, "name", "end", res.Policy)
		value := "value"
		if i%2 == 0 {
			value = "value striped"
		}
		axis.bar(d, y+5, res.Conns, "conns", value)
		axis.bar(d, y+5+barHeight+4, res.Work, "work", value)
	}
	return bottom
}

// bar is at least a pixel long, so that an even load is seen.
func (a scaled) bar(d *svg.Drawing, y float64, l load, class, value string) {
	end := a.at(l.Worst)
	d.Add(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" class="%s"/>`,
		a.from, y, max(a.at(l.Median)-a.from, 1), barHeight, class)
	d.Line(a.at(l.Median), y+barHeight/2, end, y+barHeight/2, "most "+class)
	d.Text(end+6, y+barHeight-0.5, value, "start", fmt.Sprintf("%.2f", l.Worst))
}

// lines draws the work of some policies over time, and returns where it ends.
func (r *report) lines(d *svg.Drawing, top float64) float64 {
	var shown []result
	var all []float64
	for _, name := range lined {
		if i := slices.IndexFunc(r.Results, func(res result) bool { return res.Policy == name }); i >= 0 {
			shown = append(shown, r.Results[i])
			all = append(all, r.Results[i].Work.Worst)
		}
	}
	if len(shown) == 0 {
		return top
	}
	d.Text(chartMargin, top+14, "title", "start", "Work of the worst ring, in the time after the restart")
	top += 32
	bottom, left := top+lineHeight, 60.0
	axis := newScaled(bottom, top, all)
	for _, v := range axis.grid(12) {
		d.Line(left, axis.at(v), lineRight, axis.at(v), "grid")
		d.Text(left-8, axis.at(v)+4, "tick", "end", fmt.Sprint(v))
	}
	last := max(len(shown[0].Work.Seconds)-1, 1)
	x := func(second int) float64 { return left + (lineRight-left)*float64(second)/float64(last) }
	for i := range 5 {
		second := last * i / 4
		anchor := "middle"
		if i == 4 {
			anchor = "end"
		}
		d.Text(x(second), bottom+16, "tick", anchor, fmt.Sprintf("%d s", second))
	}
	type label struct {
		y           float64
		name, class string
	}
	var labels []label
	for i, res := range shown {
		class := "line" + string(rune('a'+slices.Index(lined, res.Policy)))
		var points strings.Builder
		for second, v := range res.Work.Seconds {
			fmt.Fprintf(&points, "%.1f,%.1f ", x(second), axis.at(v))
		}
		d.Add(`<polyline points="%s" class="curve %s"/>`, points.String(), class)
		ends := shown[i].Work.Seconds
		labels = append(labels, label{axis.at(ends[len(ends)-1]) + 4, res.Policy, class})
	}
	// Names are beside the ends of their lines, pushed up where they would meet.
	slices.SortFunc(labels, func(a, b label) int { return cmp.Compare(b.y, a.y) })
	for i := range labels {
		if i > 0 {
			labels[i].y = min(labels[i].y, labels[i-1].y-lineStep)
		}
		d.Text(lineRight+8, labels[i].y, labels[i].class, "start", labels[i].name)
	}
	return bottom + 30
}
