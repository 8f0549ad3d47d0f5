package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/quoit-go/quoit/bench/internal/counters"
	"github.com/quoit-go/quoit/bench/internal/load"
	"github.com/quoit-go/quoit/bench/internal/serve"
)

var cost = study{
	name:  "cost",
	about: "what a request costs: processor, system calls by name, the engine's turns",
	takes: "some 3 minutes",
	run:   "^(http|echo-64B)/", conns: "64", procs: "0",
	versus: "net,quoit:poll,quoit:ring",
	rounds: 5, length: time.Second,
	passes: costPasses,
	render: renderCost,
}

// costPasses has a run for each kind of counter: those of system calls make the calls
// slower, so that nothing else may be measured beside them.
func costPasses(notes *[]string) []pass {
	passes := []pass{func(*load.Spec) {}}
	for _, kind := range []struct {
		title  string
		events []string
	}{
		{"processor", counters.Hardware()},
		{"system calls", counters.Calls()},
	} {
		set, err := counters.Open(os.Getpid(), kind.events)
		if err != nil {
			*notes = append(*notes, fmt.Sprintf("No counters of the %s here: %v.", kind.title, err))
			continue
		}
		set.Close()
		passes = append(passes, func(s *load.Spec) { s.Events = kind.events })
	}
	return passes
}

// figure is a row: of a run, per request. There is none where ok is false.
type figure struct {
	title string
	of    func(*load.Result) (x float64, ok bool)
}

// per divides by the requests of a run.
func per(title string, f func(*load.Result) (float64, bool)) figure {
	return figure{title, func(r *load.Result) (float64, bool) {
		x, ok := f(r)
		return x / float64(r.Units), ok
	}}
}

func stat(title string, f func(*serve.EngineStats) uint64) figure {
	return per(title, func(r *load.Result) (float64, bool) {
		if r.Stats == nil {
			return 0, false
		}
		return float64(f(r.Stats)), true
	})
}

func counted(title, event string) figure {
	return per(title, func(r *load.Result) (float64, bool) {
		n, ok := r.Counts[event]
		return float64(n), ok
	})
}

// plainFigures are from the runs without counters.
var plainFigures = []figure{
	{"requests/s", func(r *load.Result) (float64, bool) { return float64(r.Units) / r.Elapsed.Seconds(), true }},
	per("CPU, ns", func(r *load.Result) (float64, bool) { return float64(r.Server.CPU), true }),
	per("context switches, voluntary", func(r *load.Result) (float64, bool) { return float64(r.Server.Voluntary), true }),
	per("context switches, involuntary", func(r *load.Result) (float64, bool) { return float64(r.Server.Involuntary), true }),
	stat("turns of the ring's thread", (*serve.EngineStats).Turns),
	stat("completions", func(s *serve.EngineStats) uint64 { return s.Completions }),
	stat("enters", func(s *serve.EngineStats) uint64 { return s.Enters }),
	stat("wake-ups of the ring's thread", func(s *serve.EngineStats) uint64 { return s.Wakeups }),
	stat("Reads that had waited on a ring", func(s *serve.EngineStats) uint64 { return s.RingReads }),
	stat("Reads that had not", func(s *serve.EngineStats) uint64 { return s.DirectReads }),
	stat("Writes batched", func(s *serve.EngineStats) uint64 { return s.WritesBatched }),
	stat("sends of such by a ring", func(s *serve.EngineStats) uint64 { return s.Batches }),
}

// countedFigures are from the runs with them.
func countedFigures() []figure {
	var out []figure
	for _, e := range counters.Hardware() {
		out = append(out, counted(strings.ReplaceAll(e, "-", " "), e))
	}
	out = append(out, counted("system calls", counters.AllCalls))
	for _, e := range counters.Calls() {
		if name, ok := counters.CallName(e); ok {
			out = append(out, counted("`"+name+"`", e))
		}
	}
	return append(out, per("other system calls", func(r *load.Result) (float64, bool) {
		other, ok := r.Counts[counters.AllCalls]
		for e, n := range r.Counts {
			if _, call := counters.CallName(e); call {
				other -= min(other, n)
			}
		}
		return float64(other), ok
	}))
}

func renderCost(b *strings.Builder, g *grid) {
	b.WriteString("Per request of the server: medians of the rounds (and quartiles). Rows that are 0 everywhere are left out.\n")
	for _, w := range g.workloads {
		for _, procs := range g.procs {
			head := []string{w.Name() + ", " + procsName(procs)}
			for _, s := range g.versus {
				head = append(head, s.String())
			}
			b.WriteString("\n")
			markdownRows(b, head)
			g.costRows(b, w.Name(), procs)
		}
	}
	b.WriteString("\nThe counters of system calls make them slower: they have runs of their own.\n")
}

// negligible is what a figure has to reach with some server to be shown.
const negligible = 0.0005

func (g *grid) costRows(b *strings.Builder, name string, procs int) {
	rows := func(figures []figure, results func(passes [][]*load.Result) []*load.Result) {
		for _, f := range figures {
			row, shown := []string{f.title}, false
			for _, s := range g.versus {
				var xs []float64
				for _, r := range results(g.results[cell{name, procs, s.String()}]) {
					if x, ok := f.of(r); ok {
						xs = append(xs, x)
						shown = shown || x >= negligible
					}
				}
				row = append(row, spread(xs))
			}
			if shown {
				markdownRow(b, row)
			}
		}
	}
	first := func(passes [][]*load.Result) []*load.Result { return slices.Concat(passes[:min(1, len(passes))]...) }
	others := func(passes [][]*load.Result) []*load.Result { return slices.Concat(passes[min(1, len(passes)):]...) }
	rows(plainFigures, first)
	rows(countedFigures(), others)
}
