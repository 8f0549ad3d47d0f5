package report

import (
	_ "embed"
	"html/template"
	"io"
)

//go:embed page.html
var pageSource string

var page = template.Must(template.New("page").Parse(pageSource))

// group is the cases of one server that is compared with the base.
type group struct {
	Versus string
	Noise  bool // base against itself
	Ratios template.HTML
	Curves []template.HTML
	Tables []pageTable
}

type pageTable struct {
	Title   string
	Metrics []Metric
	Rows    []pageRow
}

type pageRow struct {
	Label, About string
	Pairs        int
	Cells        []pageCell
}

type pageCell struct{ Base, Other, Ratio, Class string }

// ringsPart is nil where no server had several.
type ringsPart struct {
	Title string
	Head  []string
	Rows  [][]string
}

type note struct{ Label, Text string }

// HTML writes one page that needs nothing else.
func (r *Report) HTML(w io.Writer) error {
	data := struct {
		Styles  template.CSS
		Heading []string
		Base    string
		Groups  []group
		Rings   *ringsPart
		Notes   []note
		Checks  []string
		Skipped []string
	}{Styles: template.CSS(variables() + pictureRules), Heading: r.Heading(), Base: r.Base, Checks: r.Checks, Skipped: r.Skipped}
	for _, versus := range r.versus() {
		data.Groups = append(data.Groups, r.group(versus))
	}
	if rows := r.ringRows(); len(rows) > 0 {
		data.Rings = &ringsPart{Title: ringsTitle, Head: ringHead()}
		for _, row := range rows {
			data.Rings.Rows = append(data.Rings.Rows, row.texts())
		}
	}
	for _, c := range r.Cases {
		for _, n := range c.Notes(r.Base) {
			data.Notes = append(data.Notes, note{c.Label(), n})
		}
	}
	return page.Execute(w, data)
}

// versus lists the servers compared that have results, in order.
func (r *Report) versus() []string {
	var out []string
	seen := map[string]bool{}
	for _, c := range r.Cases {
		if len(c.Pairs) > 0 && !seen[c.Versus] {
			seen[c.Versus] = true
			out = append(out, c.Versus)
		}
	}
	return out
}

func (r *Report) group(versus string) group {
	g := group{Versus: versus, Noise: versus == r.Base}
	cases := r.measured(versus)
	for _, c := range cases {
		g.Curves = append(g.Curves, template.HTML(curveChart(c))) // escapes what it draws
	}
	g.Ratios = template.HTML(ratioChart(cases))
	for _, t := range tables {
		pt := pageTable{Title: t.title}
		for _, k := range t.keys {
			pt.Metrics = append(pt.Metrics, metric(k))
		}
		for _, c := range cases {
			row := pageRow{Label: c.Label(), About: c.Workload.About, Pairs: len(c.Pairs)}
			for _, m := range pt.Metrics {
				cmp := c.Compare(m)
				row.Cells = append(row.Cells, pageCell{Number(cmp.Base), Number(cmp.Other), cmp.ratio(), verdict(cmp, m)})
			}
			pt.Rows = append(pt.Rows, row)
		}
		g.Tables = append(g.Tables, pt)
	}
	return g
}
