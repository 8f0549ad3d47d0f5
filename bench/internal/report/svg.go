package report

import (
	"fmt"
	"html"
	"math"
	"strings"

	"github.com/quoit-go/quoit/bench/internal/hist"
)

// drawing collects the elements of one SVG picture.
type drawing struct{ strings.Builder }

func (d *drawing) add(format string, args ...any) { fmt.Fprintf(d, format+"\n", args...) }

// text's anchor is start, middle or end.
func (d *drawing) text(x, y float64, class, anchor, s string) {
	d.add(`<text x="%.1f" y="%.1f" class="%s" text-anchor="%s">%s</text>`, x, y, class, anchor, html.EscapeString(s))
}

func (d *drawing) line(x1, y1, x2, y2 float64, class string) {
	d.add(`<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" class="%s"/>`, x1, y1, x2, y2, class)
}

func (d *drawing) svg(width, height float64, label string) string {
	return fmt.Sprintf(`<svg viewBox="0 0 %.0f %.0f" role="img" aria-label="%s">%s</svg>`,
		width, height, html.EscapeString(label), d.String())
}

// Sizes of the chart of ratios, in pixels.
const (
	rowHeight  = 26.0
	labelWidth = 210.0
	panelWidth = 225.0
	valueWidth = 44.0
	panelGap   = 18.0
	headHeight = 46.0
)

// chartKeys are the metrics that have a panel.
var chartKeys = []string{"rate", "cpu", "p50", "p99"}

// ratioAxis is logarithmic: twice as fast is as far from 1 as half as fast.
type ratioAxis struct {
	left, width float64
	span        float64 // the axis goes from 1/span to span
}

// at clamps, so that an outlier ends at the edge of its panel.
func (a ratioAxis) at(ratio float64) float64 {
	share := math.Log(max(ratio, 1e-9)) / math.Log(a.span)
	return a.left + a.width/2*(1+min(max(share, -1), 1))
}

// spans are the axes to choose from, with their ticks above 1.
var spans = []struct {
	span  float64
	ticks []float64
}{
	{1.25, []float64{1.1, 1.2}},
	{2, []float64{1.25, 1.5, 2}},
	{4, []float64{1.5, 2, 3, 4}},
	{10, []float64{2, 5, 10}},
}

// verdict is the class of a ratio: good or bad only if the quartiles agree.
func verdict(c Comparison, m Metric) string {
	above, below := c.Ratio.Q1 > 1, c.Ratio.Q3 < 1
	switch {
	case c.Ratio.N == 0 || above == below:
		return "same"
	case above == m.HigherIsBetter:
		return "good"
	}
	return "bad"
}

// ratioChart draws a bar from 1 to the median and a whisker between the
// quartiles, for each case and metric.
func ratioChart(cases []*Case) string {
	var d drawing
	height := headHeight + rowHeight*float64(len(cases)) + 8
	width := labelWidth + float64(len(chartKeys))*(panelWidth+panelGap)
	for i, c := range cases {
		y := headHeight + rowHeight*(float64(i)+0.5)
		if i%2 == 1 {
			d.add(`<rect x="0" y="%.1f" width="%.1f" height="%.1f" class="stripe"/>`, y-rowHeight/2, width, rowHeight)
		}
		d.text(labelWidth-14, y+4, "label", "end", c.Label())
	}
	for i, key := range chartKeys {
		left := labelWidth + float64(i)*(panelWidth+panelGap)
		ratioPanel(&d, left, height, cases, metric(key))
	}
	return d.svg(width, height, "ratios by workload")
}

