package main

import (
	"fmt"
	"math"
	"runtime"
	"strconv"
	"strings"

	"github.com/quoit-go/quoit/bench/internal/paired"
	"github.com/quoit-go/quoit/bench/internal/report"
)

func goVersion() string { return runtime.Version() }

// byProcs writes a row for each workload and server, and in it a text for each
// GOMAXPROCS.
func (g *grid) byProcs(b *strings.Builder, text func(cell) string) {
	head := []string{"", "server"}
	for _, n := range g.procs {
		head = append(head, procsName(n))
	}
	markdownRows(b, head)
	for _, w := range g.workloads {
		for _, s := range g.versus {
			row := []string{w.Name(), s.String()}
			for _, n := range g.procs {
				c := cell{w.Name(), n, s.String()}
				if len(g.all(c, 0)) == 0 {
					row = append(row, "-")
				} else {
					row = append(row, text(c))
				}
			}
			markdownRow(b, row)
		}
	}
}

func procsName(n int) string {
	if n == 0 {
		n = runtime.GOMAXPROCS(0)
	}
	return fmt.Sprintf("GOMAXPROCS %d", n)
}

// markdownRows begins a table.
func markdownRows(b *strings.Builder, head []string) {
	markdownRow(b, head)
	b.WriteString(strings.Repeat("|---", len(head)) + "|\n")
}

func markdownRow(b *strings.Builder, cells []string) {
	fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | "))
}

func bold(text string, yes bool) string {
	if yes {
		return "**" + text + "**"
	}
	return text
}

// spread is a median and its quartiles.
func spread(xs []float64) string {
	if len(xs) == 0 {
		return "-"
	}
	s := paired.Summarize(xs)
	if number(s.Q1) == number(s.Q3) {
		return number(s.Median)
	}
	return fmt.Sprintf("%s (%s-%s)", number(s.Median), number(s.Q1), number(s.Q3))
}

// number keeps two digits of what is much less than one for each request.
func number(x float64) string {
	if x > 0 && x < 0.1 {
		return strconv.FormatFloat(x, 'f', min(1-int(math.Floor(math.Log10(x))), 5), 64)
	}
	return report.Number(x)
}

// generatorBusy is the generator's share of a processor, in the run where it was
// highest.
func (g *grid) generatorBusy() float64 {
	most := 0.0
	for _, passes := range g.results {
		for _, rs := range passes {
			for _, r := range rs {
				most = max(most, r.LoadCPU.Seconds()/r.Elapsed.Seconds())
			}
		}
	}
	return most
}
