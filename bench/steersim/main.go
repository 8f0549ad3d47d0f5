// Command steersim compares, by simulation, how policies spread many conns
// over many rings. It needs no network and no kernel support: from bench/,
//
//	go run ./steersim -svg steersim.svg
//
// # What is modelled
//
// A server restarts and all its conns come back within a few seconds. From
// then on as many arrive as leave: part of them at random (Poisson), part in
// bursts that arrive within a millisecond, before any of them is accepted.
// Lifetimes are exponential, and some conns live ten times as long. The work
// of conns is skewed, and so is the number of conns of a source: some sources
// are proxies with very many. A conn stays on the ring that was picked for it.
//
// Rings publish their conns when they accept and close; between the pick and
// the accept lies a round trip, so a load array is stale by that delay, unless
// what picks bumps a counter itself. Rings publish their work once a second.
// A policy whose name ends in +hold gives no conns to a ring that does much
// more work than the mean, until it is near the mean again.
//
// All policies see the same conns at the same moments. A seed makes a run
// repeatable, whatever policies are selected.
//
// # What is not
//
// What steering costs: handing over, the BPF program, shared cache lines, NUMA
// and the distance of a ring from the CPU that received. Picks are one after
// the other, where CPUs may pick at once and miss each other's bump. No SYN is
// lost or abandoned, so bumps never leak. Rings do not queue: a ring may have
// more work than it can do, which the tables give as the load of the whole
// server at which the worst ring is full. A conn works at the same rate all its
// life, but for -phase. How busy it is does not depend on source or lifetime.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		return exitUsage
	}
	if err := o.run(stdout, stderr); err != nil {
		fmt.Fprintf(stderr, "steersim: %v\n", err)
		return exitFailed
	}
	return exitOK
}

type options struct {
	world     config
	policies  []policy
	drain     bool
	json, svg string
}

func parse(args []string, stderr io.Writer) (options, error) {
	o := options{world: defaults()}
	c := &o.world
	var names string
	fs := flag.NewFlagSet("steersim", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Usage = func() { usage(fs, stderr) }
	fs.IntVar(&c.Conns, "conns", c.Conns, "conns open at once, on the average")
	fs.IntVar(&c.Rings, "rings", c.Rings, "rings")
	fs.Uint64Var(&c.Seed, "seed", c.Seed, "seed of all that is random")
	fs.StringVar(&c.Skew, "skew", c.Skew, "work of conns: even, hot (1 of 100 is 100 times busier) or pareto (index 1.2)")
	fs.DurationVar(&c.Phase, "phase", c.Phase, "mean time until the work of a conn is drawn anew; 0 is never")
	fs.DurationVar(&c.Life, "life", c.Life, "mean lifetime of a conn")
	fs.Float64Var(&c.Long, "long", c.Long, "share of new conns that live 10 times as long")
	fs.DurationVar(&c.Restart, "restart", c.Restart, "time within which all conns come back at the start")
	fs.DurationVar(&c.Run, "run", c.Run, "simulated time after the restart")
	fs.IntVar(&c.Burst, "burst", c.Burst, "conns of a burst (default 1 of 100 conns)")
	fs.Float64Var(&c.Bursty, "bursty", c.Bursty, "share of new conns that arrive in bursts")
	fs.DurationVar(&c.Delay, "delay", c.Delay, "time between the pick and the accept")
	fs.IntVar(&c.Sources, "sources", c.Sources, "source addresses (default 1 for 5 conns)")
	fs.Float64Var(&c.SourceSkew, "source-skew", c.SourceSkew, "Zipf exponent of the conns of a source; 0 is even")
	fs.IntVar(&c.Queues, "queues", c.Queues, "receive queues of the network card, for cpu")
	fs.Float64Var(&c.HoldAt, "hold-at", c.HoldAt, "work, relative to the mean, above which a ring is held")
	fs.Float64Var(&c.ResumeAt, "resume-at", c.ResumeAt, "work below which it takes conns again")
	fs.StringVar(&names, "policies", defaultPolicies, "policies to compare")
	fs.BoolVar(&o.drain, "drain", true, "drain a ring, too")
	fs.StringVar(&o.json, "json", "", "`file` for the results as JSON; none if empty")
	fs.StringVar(&o.svg, "svg", "", "`file` for a chart; none if empty")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	c.fill()
	err := c.check()
	if err == nil && fs.NArg() > 0 {
		err = fmt.Errorf("unexpected %q", fs.Arg(0))
	}
	if err == nil {
		o.policies, err = parsePolicies(names)
	}
	if err != nil {
		fmt.Fprintf(stderr, "steersim: %v\nsteersim -help lists the flags\n", err)
	}
	return o, err
}

func usage(fs *flag.FlagSet, w io.Writer) {
	fmt.Fprint(w, "usage: steersim [flags]\n\nSimulates how policies spread conns over rings.\n\n")
	fs.PrintDefaults()
	fmt.Fprint(w, "\npolicies, each also with +hold:\n")
	for _, p := range policies {
		fmt.Fprintf(w, "  %-18s %s\n", p.name, p.about)
	}
}

func parsePolicies(names string) ([]policy, error) {
	var out []policy
	for name := range strings.SplitSeq(names, ",") {
		p, ok := findPolicy(strings.TrimSpace(name))
		if !ok {
			return nil, fmt.Errorf("no policy %q", name)
		}
		out = append(out, p)
	}
	return out, nil
}

func (o options) run(stdout, stderr io.Writer) error {
	began := time.Now()
	w := newWorld(o.world)
	r := &report{Config: o.world, Arrived: len(w.conns), Results: w.compare(o.policies)}
	if o.drain && o.world.Rings > 1 {
		r.Drains = w.drains()
	}
	if err := r.table(stdout); err != nil {
		return err
	}
	fmt.Fprintf(stderr, "simulated in %v\n", time.Since(began).Round(100*time.Millisecond))
	for _, out := range []struct {
		path   string
		render func(io.Writer) error
	}{{o.json, r.json}, {o.svg, r.chart}} {
		if out.path == "" {
			continue
		}
		f, err := os.Create(out.path)
		if err != nil {
			return err
		}
		err = out.render(f)
		if err := errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("%s: %w", out.path, err)
		}
		fmt.Fprintf(stderr, "written: %s\n", out.path)
	}
	return nil
}
