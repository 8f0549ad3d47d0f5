package report

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
)

// markdownKeys are the metrics that a table in a document has room for,
// readmeKeys those for the width of a README.
var (
	markdownKeys = []string{"rate", "cpu", "p50", "p99", "p999", "rss"}
	readmeKeys   = []string{"rate", "cpu", "p50", "p99"}
)

const boldIs = "Bold: worse, with both quartiles on that side of 1."

// Markdown writes one table for each server that was compared.
func (r *Report) Markdown(w io.Writer) error {
	var b bytes.Buffer
	for _, l := range append(r.Heading(), boldIs) {
		fmt.Fprintf(&b, "%s\n\n", l)
	}
	for _, versus := range r.versus() {
		head := []string{versus + " ÷ " + r.Base, "/s, " + r.Base, "/s, " + versus}
		r.markdownTable(&b, versus, head, markdownKeys, func(c *Case) []string {
			rate := c.Compare(metric("rate"))
			return []string{c.Label(), Number(rate.Base), Number(rate.Other)}
		})
		fmt.Fprintln(&b)
	}
	r.ringMarkdown(&b)
	r.notes(&b)
	_, err := w.Write(append(bytes.TrimRight(b.Bytes(), "\n"), '\n'))
	return err
}

// Readme writes a table of the ratios only, and one line with what a reader
// must know. Cases of the base against itself become the noise floor.
func (r *Report) Readme(w io.Writer) error {
	var b bytes.Buffer
	versus, noise := r.compared()
	for _, v := range versus {
		r.markdownTable(&b, v, []string{v + " ÷ " + r.Base}, readmeKeys, func(c *Case) []string { return []string{c.name()} })
		fmt.Fprintln(&b)
	}
	fmt.Fprintf(&b, "%s. Median ratios of neighbouring runs (quartiles). %s\n", strings.Join(r.setting(), ", "), boldIs)
	if len(noise) > 0 {
		fmt.Fprintf(&b, "Noise, %s ÷ %s, lowest and highest median: ", r.Base, r.Base)
		for i, k := range readmeKeys {
			if lo, hi, ok := medians(noise, metric(k)); ok {
				fmt.Fprintf(&b, "%s%s %.2f-%.2f", separator(i), metric(k).Title, lo, hi)
			}
		}
		fmt.Fprintln(&b, ".")
	}
	_, err := w.Write(b.Bytes())
	return err
}

func separator(i int) string {
	if i == 0 {
		return ""
	}
	return ", "
}

// markdownTable writes head and the ratios of keys, and for each case first
// and its ratios.
func (r *Report) markdownTable(b *bytes.Buffer, versus string, head, keys []string, first func(*Case) []string) {
	head = slices.Clone(head)
	for _, k := range keys {
		head = append(head, metric(k).Title)
	}
	markdownRow(b, head)
	fmt.Fprintln(b, strings.Repeat("|---", len(head))+"|")
	for _, c := range r.measured(versus) {
		cells := first(c)
		for _, k := range keys {
			m := metric(k)
			cmp := c.Compare(m)
			text := cmp.ratio()
			if verdict(cmp, m) == "bad" {
				text = "**" + text + "**"
			}
			cells = append(cells, text)
		}
		markdownRow(b, cells)
	}
}

func markdownRow(b *bytes.Buffer, cells []string) {
	fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | "))
}
