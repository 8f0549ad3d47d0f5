// Package report turns runs into tables, pictures, a page and a JSON file from
// which all of them can be made again.
package report

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/quoit-go/quoit/bench/internal/hist"
	"github.com/quoit-go/quoit/bench/internal/load"
	"github.com/quoit-go/quoit/bench/internal/paired"
	"github.com/quoit-go/quoit/bench/internal/proc"
	"github.com/quoit-go/quoit/bench/internal/serve"
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
	Settle  time.Duration // before a server's first run, besides
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

// Run is what is kept of one run.
type Run struct {
	Metrics map[string]float64 `json:"metrics"` // by Metric.Key
	Units   uint64             `json:"units"`
	Elapsed float64            `json:"elapsed_s"`
	LoadCPU float64            `json:"load_cpu_s"`
	Starved int                `json:"starved"`
	Behind  int                `json:"behind,omitempty"`
	Rings   []serve.Ring       `json:"rings,omitempty"` // if there were several
}

func newRun(r *load.Result) Run {
	out := Run{
		Metrics: map[string]float64{}, Units: r.Units,
		Elapsed: r.Elapsed.Seconds(), LoadCPU: r.LoadCPU.Seconds(), Starved: r.Starved, Behind: r.Behind, Rings: r.Rings,
	}
	for _, m := range Metrics {
		out.Metrics[m.Key] = m.value(r)
	}
	return out
}

// Pair is two neighbouring runs: the base's and the other's.
type Pair [2]Run

// Case is a workload with everything that was fixed for it.
type Case struct {
	Workload   workload.Workload
	Versus     string
	Procs      int // GOMAXPROCS that was asked for; 0: Go's default
	GOMAXPROCS int // that the servers had; 0: not known
	Pin        string
	Pairs      []Pair
	Errors     []string
	Fallback   string // why net served in quoit's place, or ""

	base, other hist.Hist // of all runs
}

// Add takes the results of a pair. The latencies of all pairs are merged.
func (c *Case) Add(base, other *load.Result) {
	c.base.Merge(base.Latency)
	c.other.Merge(other.Latency)
	c.Pairs = append(c.Pairs, Pair{newRun(base), newRun(other)})
}

// Select keeps the cases whose workload's name matches.
func (r *Report) Select(match func(name string) bool) {
	r.Cases = slices.DeleteFunc(r.Cases, func(c *Case) bool { return !match(c.Workload.Name()) })
}

// Label names the case within its report.
func (c *Case) Label() string {
	s := c.name()
	if c.Versus != "quoit" {
		s += " " + c.Versus
	}
	return s
}

// name is enough where Versus is said elsewhere.
func (c *Case) name() string {
	s := c.Workload.Name()
	if c.Procs > 0 {
		s += " procs=" + strconv.Itoa(c.Procs)
	}
	if c.Pin != "off" {
		s += " pin=" + c.Pin
	}
	return s
}

// Metric is one of the figures of a run.
type Metric struct {
	Key, Title, Unit string
	HigherIsBetter   bool
	value            func(*load.Result) float64
}

func quantile(q float64) func(*load.Result) float64 {
	return func(r *load.Result) float64 { return float64(r.Latency.Quantile(q)) / 1e3 }
}

func perUnit(f func(proc.Sample) float64) func(*load.Result) float64 {
	return func(r *load.Result) float64 { return f(r.Server) / float64(r.Units) }
}

// Metrics lists what is compared.
var Metrics = []Metric{
	{"rate", "requests/s", "", true, func(r *load.Result) float64 { return float64(r.Units) / r.Elapsed.Seconds() }},
	{"cpu", "CPU per request", "µs", false, perUnit(func(s proc.Sample) float64 { return float64(s.CPU) / 1e3 })},
	{"p50", "p50", "µs", false, quantile(0.5)},
	{"p99", "p99", "µs", false, quantile(0.99)},
	{"p999", "p99.9", "µs", false, quantile(0.999)},
	{"rss", "peak RSS", "MB", false, func(r *load.Result) float64 { return float64(r.Server.PeakRSS) / 1e6 }},
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
	base, other := c.values(m)
	return Comparison{
		Base:  paired.Summarize(base).Median,
		Other: paired.Summarize(other).Median,
		Ratio: paired.Summarize(paired.Ratios(base, other)),
	}
}

// Ratio summarizes the ratios of the metric with that key.
func (c *Case) Ratio(key string) paired.Summary { return c.Compare(metric(key)).Ratio }

// Rates returns the ratios of the requests/s of each pair.
func (c *Case) Rates() []float64 { return paired.Ratios(c.values(metric("rate"))) }

func (c *Case) values(m Metric) (base, other []float64) {
	for _, p := range c.Pairs {
		base, other = append(base, p[0].Metrics[m.Key]), append(other, p[1].Metrics[m.Key])
	}
	return base, other
}

// busy is the generator's share of one processor, as a median.
func (c *Case) busy() float64 {
	var xs []float64
	for _, p := range c.Pairs {
		for _, r := range p {
			xs = append(xs, r.LoadCPU/r.Elapsed)
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
		starved[base] = max(starved[base], p[0].Starved)
		starved[c.Versus] = max(starved[c.Versus], p[1].Starved)
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
