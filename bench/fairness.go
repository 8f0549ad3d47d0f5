package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quoit-go/quoit/bench/internal/load"
	"github.com/quoit-go/quoit/bench/internal/workload"
)

// fairShare is the part of the median conn's answers that the worst served one is
// to have in any second.
const fairShare = 0.5

var fairness = study{
	name:  "fairness",
	about: "what the worst served of conns gets that ask all the time",
	takes: "some 10 minutes",
	run:   "^echo-64B/", conns: "64,256,1024,4096", procs: "1,2,4",
	versus: "net,quoit:ring,quoit:poll,quoit",
	rounds: 2, length: 4 * time.Second,
	accepts: func(w workload.Workload) error {
		if w.Load != workload.LoadEcho && w.Load != workload.LoadHTTP || w.Busy > 0 {
			return fmt.Errorf("in %s not all conns ask all the time", w.Name())
		}
		return nil
	},
	passes: func(*[]string) []pass {
		return []pass{func(s *load.Spec) {
			s.Even = true
			s.Length += 100 * time.Millisecond // so that the last second is a whole one
		}}
	},
	render: renderFairness,
}

func renderFairness(b *strings.Builder, g *grid) {
	fmt.Fprintf(b, "Answers of the worst served conn ÷ the median conn's, in the worst of all seconds (in the median second), "+
		"and the longest that a conn waited for an answer. Bold: below %.1f.\n\n", fairShare)
	g.byProcs(b, func(c cell) string {
		var shares []float64
		fewest := 0 // answers of the median conn
		var gap time.Duration
		for _, r := range g.all(c, 0) {
			gap = max(gap, r.Even.Gap)
			for _, s := range r.Even.Seconds {
				shares = append(shares, s.Share())
				if fewest == 0 || s.Median < fewest {
					fewest = s.Median
				}
			}
		}
		if len(shares) == 0 {
			return "-" // -length is less than a second
		}
		slices.Sort(shares)
		text := bold(fmt.Sprintf("%.2f", shares[0]), shares[0] < fairShare) +
			fmt.Sprintf(" (%.2f), %s ms", shares[len(shares)/2], milliseconds(gap))
		if fewest < coarse {
			text += fmt.Sprintf(", of %d", fewest)
		}
		return text
	})
	fmt.Fprintf(b, "\n\"of N\": the median conn had no more than N answers in a second, so that one more or less shows. "+
		"The generator is one thread on an epoll set, which serves in the order of arrival; it used up to %.0f%% of a processor. "+
		"The rows of net say what it and Go's scheduler do themselves.\n", 100*g.generatorBusy())
}

// coarse is the number of answers below which one of them is 5% or more.
const coarse = 20

func milliseconds(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	if ms < 10 {
		return fmt.Sprintf("%.1f", ms)
	}
	return fmt.Sprintf("%.0f", ms)
}
