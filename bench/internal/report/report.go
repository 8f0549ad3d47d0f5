// Package report turns runs into a table, a JSON file and a page.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/quoit-go/quoit/bench/internal/hist"
	"github.com/quoit-go/quoit/bench/internal/load"
	"github.com/quoit-go/quoit/bench/internal/paired"
	"github.com/quoit-go/quoit/bench/internal/proc"
	"github.com/quoit-go/quoit/bench/internal/workload"
)

// Report is everything that a run found.
type Report struct {
	Date    time.Time
	Machine proc.Machine
	Go      string
	Base    string // what all others are compared with
	Command string
	Length  time.Duration // measured, of one run
	Warmup  time.Duration
	Elapsed time.Duration
	Skipped []string
	Checks  []string // what other load generators found
	Stopped string   // why it is incomplete, or ""
	Cases   []*Case
}

// Failed reports whether some run failed, or none succeeded.
func (r *Report) Failed() bool {
	measured := 0
	for _, c := range r.Cases {
		if len(c.Errors) > 0 {
			return true
		}
		measured += len(c.Pairs)
	}
	return measured == 0
}

// Pair is two neighbouring runs.
type Pair struct{ Base, Other load.Result }

// Case is a workload with everything that was fixed for it.
type Case struct {
	Workload workload.Workload
	Versus   string
	Procs    int // GOMAXPROCS of the servers; 0: Go's default
	Pin      string
	Pairs    []Pair
	Errors   []string
	Fallback string // why net served in quoit's place, or ""

	base, other hist.Hist // of all runs
}

// Add takes the results of a pair. The latencies are merged, all else is kept.
func (c *Case) Add(base, other *load.Result) {
	c.base.Merge(base.Latency)
	c.other.Merge(other.Latency)
	c.Pairs = append(c.Pairs, Pair{*base, *other})
}

// Label names the case within its report.
func (c *Case) Label() string {
	s := c.Workload.Name()
	if c.Procs > 0 {
		s += " procs=" + strconv.Itoa(c.Procs)
	}
	if c.Pin != "off" {
		s += " pin=" + c.Pin
	}
	if c.Versus != "quoit" {
		s += " " + c.Versus
	}
	return s
}

// Metric is one of the figures of a run.
type Metric struct {
	Key, Title, Unit string
	HigherIsBetter   bool
	value            func(load.Result) float64
}

func quantile(q float64) func(load.Result) float64 {
	return func(r load.Result) float64 { return float64(r.Latency.Quantile(q)) / 1e3 }
}

func perUnit(f func(proc.Sample) float64) func(load.Result) float64 {
	return func(r load.Result) float64 { return f(r.Server) / float64(r.Units) }
}

// Metrics lists what is compared.
var Metrics = []Metric{
	{"rate", "requests/s", "", true, func(r load.Result) float64 { return float64(r.Units) / r.Elapsed.Seconds() }},
	{"cpu", "CPU per request", "µs", false, perUnit(func(s proc.Sample) float64 { return float64(s.CPU) / 1e3 })},
	{"p50", "p50", "µs", false, quantile(0.5)},
	{"p99", "p99", "µs", false, quantile(0.99)},
	{"p999", "p99.9", "µs", false, quantile(0.999)},
	{"rss", "peak RSS", "MB", false, func(r load.Result) float64 { return float64(r.Server.PeakRSS) / 1e6 }},
	{"vol", "vol. switches/request", "", false, perUnit(func(s proc.Sample) float64 { return float64(s.Voluntary) })},
	{"invol", "invol. switches/request", "", false, perUnit(func(s proc.Sample) float64 { return float64(s.Involuntary) })},
}

// Comparison is one metric of a case: medians of both sides, and the paired
// ratios other/base.
type Comparison struct {
	Base  float64        `json:"base"`
	Other float64        `json:"other"`
	Ratio paired.Summary `json:"ratio"`
}

// Compare summarizes m over all pairs.
func (c *Case) Compare(m Metric) Comparison {
	var base, other []float64
	for _, p := range c.Pairs {
		base, other = append(base, m.value(p.Base)), append(other, m.value(p.Other))
	}
	return Comparison{
		Base:  paired.Summarize(base).Median,
		Other: paired.Summarize(other).Median,
		Ratio: paired.Summarize(paired.Ratios(base, other)),
	}
}

// Rates returns the ratios of the requests/s of each pair.
func (c *Case) Rates() []float64 {
	var base, other []float64
	for _, p := range c.Pairs {
		base, other = append(base, Metrics[0].value(p.Base)), append(other, Metrics[0].value(p.Other))
	}
	return paired.Ratios(base, other)
}

