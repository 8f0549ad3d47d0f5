package report

import (
	"bytes"
	"fmt"
	"io"
)

// markdownKeys are the metrics that a table in a document has room for; the
// first is shown with the figures of both sides.
var markdownKeys = []string{"rate", "cpu", "p50", "p99", "p999", "rss"}

// Markdown writes one table for each server that was compared.
func (r *Report) Markdown(w io.Writer) error {
	var b bytes.Buffer
	for _, l := range r.Heading() {
		fmt.Fprintf(&b, "%s\n\n", l)
	}
	for _, versus := range r.versus() {
		fmt.Fprintf(&b, "| %s ÷ %s | /s, %s | /s, %s", versus, r.Base, r.Base, versus)
		for _, k := range markdownKeys {
			fmt.Fprintf(&b, " | %s", metric(k).Title)
		}
		fmt.Fprint(&b, " |\n|---|---|---")
		for range markdownKeys {
			fmt.Fprint(&b, "|---")
		}
		fmt.Fprintln(&b, "|")
		for _, c := range r.Cases {
			if c.Versus != versus || len(c.Pairs) == 0 {
				continue
			}
			rate := c.Compare(metric("rate"))
			fmt.Fprintf(&b, "| %s | %s | %s", c.Label(), Number(rate.Base), Number(rate.Other))
			for _, k := range markdownKeys {
				fmt.Fprintf(&b, " | %s", c.Compare(metric(k)).ratio())
			}
			fmt.Fprintln(&b, " |")
		}
		fmt.Fprintln(&b)
	}
	r.notes(&b)
	_, err := w.Write(append(bytes.TrimRight(b.Bytes(), "\n"), '\n'))
	return err
}
