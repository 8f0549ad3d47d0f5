package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quoit-go/quoit/bench/internal/proc"
	"github.com/quoit-go/quoit/bench/internal/workload"
)

// pin says which CPUs server and generator may use; none means all.
type pin struct {
	name         string
	server, load []int
}

// reports are the files to write; none if empty.
type reports struct{ json, html, chart, markdown, readme string }

type options struct {
	args      []string
	workloads []workload.Workload
	base      side
	versus    []side
	procs     []int // GOMAXPROCS of the servers; 0 is Go's default
	pins      []pin
	rounds    int
	warmup    time.Duration
	settle    time.Duration
	length    time.Duration
	limit     time.Duration
	steady    float64 // see bench.steady; 0: every case has all rounds
	from      string  // reports are made from this file, without a run
	match     *regexp.Regexp
	reports
	profile string
	list    bool

	crosscheck bool // by other people's load generators
}

const (
	defaultRounds = 10
	defaultLength = time.Second
	defaultSettle = 2500 * time.Millisecond
	quickRounds   = 3
	quickLength   = 250 * time.Millisecond
	quickSettle   = time.Second
	quickLimit    = 115 * time.Second // leaves 65 s for building, so that all is under 3 minutes
)

const header = `usage: bench [flags]
       bench fairness|delay|cost [flags]

Compares servers on quoit with the same servers on package net: short runs in
turns, A B B A, over several rounds. What counts is the median of the ratios
of neighbouring runs, and its quartiles. Without flags every workload runs,
an hour and 20 minutes; -quick takes under 3 minutes. -list says what they are.

`

// selection is flags that need more than the package flag does for them.
type selection struct {
	quick                                         bool
	run, conns, base, versus, gear, procs, placed string
}

func parse(args []string, stderr io.Writer) (options, error) {
	o := options{args: args}
	var sel selection
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Usage = func() {
		fmt.Fprint(stderr, header)
		fs.PrintDefaults()
		fmt.Fprint(stderr, servers, studiesHelp())
	}
	fs.BoolVar(&sel.quick, "quick", false, "a representative subset, in under 3 minutes")
	fs.StringVar(&sel.run, "run", "", "only workloads whose name matches the `regexp`, such as '^http/'")
	fs.StringVar(&sel.conns, "conns", "", "`numbers` of conns, for workloads that have several, such as 1,64")
	fs.StringVar(&sel.base, "base", "net", "`server` to compare with, see below")
	fs.StringVar(&sel.versus, "versus", "quoit", "`servers` to compare, such as quoit:ring,quoit:2rings; with the base among them, the noise floor: the base against itself")
	fs.StringVar(&sel.gear, "gear", "auto", "auto, ring or poll: `gear` of the quoit servers that -base and -versus name without one")
	fs.StringVar(&sel.procs, "procs", "0", "GOMAXPROCS of the servers, `numbers` such as 1,2; 0 is Go's default")
	fs.StringVar(&sel.placed, "pin", "off", "`placements`: off, split (server and generator on halves of the CPUs), or SERVER:LOAD as in 0-1:2-3; several with a space between")
	fs.IntVar(&o.rounds, "rounds", 0, "rounds of four runs each (default 10, quick 3)")
	fs.DurationVar(&o.length, "length", 0, "measured time of one run (default 1s, quick 250ms)")
	fs.DurationVar(&o.warmup, "warmup", -1, "time before it (default a fifth of it)")
	fs.DurationVar(&o.settle, "settle", -1, "time before a server's first run besides, in which a quoit finds its gear (default 2.5s, quick 1s)")
	fs.DurationVar(&o.limit, "limit", 0, "limit for the whole run; what is measured by then is reported (default none, quick "+quickLimit.String()+")")
	fs.Float64Var(&o.steady, "steady", 0, "from half of the rounds on, give no more to a row whose medians of requests/s and CPU are known to this `share`, such as 0.03; 0: all have all")
	fs.StringVar(&o.from, "from", "", "make the reports from this `file`, written by -json before, and run nothing; -run selects")
	fs.StringVar(&o.json, "json", "bench.json", "`file` for the results as JSON; empty: none; not with -from unless given")
	fs.StringVar(&o.html, "html", "bench.html", "`file` for the results as a page; empty: none")
	fs.StringVar(&o.chart, "chart", "", "`file` for the ratios as an SVG picture; none if empty")
	fs.StringVar(&o.markdown, "markdown", "", "`file` for a table in Markdown; none if empty")
	fs.StringVar(&o.readme, "readme", "", "`file` for a narrower one, as a README has room for; none if empty")
	fs.StringVar(&o.profile, "profile", "", "`directory` for CPU profiles of the servers, but of none that is a command; none if empty")
	fs.BoolVar(&o.list, "list", false, "list the workloads and exit")
	fs.BoolVar(&o.crosscheck, "crosscheck", true, "compare with wrk and h2load too, where they are installed (not with -quick)")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	o.crosscheck = o.crosscheck && !sel.quick
	err := o.resolve(fs, sel)
	if err != nil {
		fmt.Fprintf(stderr, "bench: %v\nbench -help lists the flags\n", err)
	}
	return o, err
}