// busy is the generator's share of one processor, as a median.
func (c *Case) busy() float64 {
	var xs []float64
	for _, p := range c.Pairs {
		for _, r := range []load.Result{p.Base, p.Other} {
			xs = append(xs, r.LoadCPU.Seconds()/r.Elapsed.Seconds())
		}
	}
	return paired.Summarize(xs).Median
}

// generatorLimit is the share of a processor above which the generator, and
// not the server, may set the pace. Go's clients use several processors and
// are not held to it.
const generatorLimit = 0.9

// Notes says what a reader must know about the case's figures.
func (c *Case) Notes(base string) []string {
	var notes []string
	add := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	for _, e := range c.Errors {
		add("%s", e)
	}
	if c.Fallback != "" {
		add("package net served in quoit's place: %s", c.Fallback)
	}
	starved := map[string]int{}
	for _, p := range c.Pairs {
		starved[base] = max(starved[base], p.Base.Starved)
		starved[c.Versus] = max(starved[c.Versus], p.Other.Starved)
	}
	for _, side := range []string{base, c.Versus} {
		if n := starved[side]; n > 0 {
			add("%s: up to %d conns without any answer in a run", side, n)
			delete(starved, side)
		}
	}
	if b := c.busy(); b > generatorLimit && c.Workload.Server != workload.ServeHTTPS {
		add("the generator used %.0f%% of a processor: it may have set the pace", 100*b)
	}
	return notes
}

// jsonRun is one side of a pair in the file.
type jsonRun struct {
	Metrics map[string]float64 `json:"metrics"`
	Units   uint64             `json:"units"`
	Elapsed float64            `json:"elapsed_s"`
	LoadCPU float64            `json:"load_cpu_s"`
	Starved int                `json:"starved"`
}

func newJSONRun(r load.Result) jsonRun {
	j := jsonRun{Metrics: map[string]float64{}, Units: r.Units, Elapsed: r.Elapsed.Seconds(), LoadCPU: r.LoadCPU.Seconds(), Starved: r.Starved}
	for _, m := range Metrics {
		j.Metrics[m.Key] = m.value(r)
	}
	return j
}

type jsonCase struct {
	Name     string                `json:"name"`
	Workload workload.Workload     `json:"workload"`
	Unit     string                `json:"unit"`
	Versus   string                `json:"versus"`
	Procs    int                   `json:"procs"`
	Pin      string                `json:"pin"`
	Summary  map[string]Comparison `json:"summary"`
	Pairs    [][2]jsonRun          `json:"pairs"` // base, other
	Base     *hist.Hist            `json:"base_latency"`
	Other    *hist.Hist            `json:"other_latency"`
	Notes    []string              `json:"notes,omitempty"`
}

// JSON writes the whole report, single runs included.
func (r *Report) JSON(w io.Writer) error {
	type metric struct {
		Key   string `json:"key"`
		Title string `json:"title"`
		Unit  string `json:"unit"`
	}
	out := struct {
		Date    time.Time    `json:"date"`
		Machine proc.Machine `json:"machine"`
		Go      string       `json:"go"`
		Command string       `json:"command"`
		Base    string       `json:"base"`
		Length  float64      `json:"length_s"`
		Warmup  float64      `json:"warmup_s"`
		Elapsed float64      `json:"elapsed_s"`
		Metrics []metric     `json:"metrics"`
		Skipped []string     `json:"skipped,omitempty"`
		Checks  []string     `json:"checks,omitempty"`
		Stopped string       `json:"stopped,omitempty"`
		Cases   []jsonCase   `json:"cases"`
	}{
		Date: r.Date, Machine: r.Machine, Go: r.Go, Command: r.Command, Base: r.Base,
		Length: r.Length.Seconds(), Warmup: r.Warmup.Seconds(), Elapsed: r.Elapsed.Seconds(),
		Skipped: r.Skipped, Checks: r.Checks, Stopped: r.Stopped, Cases: []jsonCase{},
	}
	for _, m := range Metrics {
		out.Metrics = append(out.Metrics, metric{m.Key, m.Title, m.Unit})
	}
	for _, c := range r.Cases {
		j := jsonCase{
			Name: c.Label(), Workload: c.Workload, Unit: c.Workload.Unit(), Versus: c.Versus,
			Procs: c.Procs, Pin: c.Pin, Summary: map[string]Comparison{}, Pairs: [][2]jsonRun{},
			Base: &c.base, Other: &c.other, Notes: c.Notes(r.Base),
		}
		for _, m := range Metrics {
			j.Summary[m.Key] = c.Compare(m)
		}
		for _, p := range c.Pairs {
			j.Pairs = append(j.Pairs, [2]jsonRun{newJSONRun(p.Base), newJSONRun(p.Other)})
		}
		out.Cases = append(out.Cases, j)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", " ")
	return enc.Encode(out)
}
