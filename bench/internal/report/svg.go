package report

import (
	"fmt"
	"math"
	"strings"

	"github.com/quoit-go/quoit/bench/internal/hist"
	"github.com/quoit-go/quoit/bench/internal/svg"
)

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
	var d svg.Drawing
	lo := float64(min(c.base.Quantile(firstQuantile), c.other.Quantile(firstQuantile)))
	hi := float64(max(c.base.Quantile(0.9999), c.other.Quantile(0.9999)))
	lo, hi = max(lo, 100), max(hi, 2*lo, 200)
	right, bottom := curveWidth-marginRight, curveHeight-marginBelow
	x := func(q float64) float64 { return marginLeft + (right-marginLeft)*nine(q)/nine(0.9999) }
	y := func(ns float64) float64 {
		share := math.Log(max(ns, lo)/lo) / math.Log(hi/lo)
		return bottom - (bottom-marginTop)*min(share, 1)
	}
	d.Text(marginLeft, 16, "title", "start", c.Label())
	for _, n := range nines {
		d.Line(x(n.q), marginTop, x(n.q), bottom, "grid")
		anchor := "middle"
		if n.q == 0.9999 {
			anchor = "end"
		}
		d.Text(min(x(n.q), right+marginRight-2), curveHeight-8, "tick", anchor, n.label)
	}
	for decade := math.Pow(10, math.Floor(math.Log10(lo))); decade <= hi; decade *= 10 {
		for _, k := range []float64{1, 2, 5} {
			// With few decades the steps between them have labels too.
			if v := decade * k; v >= lo && v <= hi && (k == 1 || hi/lo < 300) {
				d.Line(marginLeft, y(v), right, y(v), "grid")
				d.Text(marginLeft-6, y(v)+4, "tick", "end", nanos(v))
			}
		}
	}
	curve(&d, &c.base, "base", x, y)
	curve(&d, &c.other, "other", x, y)
	return d.Inline(curveWidth, curveHeight, "latencies of "+c.Label())
}

func curve(d *svg.Drawing, h *hist.Hist, class string, x, y func(float64) float64) {
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
	d.Add(`<polyline points="%s" class="curve %s"/>`, points.String(), class)
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
