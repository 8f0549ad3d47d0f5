package report

import (
	"fmt"
	"html"
	"math"
	"strings"

	"github.com/quoit-go/quoit/bench/internal/svg"
)

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

// beyond is -1 or 1 for a ratio off that end of the axis, or 0.
func (a ratioAxis) beyond(ratio float64) float64 {
	switch {
	case ratio < 0.999/a.span:
		return -1
	case ratio > 1.001*a.span:
		return 1
	}
	return 0
}

type scale struct {
	span  float64
	ticks []float64 // besides 1
}

var scales = []scale{
	{1.25, []float64{0.8, 0.9, 1.1, 1.25}},
	{1.5, []float64{0.67, 0.8, 1.25, 1.5}},
	{2, []float64{0.5, 0.7, 1.4, 2}},
	{3, []float64{0.33, 0.6, 1.7, 3}},
	{4, []float64{0.25, 0.5, 2, 4}},
	{10, []float64{0.1, 0.3, 3, 10}},
}

// maxOutside is the share of medians and quartiles that may be off the scale:
// a single outlier should not make all other differences small.
const maxOutside = 0.05

func scaleFor(cases []*Case, m Metric) scale {
	var values []float64
	for _, c := range cases {
		if r := c.Compare(m).Ratio; r.N > 0 {
			values = append(values, r.Q1, r.Median, r.Q3)
		}
	}
	for _, s := range scales[:len(scales)-1] {
		outside := 0
		for _, v := range values {
			if (ratioAxis{span: s.span}).beyond(v) != 0 {
				outside++
			}
		}
		if float64(outside) <= maxOutside*float64(len(values)) {
			return s
		}
	}
	return scales[len(scales)-1]
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

// ratioTable places a chart of ratios: a row for each case, with its name and
// a panel for each metric. Sizes are in pixels.
type ratioTable struct {
	left, top float64
	keys      []string
	all       []*Case // that the scales are for: of all tables that are to be alike
	label     float64 // width of the names
	panel     float64 // width of a panel, its number included
	gap       float64 // between panels
	row       float64 // height
}

const (
	headHeight = 46.0
	valueWidth = 44.0
	nameGap    = 26.0 // for half of the first tick's text
)

func (t ratioTable) width() float64 {
	return t.label + float64(len(t.keys))*(t.panel+t.gap) - t.gap
}

// bottom is where n rows end.
func (t ratioTable) bottom(n int) float64 { return t.top + headHeight + t.row*float64(n) }

// middle is the height of row i.
func (t ratioTable) middle(i int) float64 { return t.bottom(i) + t.row/2 }

// draw gives the rows of every second family a background. noise, if there
// is any, is cases that compare the base with itself: a band spans their
// medians.
func (t ratioTable) draw(d *svg.Drawing, cases, noise []*Case) {
	family, striped := "", true
	d.Text(t.left+6, t.top+headHeight-10, "tick", "start", "workload")
	d.Text(t.left+t.label-nameGap, t.top+headHeight-10, "tick", "end", "conns")
	for i, c := range cases {
		name := c.Workload.Family
		if name != family {
			striped = !striped
		}
		if striped {
			d.Rect(t.left, t.middle(i)-t.row/2, t.width(), t.row, 0, "stripe")
		}
		if name != family {
			d.Text(t.left+6, t.middle(i)+4, "label", "start", name)
		}
		d.Text(t.left+t.label-nameGap, t.middle(i)+4, "label quiet", "end", strings.TrimPrefix(c.name(), name+"/"))
		family = name
	}
	for i, key := range t.keys {
		left := t.left + t.label + float64(i)*(t.panel+t.gap)
		t.drawPanel(d, left, cases, noise, metric(key))
	}
}

func (t ratioTable) drawPanel(d *svg.Drawing, left float64, cases, noise []*Case, m Metric) {
	s := scaleFor(t.all, m)
	a := ratioAxis{left: left, width: t.panel - valueWidth, span: s.span}
	better := "← better"
	if m.HigherIsBetter {
		better = "better →"
	}
	d.Text(left, t.top+14, "title", "start", m.Title)
	d.Text(left+t.panel, t.top+14, "tick", "end", better)
	top, bottom := t.top+headHeight-5, t.bottom(len(cases))
	if lo, hi, ok := medians(noise, m); ok {
		d.Rect(a.at(lo), top, a.at(hi)-a.at(lo), bottom-top, 0, "noise")
	}
	for _, tick := range s.ticks {
		d.Line(a.at(tick), top, a.at(tick), bottom, "grid")
		d.Text(a.at(tick), t.top+headHeight-10, "tick", "middle", fmt.Sprint(tick))
	}
	d.Line(a.at(1), top, a.at(1), bottom, "one")
	d.Text(a.at(1), t.top+headHeight-10, "tick", "middle", "1")
	for i := range cases {
		c, text := cases[i].Compare(m), "-"
		class := verdict(c, m)
		if c.Ratio.N > 0 {
			a.draw(d, t.middle(i), c, class)
			text = Number(c.Ratio.Median)
		}
		d.Text(left+t.panel, t.middle(i)+4, "value "+class, "end", text)
	}
}

// draw puts a bar from 1 to the median with a dot at its end, and a line
// between the quartiles. What is off the axis ends in an arrow.
func (a ratioAxis) draw(d *svg.Drawing, y float64, c Comparison, class string) {
	one, mid := a.at(1), a.at(c.Ratio.Median)
	lo, hi := a.at(c.Ratio.Q1), a.at(c.Ratio.Q3)
	d.Add("<g><title>%s</title>", html.EscapeString(c.ratio()))
	d.Rect(min(one, mid), y-5, math.Abs(mid-one), 10, 0, "bar "+class)
	d.Line(lo, y, hi, y, "whisker "+class)
	for _, q := range []float64{c.Ratio.Q1, c.Ratio.Q3} {
		if off := a.beyond(q); off != 0 {
			x := a.at(q)
			d.Add(`<path d="M%.1f,%.1f l%.1f,3.5 l%.1f,3.5" class="whisker %s"/>`, x, y-3.5, 5*off, -5*off, class)
		}
	}
	if a.beyond(c.Ratio.Median) == 0 {
		d.Circle(mid, y, 3.6, "dot "+class)
	}
	d.Add("</g>")
}

// medians returns the lowest and the highest median of the ratios of cases.
func medians(cases []*Case, m Metric) (lo, hi float64, ok bool) {
	for _, c := range cases {
		r := c.Compare(m).Ratio
		if r.N == 0 {
			continue
		}
		if !ok {
			lo, hi, ok = r.Median, r.Median, true
		}
		lo, hi = min(lo, r.Median), max(hi, r.Median)
	}
	return lo, hi, ok
}

// ratioChart is the picture of ratios for the page.
func ratioChart(cases []*Case) string {
	var d svg.Drawing
	t := ratioTable{all: cases, keys: []string{"rate", "cpu", "p50", "p99"}, label: 210, panel: 225, gap: 18, row: 24}
	t.draw(&d, cases, nil)
	return d.Inline(t.width(), t.bottom(len(cases))+8, "ratios by workload")
}
