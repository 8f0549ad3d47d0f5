package report

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/quoit-go/quoit/bench/internal/paired"
	"github.com/quoit-go/quoit/bench/internal/serve"
)

// ringFigures are what rings are compared by.
var ringFigures = []struct {
	title string
	of    func(serve.Ring) float64
}{
	{"conns", func(r serve.Ring) float64 { return float64(r.Conns) }},
	{"accepted", func(r serve.Ring) float64 { return float64(r.Accepted) }},
	{"work", func(r serve.Ring) float64 { return float64(r.Work) }},
}

const ringsTitle = "The busiest ring's share by the mean of all: open conns, conns accepted in the measured time, " +
	"work (receives). Medians of all runs (and quartiles); 1 is even."

// ringRow is one server of a case whose runs had several rings.
type ringRow struct {
	Label, Server string
	Rings, Runs   int
	Cells         []string // of ringFigures
}

func (r *Report) ringRows() []ringRow {
	var out []ringRow
	for _, c := range r.Cases {
		for side, server := range []string{r.Base, c.Versus} {
			row := ringRow{Label: c.Label(), Server: server}
			shares := make([][]float64, len(ringFigures))
			for _, p := range c.Pairs {
				rings := p[side].Rings
				if len(rings) < 2 {
					continue
				}
				row.Rings, row.Runs = len(rings), row.Runs+1
				for i, f := range ringFigures {
					if x, ok := busiest(rings, f.of); ok {
						shares[i] = append(shares[i], x)
					}
				}
			}
			for _, xs := range shares {
				row.Cells = append(row.Cells, Comparison{Ratio: paired.Summarize(xs)}.ratio())
			}
			if row.Runs > 0 {
				out = append(out, row)
			}
		}
	}
	return out
}

// busiest returns the highest figure of a ring by the mean, unless the mean is
// below one and says nothing.
func busiest(rings []serve.Ring, of func(serve.Ring) float64) (float64, bool) {
	var sum, most float64
	for _, r := range rings {
		sum, most = sum+of(r), max(most, of(r))
	}
	return most * float64(len(rings)) / sum, sum >= float64(len(rings))
}

func (row ringRow) texts() []string {
	return append([]string{row.Label, row.Server, strconv.Itoa(row.Rings), strconv.Itoa(row.Runs)}, row.Cells...)
}

func ringHead() []string {
	head := []string{"workload", "server", "rings", "runs"}
	for _, f := range ringFigures {
		head = append(head, f.title)
	}
	return head
}

// ringTable is for a terminal.
func (r *Report) ringTable(b *bytes.Buffer) {
	rows := r.ringRows()
	if len(rows) == 0 {
		return
	}
	fmt.Fprintf(b, "\nrings\n%s\n", ringsTitle)
	tw := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, strings.ToUpper(strings.Join(ringHead(), "\t")))
	for _, row := range rows {
		fmt.Fprintln(tw, strings.Join(row.texts(), "\t"))
	}
	tw.Flush()
}

func (r *Report) ringMarkdown(b *bytes.Buffer) {
	rows := r.ringRows()
	if len(rows) == 0 {
		return
	}
	fmt.Fprintf(b, "%s\n\n", ringsTitle)
	markdownRow(b, ringHead())
	fmt.Fprintln(b, strings.Repeat("|---", len(ringHead()))+"|")
	for _, row := range rows {
		markdownRow(b, row.texts())
	}
	fmt.Fprintln(b)
}