func (o *options) resolve(fs *flag.FlagSet, sel selection) error {
	if fs.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	var err error
	if o.match, err = regexp.Compile(sel.run); err != nil {
		return fmt.Errorf("-run: %w", err)
	}
	if o.from != "" {
		return o.onlyReports(fs)
	}
	if err := o.selectWorkloads(sel); err != nil {
		return err
	}
	if err := o.selectSides(sel); err != nil {
		return err
	}
	if o.procs, err = numbers(sel.procs, 0, 1024); err != nil {
		return fmt.Errorf("-procs: %w", err)
	}
	for _, p := range strings.Fields(sel.placed) {
		parsed, err := parsePin(p)
		if err != nil {
			return fmt.Errorf("-pin: %w", err)
		}
		o.pins = append(o.pins, parsed)
	}
	if len(o.pins) == 0 {
		return errors.New("-pin: nothing given")
	}
	return o.times(sel.quick)
}

// reportFlags are those that mean something without a run.
var reportFlags = []string{"from", "run", "json", "html", "chart", "markdown", "readme"}

// onlyReports is for -from. The JSON is there already and needs no default.
func (o *options) onlyReports(fs *flag.FlagSet) error {
	var err error
	keepJSON := false
	fs.Visit(func(f *flag.Flag) {
		if !slices.Contains(reportFlags, f.Name) {
			err = fmt.Errorf("-%s is for runs, and -from makes none", f.Name)
		}
		keepJSON = keepJSON || f.Name == "json"
	})
	if !keepJSON {
		o.json = ""
	}
	return err
}

func (o *options) selectWorkloads(sel selection) error {
	var counts []int
	if sel.conns != "" {
		var err error
		if counts, err = numbers(sel.conns, 1, 1<<20); err != nil {
			return fmt.Errorf("-conns: %w", err)
		}
	}
	all := workload.All(counts)
	if sel.quick && sel.run == "" && sel.conns == "" {
		all = workload.Quick()
	}
	if o.workloads = workload.Select(all, o.match.MatchString); len(o.workloads) == 0 {
		return fmt.Errorf("-run: no workload matches %q; -list shows them", sel.run)
	}
	return nil
}

func (o *options) times(quick bool) error {
	rounds, length, settle := defaultRounds, defaultLength, defaultSettle
	if quick {
		rounds, length, settle = quickRounds, quickLength, quickSettle
		if o.limit == 0 {
			o.limit = quickLimit
		}
	}
	if o.rounds == 0 {
		o.rounds = rounds
	}
	if o.length == 0 {
		o.length = length
	}
	if o.warmup == -1 {
		o.warmup = o.length / 5
	}
	if o.settle == -1 {
		o.settle = settle
	}
	switch {
	case o.rounds < 1 || o.rounds > 10000:
		return fmt.Errorf("-rounds=%d: want 1 to 10000", o.rounds)
	case o.length < 50*time.Millisecond || o.length > 10*time.Minute:
		return fmt.Errorf("-length=%v: want 50ms to 10m", o.length)
	case o.warmup < 0 || o.warmup > 10*time.Minute:
		return fmt.Errorf("-warmup=%v: want 0 to 10m", o.warmup)
	case o.settle < 0 || o.settle > 10*time.Minute:
		return fmt.Errorf("-settle=%v: want 0 to 10m", o.settle)
	case !(o.steady >= 0 && o.steady < 1):
		return fmt.Errorf("-steady=%v: want 0 to 1", o.steady)
	case o.limit < 0:
		return fmt.Errorf("-limit=%v is negative", o.limit)
	}
	return nil
}

func parsePin(s string) (pin, error) {
	p := pin{name: s}
	switch s {
	case "off":
		return p, nil
	case "split":
		cpus, err := proc.Allowed()
		if err == nil && len(cpus) < 2 {
			err = errors.New("split needs two CPUs")
		}
		if err != nil {
			return p, err
		}
		half := len(cpus) / 2
		p.server, p.load = cpus[:half], cpus[half:]
		return p, nil
	}
	server, load, ok := strings.Cut(s, ":")
	if !ok {
		return p, fmt.Errorf("%q is not off, split or SERVER:LOAD", s)
	}
	var err error
	if p.server, err = proc.ParseCPUs(server); err != nil {
		return p, err
	}
	p.load, err = proc.ParseCPUs(load)
	return p, err
}

// numbers reads a list as in "1,64".
func numbers(list string, least, most int) ([]int, error) {
	var out []int
	for s := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < least || n > most {
			return nil, fmt.Errorf("%q is not a number from %d to %d", s, least, most)
		}
		out = append(out, n)
	}
	return out, nil
}
