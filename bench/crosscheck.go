package main

import (
	"context"
	"fmt"
	"math"
	"os/exec"
	"regexp"
	"strconv"
	"time"

	"github.com/quoit-go/quoit/bench/internal/paired"
	"github.com/quoit-go/quoit/bench/internal/serve"
)

// checker is somebody else's load generator, to see whether ours agrees.
type checker struct {
	tool string
	like string // the workload that it repeats
	args func(addr string, seconds int) []string
	rate *regexp.Regexp
}

var checkers = []checker{
	{
		tool: "wrk", like: "http/64",
		args: func(addr string, seconds int) []string {
			return []string{"-t1", "-c64", fmt.Sprintf("-d%ds", seconds), "http://" + addr + "/"}
		},
		rate: regexp.MustCompile(`Requests/sec:\s+([0-9.]+)`),
	},
	{
		tool: "h2load", like: "h2/8",
		args: func(addr string, seconds int) []string {
			return []string{"-t1", "-c8", "-m32", "-D", strconv.Itoa(seconds), "http://" + addr + "/"}
		},
		rate: regexp.MustCompile(`finished in [^,]+, ([0-9.]+) req/s`),
	},
}

// checkRounds is enough to see a disagreement.
const checkRounds = 3

// crossChecks repeats workloads that were run by tools that are installed,
// and says in a line each what came out.
func (b *bench) crossChecks(ctx context.Context) []string {
	var out []string
	done := map[string]bool{}
	for _, j := range b.jobs {
		for _, c := range checkers {
			if _, err := exec.LookPath(c.tool); err != nil || c.like != j.Label() || done[c.like] {
				continue
			}
			done[c.like] = true
			b.progress.show(c.tool, 1, 1, checkRounds*4*b.length)
			out = append(out, b.crossCheck(ctx, j, c))
			b.progress.done()
		}
	}
	return out
}

func (b *bench) crossCheck(ctx context.Context, j *job, c checker) string {
	seconds := int(math.Ceil(b.length.Seconds()))
	var base, other []float64
	for round := range checkRounds {
		rates, err := b.checkRound(ctx, j, c, round, seconds)
		if err != nil {
			return fmt.Sprintf("%s: %v", c.tool, err)
		}
		base, other = append(base, rates[true]...), append(other, rates[false]...)
	}
	r := paired.Summarize(paired.Ratios(base, other))
	ours := "nothing measured"
	if len(j.Pairs) > 0 {
		ours = fmt.Sprintf("%.2f", paired.Summarize(j.Rates()).Median)
	}
	return fmt.Sprintf("%s as in %s: requests/s %.2f (%.2f-%.2f) of %s's in %d pairs; ours: %s",
		c.tool, c.like, r.Median, r.Q1, r.Q3, b.base, r.N, ours)
}

// checkRound returns two rates for the base and two for the other.
func (b *bench) checkRound(ctx context.Context, j *job, c checker, round, seconds int) (map[bool][]float64, error) {
	servers := map[bool]*serverProcess{}
	for _, isBase := range []bool{true, false} {
		s := b.side(j, isBase)
		p, err := startServer(ctx, s, serve.Spec{Kind: j.Workload.Server, Path: j.Workload.Path}, j.Procs, j.pin.server)
		if err != nil {
			return nil, err
		}
		defer p.stop() // the figures are there; runs proper report failures
		servers[isBase] = p
	}
	rates := map[bool][]float64{}
	for _, isBase := range paired.Order(round) {
		ctx, cancel := context.WithTimeout(ctx, time.Duration(seconds)*time.Second+loadGrace)
		out, err := exec.CommandContext(ctx, c.tool, c.args(servers[isBase].Addr, seconds)...).Output()
		cancel()
		if err != nil {
			return nil, err
		}
		rate, err := c.parse(out)
		if err != nil {
			return nil, err
		}
		rates[isBase] = append(rates[isBase], rate)
	}
	return rates, nil
}

func (c checker) parse(out []byte) (float64, error) {
	m := c.rate.FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("no rate in its output: %.200q", out)
	}
	return strconv.ParseFloat(string(m[1]), 64)
}
