package report

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// Number formats x with about three digits, as people read it.
func Number(x float64) string {
	switch {
	case x == 0:
		return "0"
	case x >= 1e6:
		return strconv.FormatFloat(x/1e6, 'f', 2, 64) + "M"
	case x >= 1e4:
		return strconv.FormatFloat(x/1e3, 'f', 1, 64) + "k"
	case x >= 100:
		return strconv.FormatFloat(x, 'f', 0, 64)
	case x >= 10:
		return strconv.FormatFloat(x, 'f', 1, 64)
	}
	return strconv.FormatFloat(x, 'f', 2, 64)
}

func (c Comparison) ratio() string {
	if c.Ratio.N == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f (%.2f-%.2f)", c.Ratio.Median, c.Ratio.Q1, c.Ratio.Q3)
}

// tables are the metrics that share a table: the figures of both sides and
// their ratio, or the ratio alone.
var tables = []struct {
	title string
	keys  []string
}{
	{"rate and cost", []string{"rate", "cpu"}},
	{"latency", []string{"p50", "p99", "p999"}},
	{"memory and context switches", []string{"rss", "vol", "invol"}},
}

func metric(key string) Metric {
	for _, m := range Metrics {
		if m.Key == key {
			return m
		}
	}
	panic("report: no metric " + key)
}

// Heading describes machine and method in a few lines.
func (r *Report) Heading() []string {
	m := r.Machine
	lines := []string{
		fmt.Sprintf("%s, %d CPUs, %.0f GB, Linux %s, %s, %s", m.CPU, m.CPUs, float64(m.Memory)/1e9, m.Kernel, r.Go, r.Date.Format(time.DateOnly)),
		fmt.Sprintf("%s; runs of %v after %v of warm-up, %v more for a fresh server; %v in all; load average before: %s", r.Command, r.Length, r.Warmup, r.Settle, r.Elapsed.Round(time.Second), m.Load),
		fmt.Sprintf("Ratios are those of neighbouring runs against %s: medians (and quartiles). The generator shares the machine.", r.Base),
	}
	if r.Stopped != "" {
		lines = append(lines, r.Stopped)
	}
	return lines
}

// Table writes what a terminal shows.
func (r *Report) Table(w io.Writer) error {
	other := "OTHER"
	if vs := r.versus(); len(vs) == 1 {
		other = strings.ToUpper(vs[0])
	}
	var b bytes.Buffer
	for _, l := range r.Heading() {
		fmt.Fprintln(&b, l)
	}
	for _, t := range tables {
		fmt.Fprintf(&b, "\n%s\n", t.title)
		tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		fmt.Fprint(tw, "WORKLOAD\tPAIRS") // each metric: the base's, the other's, their ratio
		for _, k := range t.keys {
			m := metric(k)
			fmt.Fprintf(tw, "\t%s: %s\t%s\tRATIO", strings.TrimSpace(m.Title+" "+m.Unit), strings.ToUpper(r.Base), other)
		}
		fmt.Fprintln(tw)
		for _, c := range r.Cases {
			if len(c.Pairs) == 0 {
				continue
			}
			fmt.Fprintf(tw, "%s\t%d", c.Label(), len(c.Pairs))
			for _, k := range t.keys {
				cmp := c.Compare(metric(k))
				fmt.Fprintf(tw, "\t%s\t%s\t%s", Number(cmp.Base), Number(cmp.Other), cmp.ratio())
			}
			fmt.Fprintln(tw)
		}
		tw.Flush()
	}
	r.ringTable(&b)
	r.notes(&b)
	_, err := w.Write(b.Bytes())
	return err
}

func (r *Report) notes(b *bytes.Buffer) {
	fmt.Fprintln(b)
	for _, c := range r.Cases {
		for _, n := range c.Notes(r.Base) {
			fmt.Fprintf(b, "%s: %s\n", c.Label(), n)
		}
		if len(c.Pairs) == 0 {
			fmt.Fprintf(b, "%s: nothing measured\n", c.Label())
		}
	}
	for _, s := range r.Checks {
		fmt.Fprintf(b, "cross-check: %s\n", s)
	}
	for _, s := range r.Skipped {
		fmt.Fprintf(b, "skipped %s\n", s)
	}
}
