package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/quoit-go/quoit/bench/internal/hist"
	"github.com/quoit-go/quoit/bench/internal/load"
	"github.com/quoit-go/quoit/bench/internal/workload"
)

// A Write is to be with the peer by delayAllowed, or by delayTimes what it takes
// net, at p99.
const (
	delayAllowed = 300 * time.Microsecond
	delayTimes   = 2
)

var delay = study{
	name:  "delay",
	about: "how long a Write is on its way while handlers compute",
	takes: "some 15 minutes",
	run:   "^flush-", conns: "1,16,64,256", procs: "1,2,4",
	versus: "net,quoit:ring,quoit",
	rounds: 2, length: 4 * time.Second,
	accepts: func(w workload.Workload) error {
		if w.Load != workload.LoadFlush {
			return fmt.Errorf("%s does not tell when it writes", w.Name())
		}
		return nil
	},
	passes: func(*[]string) []pass { return []pass{func(*load.Spec) {}} },
	render: renderDelay,
}

func renderDelay(b *strings.Builder, g *grid) {
	fmt.Fprintf(b, "From Write to arrival at the peer, in µs: p50 / p99 / longest. Bold: p99 above %v and above %d times net's. "+
		"4 conns more, whose handlers compute each time, keep the processors busy.\n\n", delayAllowed, delayTimes)
	g.byProcs(b, func(c cell) string {
		h := g.delays(c)
		p99, allowed := h.Quantile(0.99), delayAllowed
		net := c
		net.server = "net"
		allowed = max(allowed, delayTimes*g.delays(net).Quantile(0.99))
		return fmt.Sprintf("%s / %s / %s", microseconds(h.Quantile(0.5)), bold(microseconds(p99), p99 > allowed), microseconds(h.Max()))
	})
	fmt.Fprintf(b, "\nflush-compute: each request has the handler write twice, compute 1 to 50 ms and write once more; "+
		"flush-mixed: one in 8 does, the others do not compute. The generator runs before other processes where it has the right to "+
		"(SCHED_FIFO, else nice -15) and used up to %.0f%% of a processor.\n", 100*g.generatorBusy())
}

// delays merges those of all rounds.
func (g *grid) delays(c cell) *hist.Hist {
	h := new(hist.Hist)
	for _, r := range g.all(c, 0) {
		h.Merge(r.Latency)
	}
	return h
}

func microseconds(d time.Duration) string {
	return fmt.Sprintf("%.0f", float64(d)/float64(time.Microsecond))
}
