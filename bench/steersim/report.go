package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// report is what a run has found.
type report struct {
	Config  config
	Arrived int // conns, with those of the restart
	Results []result
	Drains  []drained `json:",omitempty"`
}

func (r *report) json(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "\t")
	return e.Encode(r)
}

// setting says what was simulated.
func (r *report) setting() []string {
	c := r.Config
	work := skewText[c.Skew]
	if c.Phase > 0 {
		work += fmt.Sprintf(", for %s", short(c.Phase))
	}
	return []string{
		thousands(c.Conns) + " conns on " + thousands(c.Rings) + " rings",
		work,
		fmt.Sprintf("lifetimes of %s, %s of %s", short(c.Life), percent(c.Long), short(longTimes*c.Life)),
		fmt.Sprintf("%s of new conns in bursts of %s", percent(c.Bursty), thousands(c.Burst)),
		fmt.Sprintf("accepted after %s", short(c.Delay)),
		fmt.Sprintf("%s sources, Zipf %v", thousands(c.Sources), c.SourceSkew),
		strconv.Itoa(c.Queues) + " receive queues",
		fmt.Sprintf("held above %v, until %v", c.HoldAt, c.ResumeAt),
		fmt.Sprintf("%s conns in %s", thousands(r.Arrived), short(c.Restart+c.Run)),
		fmt.Sprintf("seed %d", c.Seed),
	}
}

func (r *report) table(w io.Writer) error {
	var b bytes.Buffer
	for _, line := range wrap(r.setting(), 79) {
		fmt.Fprintln(&b, line)
	}
	width := len("conns of a drained ring")
	for _, res := range r.Results {
		width = max(width, len(res.Policy))
	}
	for _, d := range r.Drains {
		width = max(width, len(d.name()))
	}
	fmt.Fprintf(&b, "\n%-*s  worst ring by the mean       rings\n", width, "")
	fmt.Fprintf(&b, "%-*s  conns         work          with              full\n", width, "")
	fmt.Fprintf(&b, "%-*s  median  worst median  worst  > %.1f   held      at\n", width, "policy", aboveAt)
	for _, res := range r.Results {
		fmt.Fprintf(&b, "%-*s  %v %v %6s %6s  %6s\n", width, res.Policy,
			res.Conns, res.Work, tenths(res.Above), tenths(res.Held), tenths(res.FullAt))
	}
	if len(r.Drains) > 0 {
		fmt.Fprintf(&b, "\n%-*s  %6s %6s %6s %6s  worst of others\n", width, "conns of a drained ring", "1/2", "1/10", "1/100", "none")
	}
	for _, d := range r.Drains {
		fmt.Fprintf(&b, "%-*s  %6s %6s %6s %6s  %15.2f\n", width, d.name(),
			seconds(d.Half), seconds(d.Tenth), seconds(d.Hundredth), seconds(d.None), d.Others)
	}
	_, err := w.Write(b.Bytes())
	return err
}

func (l load) String() string { return fmt.Sprintf("%6.2f %6.2f", l.Median, l.Worst) }

func (d drained) name() string { return d.Policy + ", " + d.How }

func tenths(share float64) string { return fmt.Sprintf("%.1f%%", 100*share) }

func percent(share float64) string { return strconv.FormatFloat(100*share, 'g', 4, 64) + "%" }

func seconds(d time.Duration) string { return fmt.Sprintf("%.0fs", d.Seconds()) }

// short leaves out the seconds of whole minutes.
func short(d time.Duration) string {
	if d >= time.Minute && d%time.Minute == 0 {
		return strings.TrimSuffix(d.String(), "0s")
	}
	return d.String()
}

func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// wrap joins parts in lines of at most length characters.
func wrap(parts []string, length int) []string {
	const sep = " · "
	var lines []string
	for _, p := range parts {
		if n := len(lines); n > 0 && len([]rune(lines[n-1]+sep+p)) <= length {
			lines[n-1] += sep + p
		} else {
			lines = append(lines, p)
		}
	}
	return lines
}
