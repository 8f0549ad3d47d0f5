package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/quoit-go/quoit/bench/internal/load"
	"github.com/quoit-go/quoit/bench/internal/proc"
	"github.com/quoit-go/quoit/bench/internal/serve"
	"github.com/quoit-go/quoit/bench/internal/workload"
)

// A study asks one question of several servers, and answers it by a table in
// Markdown. Its servers run one after the other, each in a fresh process.
type study struct {
	name, about string
	takes       string // how long, as it is by default

	run, conns, versus, procs string // defaults of the flags
	rounds                    int
	length                    time.Duration

	accepts func(workload.Workload) error     // nil: every workload
	passes  func(notes *[]string) []pass      // runs for each cell of the grid
	render  func(b *strings.Builder, g *grid) // after the heading
}

// pass is one of the runs that each cell has in a round.
type pass func(*load.Spec)

var studies = []*study{&fairness, &delay, &cost}

func studyNamed(name string) *study {
	for _, s := range studies {
		if s.name == name {
			return s
		}
	}
	return nil
}

// studiesHelp is the part of the help about studies.
func studiesHelp() string {
	var b strings.Builder
	b.WriteString("\nStudies, each with flags of its own (bench fairness -help), print a table in Markdown:\n")
	for _, s := range studies {
		fmt.Fprintf(&b, "  bench %-10s %s (%s)\n", s.name, s.about, s.takes)
	}
	return b.String()
}

// cell is a place in the grid.
type cell struct {
	workload string
	procs    int
	server   string
}

// grid is a study's course and results.
type grid struct {
	options
	study    *study
	markdown string
	results  map[cell][][]*load.Result // by pass, those of all rounds
	notes    []string
}

// runStudy is the program's run for a study.
func runStudy(ctx context.Context, s *study, args []string, stdout, stderr io.Writer) int {
	g, err := s.parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		return exitUsage
	}
	if g.list {
		list(stdout, g.workloads)
		return exitOK
	}
	failed := g.measure(ctx, newProgress(stderr))
	text := g.text()
	fmt.Fprint(stdout, text)
	if g.markdown != "" {
		if err := os.WriteFile(g.markdown, []byte(text), 0o666); err != nil {
			fmt.Fprintf(stderr, "bench: %v\n", err)
			return exitFailed
		}
	}
	if failed || len(g.results) == 0 {
		return exitFailed
	}
	return exitOK
}