func ratioPanel(d *drawing, left, height float64, cases []*Case, m Metric) {
	var comparisons []Comparison
	far := 1.0
	for _, c := range cases {
		cmp := c.Compare(m)
		comparisons = append(comparisons, cmp)
		for _, q := range []float64{cmp.Ratio.Q1, cmp.Ratio.Q3} {
			if q > 0 {
				far = max(far, q, 1/q)
			}
		}
	}
	scale := spans[len(spans)-1]
	for _, s := range spans {
		if far <= s.span {
			scale = s
			break
		}
	}
	a := ratioAxis{left: left, width: panelWidth - valueWidth, span: scale.span}
	better := "lower is better"
	if m.HigherIsBetter {
		better = "higher is better"
	}
	d.text(left, 14, "title", "start", m.Title)
	d.text(left+panelWidth, 14, "tick", "end", better)
	d.line(a.at(1), headHeight-6, a.at(1), height-8, "one")
	d.text(a.at(1), headHeight-10, "tick", "middle", "1")
	for _, t := range scale.ticks {
		for _, r := range []float64{t, 1 / t} {
			d.line(a.at(r), headHeight-6, a.at(r), height-8, "grid")
		}
	}
	last := scale.ticks[len(scale.ticks)-1]
	d.text(a.at(last), headHeight-10, "tick", "middle", fmt.Sprintf("%.4g", last))
	d.text(a.at(1/last), headHeight-10, "tick", "middle", fmt.Sprintf("%.2g", 1/last))
	for i, cmp := range comparisons {
		if cmp.Ratio.N == 0 {
			continue
		}
		y := headHeight + rowHeight*(float64(i)+0.5)
		class := verdict(cmp, m)
		x0, x1 := a.at(1), a.at(cmp.Ratio.Median)
		d.add(`<rect x="%.1f" y="%.1f" width="%.1f" height="12" rx="2" class="bar %s"><title>%s</title></rect>`,
			min(x0, x1), y-6, max(math.Abs(x1-x0), 1), class, html.EscapeString(cmp.ratio()))
		lo, hi := a.at(cmp.Ratio.Q1), a.at(cmp.Ratio.Q3)
		d.line(lo, y, hi, y, "whisker")
		d.line(lo, y-4, lo, y+4, "whisker")
		d.line(hi, y-4, hi, y+4, "whisker")
		d.text(left+panelWidth, y+4, "value "+class, "end", fmt.Sprintf("%.2f", cmp.Ratio.Median))
	}
}

// Sizes of a chart of latencies, in pixels.
const (
	curveWidth  = 340.0
	curveHeight = 220.0
	marginLeft  = 52.0
	marginRight = 14.0
	marginTop   = 30.0
	marginBelow = 26.0
)

// nines is the percentile axis: each step to the right is a tenth of the
// requests before.
var nines = []struct {
	q     float64
	label string
}{{0, "0"}, {0.5, "50"}, {0.9, "90"}, {0.99, "99"}, {0.999, "99.9"}, {0.9999, "99.99 %"}}

// firstQuantile is where curves begin: the very fastest requests would only
// stretch the scale.
const firstQuantile = 0.1

func nine(q float64) float64 { return -math.Log10(1 - q) }

// curveChart draws latency against percentile for both sides of a case.
func curveChart(c *Case) string {
	var d drawing
	lo := float64(min(c.base.Quantile(firstQuantile), c.other.Quantile(firstQuantile)))
	hi := float64(max(c.base.Quantile(0.9999), c.other.Quantile(0.9999)))
	lo, hi = max(lo, 100), max(hi, 2*lo, 200)
	right, bottom := curveWidth-marginRight, curveHeight-marginBelow
	x := func(q float64) float64 { return marginLeft + (right-marginLeft)*nine(q)/nine(0.9999) }
	y := func(ns float64) float64 {
		share := math.Log(max(ns, lo)/lo) / math.Log(hi/lo)
		return bottom - (bottom-marginTop)*min(share, 1)
	}
	d.text(marginLeft, 16, "title", "start", c.Label())
	for _, n := range nines {
		d.line(x(n.q), marginTop, x(n.q), bottom, "grid")
		anchor := "middle"
		if n.q == 0.9999 {
			anchor = "end"
		}
		d.text(min(x(n.q), right+marginRight-2), curveHeight-8, "tick", anchor, n.label)
	}
	for decade := math.Pow(10, math.Floor(math.Log10(lo))); decade <= hi; decade *= 10 {
		for _, k := range []float64{1, 2, 5} {
			// With few decades the steps between them have labels too.
			if v := decade * k; v >= lo && v <= hi && (k == 1 || hi/lo < 300) {
				d.line(marginLeft, y(v), right, y(v), "grid")
				d.text(marginLeft-6, y(v)+4, "tick", "end", nanos(v))
			}
		}
	}
	curve(&d, &c.base, "base", x, y)
	curve(&d, &c.other, "other", x, y)
	return d.svg(curveWidth, curveHeight, "latencies of "+c.Label())
}

func curve(d *drawing, h *hist.Hist, class string, x, y func(float64) float64) {
	if h.Count() == 0 {
		return
	}
	var points strings.Builder
	for n := nine(firstQuantile); n <= nine(0.9999)+0.001; n += 0.05 {
		q := 1 - math.Pow(10, -n)
		if float64(h.Count())*(1-q) < 1 {
			break // fewer requests than this percentile needs
		}
		fmt.Fprintf(&points, "%.1f,%.1f ", x(q), y(float64(h.Quantile(q))))
	}
	d.add(`<polyline points="%s" class="curve %s"/>`, points.String(), class)
}

func nanos(v float64) string {
	switch {
	case v >= 1e9:
		return fmt.Sprintf("%g s", v/1e9)
	case v >= 1e6:
		return fmt.Sprintf("%g ms", v/1e6)
	case v >= 1e3:
		return fmt.Sprintf("%g µs", v/1e3)
	}
	return fmt.Sprintf("%g ns", v)
}
