package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/quoit-go/quoit/bench/internal/load"
	"github.com/quoit-go/quoit/bench/internal/paired"
	"github.com/quoit-go/quoit/bench/internal/proc"
	"github.com/quoit-go/quoit/bench/internal/report"
)

// maxFailures is the number of failed rounds after which a case is given up.
const maxFailures = 3

// job is one case of the report and how to run it.
type job struct {
	*report.Case
	versus side
	pin    pin
	took   time.Duration // by its last round
	failed int
}

type bench struct {
	options
	jobs     []*job
	skipped  []string
	progress *progress
}

// newBench leaves out what needs more descriptors than files.
func newBench(o options, files int, p *progress) *bench {
	b := &bench{options: o, progress: p}
	for _, w := range o.workloads {
		if w.Files() > files {
			b.skipped = append(b.skipped, fmt.Sprintf("%s: needs %d descriptors and the limit is %d (ulimit -n)", w.Name(), w.Files(), files))
			continue
		}
		for _, procs := range o.procs {
			for _, pin := range o.pins {
				for _, v := range o.versus {
					c := &report.Case{Workload: w, Versus: v.String(), Procs: procs, Pin: pin.name}
					b.jobs = append(b.jobs, &job{Case: c, versus: v, pin: pin})
				}
			}
		}
	}
	return b
}

// run goes through all jobs in every round, so that a slow minute of the
// machine is shared among them. A report of what there is by then is returned
// when ctx or the time limit ends it.
func (b *bench) run(ctx context.Context) (*report.Report, error) {
	start := time.Now()
	rep := &report.Report{
		Date:    start.UTC().Truncate(time.Second),
		Machine: proc.Describe(),
		Go:      runtime.Version(),
		Base:    b.base.String(),
		Command: commandLine(b.args),
		Length:  b.length,
		Warmup:  b.warmup,
		Settle:  b.settle,
		Skipped: b.skipped,
	}
	left := b.rounds * len(b.jobs)
rounds:
	for round := range b.rounds {
		for _, j := range b.jobs {
			spent := time.Since(start)
			if ctx.Err() != nil || b.limit > 0 && spent+j.took > b.limit {
				break rounds
			}
			if b.isSteady(j, round) {
				left--
				continue
			}
			b.progress.show(j.Label(), round+1, b.rounds, b.remaining(spent, left))
			b.round(ctx, j, round)
			if ctx.Err() != nil { // it was cut short
				break rounds
			}
			left--
		}
	}
	b.progress.done()
	measured := 0
	for _, j := range b.jobs {
		rep.Cases = append(rep.Cases, j.Case)
		measured += len(j.Pairs)
	}
	if b.crosscheck && left == 0 {
		rep.Checks = b.crossChecks(ctx)
	}
	rep.Elapsed = time.Since(start)
	if left > 0 {
		rep.Stopped = fmt.Sprintf("stopped after %v with %d of %d rounds to go", rep.Elapsed.Round(time.Second), left, b.rounds*len(b.jobs))
	}
	if measured == 0 && len(b.jobs) == 0 {
		return nil, errors.New("nothing to run: " + strings.Join(b.skipped, "; "))
	}
	return rep, nil
}

// isSteady reports whether j needs no more rounds: the medians of requests/s and of CPU
// per request are known to b.steady, by the notches of a box plot. Only the spread
// decides, not what came out.
func (b *bench) isSteady(j *job, round int) bool {
	if b.steady == 0 || 2*round < b.rounds || len(j.Pairs) < 2 {
		return false
	}
	for _, key := range []string{"rate", "cpu"} {
		r := j.Ratio(key)
		if 1.57*(r.Q3-r.Q1)/math.Sqrt(float64(r.N)) > b.steady*r.Median {
			return false
		}
	}
	return true
}

// commandLine quotes what a shell would split or lose.
func commandLine(args []string) string {
	line := "bench"
	for _, a := range args {
		if a == "" || strings.ContainsAny(a, " ^$()|*@\"'\\") {
			a = strconv.Quote(a)
		}
		line += " " + a
	}
	return line
}

// remaining estimates the time for the rounds left.
func (b *bench) remaining(spent time.Duration, left int) time.Duration {
	d := time.Duration(left) * (4*(b.warmup+b.length+100*time.Millisecond) + b.settle + b.settling(b.base))
	if done := b.rounds*len(b.jobs) - left; done > 0 {
		d = spent / time.Duration(done) * time.Duration(left)
	}
	if b.limit > 0 {
		d = min(d, b.limit-spent)
	}
	return d
}

// settling is how long a fresh server runs before it is measured: a quoit until it has
// its gear, others as long as memory grows.
func (b *bench) settling(s side) time.Duration {
	if s.transport != "quoit" {
		return min(b.settle, 300*time.Millisecond)
	}
	return b.settle
}

// round makes four runs of j on two fresh servers.
func (b *bench) round(ctx context.Context, j *job, round int) {
	if j.failed >= maxFailures {
		return
	}
	start := time.Now()
	defer func() { j.took = time.Since(start) }()
	if err := b.fourRuns(ctx, j, round); err != nil && ctx.Err() == nil {
		j.failed++
		j.Errors = append(j.Errors, fmt.Sprintf("round %d: %v", round+1, err))
	}
}

func (b *bench) fourRuns(ctx context.Context, j *job, round int) (err error) {
	servers, err := b.startServers(ctx, j, round)
	defer func() {
		if serr := servers.stop(); err == nil {
			err = serr
		}
	}()
	if err != nil {
		return err
	}
	order := paired.Order(round)
	var results [4]*load.Result
	for i, isBase := range order {
		s := servers.measured[isBase]
		warmup := b.warmup
		if s.fresh {
			warmup += b.settling(b.side(j, isBase))
		}
		s.fresh = false
		results[i], err = runLoad(ctx, load.Spec{
			Workload: j.Workload,
			Addr:     s.Addr,
			PID:      s.pid,
			Rings:    s.Rings,
			Seed:     uint64(2*round + i/2), // a pair's runs draw the same
			Warmup:   warmup,
			Length:   b.length,
		}, j.pin.load)
		if err != nil {
			return fmt.Errorf("%s: %w", b.side(j, isBase), err)
		}
		// A pair counts as soon as it is complete.
		if i%2 == 1 && isBase {
			j.Add(results[i], results[i-1])
		} else if i%2 == 1 {
			j.Add(results[i-1], results[i])
		}
	}
	return nil
}