func (s *study) parse(args []string, stderr io.Writer) (*grid, error) {
	g := &grid{study: s, results: map[cell][][]*load.Result{}}
	g.args = append([]string{s.name}, args...)
	var sel selection
	fs := flag.NewFlagSet("bench "+s.name, flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Usage = func() {
		fmt.Fprintf(stderr, "usage: bench %s [flags]\n\nPrints a table in Markdown: %s.\nWithout flags it takes %s.\n\n", s.name, s.about, s.takes)
		fs.PrintDefaults()
		fmt.Fprint(stderr, servers)
	}
	fs.StringVar(&sel.run, "run", s.run, "workloads whose name matches the `regexp`")
	fs.StringVar(&sel.conns, "conns", s.conns, "`numbers` of conns")
	fs.StringVar(&sel.versus, "versus", s.versus, "`servers`, see below")
	fs.StringVar(&sel.procs, "procs", s.procs, "GOMAXPROCS of the servers, `numbers`; 0 is Go's default")
	fs.StringVar(&sel.placed, "pin", "off", "`placement`: off, split (server and generator on halves of the CPUs), or SERVER:LOAD as in 0-1:2-3")
	fs.IntVar(&g.rounds, "rounds", s.rounds, "rounds, each of them with every server")
	fs.DurationVar(&g.length, "length", s.length, "measured time of one run")
	fs.DurationVar(&g.warmup, "warmup", -1, "time before it (default a fifth of it)")
	fs.DurationVar(&g.settle, "settle", -1, "time before that, in which a quoit finds its gear (default "+defaultSettle.String()+")")
	fs.StringVar(&g.markdown, "markdown", "", "`file` for the table besides; none if empty")
	fs.BoolVar(&g.list, "list", false, "list the workloads and exit")
	err := fs.Parse(args)
	if err != nil {
		return g, err
	}
	if err = g.resolve(fs, sel); err != nil {
		fmt.Fprintf(stderr, "bench: %v\nbench %s -help lists the flags\n", err, s.name)
	}
	return g, err
}

func (g *grid) resolve(fs *flag.FlagSet, sel selection) error {
	if fs.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	var err error
	if g.match, err = regexp.Compile(sel.run); err != nil {
		return fmt.Errorf("-run: %w", err)
	}
	if err := g.selectWorkloads(sel); err != nil {
		return err
	}
	for _, w := range g.workloads {
		if g.study.accepts == nil {
			break
		}
		if err := g.study.accepts(w); err != nil {
			return fmt.Errorf("-run: %w", err)
		}
	}
	for _, text := range strings.Split(sel.versus, ",") {
		s, err := parseSide(text, "")
		if err == nil && s.command != "" {
			err = fmt.Errorf("%s: a study is of net and quoit", s)
		}
		if err != nil {
			return fmt.Errorf("-versus: %w", err)
		}
		g.versus = append(g.versus, s)
	}
	if g.procs, err = numbers(sel.procs, 0, 1024); err != nil {
		return fmt.Errorf("-procs: %w", err)
	}
	p, err := parsePin(sel.placed)
	if err != nil {
		return fmt.Errorf("-pin: %w", err)
	}
	g.pins = []pin{p}
	return g.times(false)
}

// measure goes through the grid in every round, so that a slow minute of the
// machine is shared. It reports whether a run failed.
func (g *grid) measure(ctx context.Context, p *progress) (failed bool) {
	passes := g.study.passes(&g.notes)
	files := proc.MaxFiles()
	var runs []func(round int)
	for _, w := range g.workloads {
		if w.Files() > files {
			g.notes = append(g.notes, fmt.Sprintf("%s is missing: it needs %d descriptors and the limit is %d (ulimit -n).", w.Name(), w.Files(), files))
			continue
		}
		for _, procs := range g.procs {
			for _, s := range g.versus {
				for i, pass := range passes {
					runs = append(runs, func(round int) {
						r, err := g.one(ctx, w, procs, s, pass, round)
						c := cell{w.Name(), procs, s.String()}
						switch {
						case err == nil:
							g.add(c, i, len(passes), r)
						case ctx.Err() == nil:
							failed = true
							g.notes = append(g.notes, fmt.Sprintf("%s, %s, GOMAXPROCS %d, round %d: %v", c.workload, c.server, procs, round+1, err))
						}
					})
				}
			}
		}
	}
	each := g.settle + g.warmup + g.length + 300*time.Millisecond
	for round := range g.rounds {
		for i, run := range runs {
			left := len(runs)*(g.rounds-round) - i
			p.show(g.study.name, round+1, g.rounds, time.Duration(left)*each)
			run(round)
			if ctx.Err() != nil {
				g.notes = append(g.notes, fmt.Sprintf("Stopped in round %d of %d.", round+1, g.rounds))
				p.done()
				return failed
			}
		}
		slices.Reverse(runs) // being first favours nobody
	}
	p.done()
	return failed
}

func (g *grid) add(c cell, pass, passes int, r *load.Result) {
	if g.results[c] == nil {
		g.results[c] = make([][]*load.Result, passes)
	}
	g.results[c][pass] = append(g.results[c][pass], r)
}

// one makes a run on a fresh server.
func (g *grid) one(ctx context.Context, w workload.Workload, procs int, s side, pass pass, round int) (r *load.Result, err error) {
	spec := serve.Spec{Kind: w.Server, Path: w.Path, Timeouts: w.Timeouts, Stats: true}
	p, err := startServer(ctx, s, spec, procs, g.pins[0].server)
	if err != nil {
		return nil, err
	}
	defer func() {
		if serr := p.stop(); err == nil {
			err = serr
		}
	}()
	if p.Fallback != "" {
		return nil, fmt.Errorf("package net serves in quoit's place: %s", p.Fallback)
	}
	l := load.Spec{
		Workload: w, Addr: p.Addr, PID: p.pid, Stats: p.Stats, Seed: uint64(round),
		Warmup: g.settle + g.warmup, Length: g.length,
	}
	pass(&l)
	return runLoad(ctx, l, g.pins[0].load)
}

// all returns what the runs of a pass have found at c.
func (g *grid) all(c cell, pass int) []*load.Result {
	if rs := g.results[c]; rs != nil {
		return rs[pass]
	}
	return nil
}

// text is the whole answer.
func (g *grid) text() string {
	var b strings.Builder
	m := proc.Describe()
	fmt.Fprintf(&b, "%s, %d CPUs, Linux %s, %s, %s.\n`%s`: rounds %d, runs of %v.\n\n", m.CPU, m.CPUs, m.Kernel, goVersion(),
		time.Now().UTC().Format(time.DateOnly), commandLine(g.args), g.rounds, g.length)
	g.study.render(&b, g)
	for _, n := range g.notes {
		fmt.Fprintf(&b, "\n%s\n", n)
	}
	return b.String()
}
