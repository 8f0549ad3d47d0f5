package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quoit-go/quoit/bench/internal/proc"
	"github.com/quoit-go/quoit/bench/internal/serve"
	"github.com/quoit-go/quoit/bench/internal/workload"
)

// side is one of the two servers that are compared.
type side struct {
	transport string
	binary    string // "" is this one
}

func (s side) String() string {
	if s.binary == "" {
		return s.transport
	}
	return s.transport + "@" + s.binary
}

// pin says which CPUs server and generator may use; none means all.
type pin struct {
	name         string
	server, load []int
}

type options struct {
	args      []string
	workloads []workload.Workload
	base      side
	versus    []side
	procs     []int // GOMAXPROCS of the servers; 0 is Go's default
	pins      []pin
	rounds    int
	warmup    time.Duration
	length    time.Duration
	limit     time.Duration
	json      string
	html      string
	markdown  string
	profile   string
	list      bool

	crosscheck bool // by other people's load generators
}

const (
	defaultRounds = 10
	defaultLength = time.Second
	quickRounds   = 4
	quickLength   = 500 * time.Millisecond
	quickLimit    = 135 * time.Second // leaves 45 s for building, so that all is under 3 minutes
)

const header = `usage: bench [flags]

Compares servers on quoit with the same servers on package net: short runs in
turns, A B B A, over several rounds. What counts is the median of the ratios
of neighbouring runs, and its quartiles. Without flags every workload runs,
about 35 minutes; -quick takes under 3.

`

func parse(args []string, stderr io.Writer) (options, error) {
	o := options{args: args}
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Usage = func() {
		fmt.Fprint(stderr, header)
		fs.PrintDefaults()
	}
	quick := fs.Bool("quick", false, "a representative subset, in under 3 minutes")
	match := fs.String("run", "", "only workloads whose name matches the `regexp`, such as '^http/'")
	conns := fs.String("conns", "", "`numbers` of conns, for workloads that have several, such as 1,64")
	base := fs.String("base", "net", "`server` to compare with: net or quoit, or either @BINARY of another build")
	versus := fs.String("versus", "quoit", "`servers` to compare; quoit,net adds the noise floor, net against net")
	procs := fs.String("procs", "0", "GOMAXPROCS of the servers, `numbers` such as 1,2; 0 is Go's default")
	pins := fs.String("pin", "off", "`placements`: off, split (server and generator on halves of the CPUs), or SERVER:LOAD as in 0-1:2-3; several with a space between")
	fs.IntVar(&o.rounds, "rounds", 0, "rounds of four runs each (default 10, quick 4)")
	fs.DurationVar(&o.length, "length", 0, "measured time of one run (default 1s, quick 500ms)")
	fs.DurationVar(&o.warmup, "warmup", -1, "time before it (default a fifth of it)")
	fs.DurationVar(&o.limit, "limit", 0, "limit for the whole run; what is measured by then is reported (default none, quick "+quickLimit.String()+")")
	fs.StringVar(&o.json, "json", "bench.json", "`file` for the results as JSON; empty: none")
	fs.StringVar(&o.html, "html", "bench.html", "`file` for the results as a page; empty: none")
	fs.StringVar(&o.markdown, "markdown", "", "`file` for a table in Markdown; none if empty")
	fs.StringVar(&o.profile, "profile", "", "`directory` for CPU profiles of the servers; none if empty")
	fs.BoolVar(&o.list, "list", false, "list the workloads and exit")
	fs.BoolVar(&o.crosscheck, "crosscheck", true, "compare with wrk and h2load too, where they are installed (not with -quick)")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	o.crosscheck = o.crosscheck && !*quick
	err := o.resolve(fs.Args(), *quick, *match, *conns, *base, *versus, *procs, *pins)
	if err != nil {
		fmt.Fprintf(stderr, "bench: %v\nbench -help lists the flags\n", err)
	}
	return o, err
}

func (o *options) resolve(rest []string, quick bool, match, conns, base, versus, procs, pins string) error {
	if len(rest) > 0 {
		return fmt.Errorf("unexpected argument %q", rest[0])
	}
	if err := o.selectWorkloads(quick, match, conns); err != nil {
		return err
	}
	var err error
	if o.base, err = parseSide(base); err != nil {
		return fmt.Errorf("-base: %w", err)
	}
	for s := range strings.SplitSeq(versus, ",") {
		v, err := parseSide(s)
		if err != nil {
			return fmt.Errorf("-versus: %w", err)
		}
		o.versus = append(o.versus, v)
	}
	if o.procs, err = numbers(procs, 0, 1024); err != nil {
		return fmt.Errorf("-procs: %w", err)
	}
	for _, p := range strings.Fields(pins) {
		parsed, err := parsePin(p)
		if err != nil {
			return fmt.Errorf("-pin: %w", err)
		}
		o.pins = append(o.pins, parsed)
	}
	if len(o.pins) == 0 {
		return errors.New("-pin: nothing given")
	}
	return o.times(quick)
}

func (o *options) selectWorkloads(quick bool, match, conns string) error {
	var counts []int
	var err error
	if conns != "" {
		if counts, err = numbers(conns, 1, 1<<20); err != nil {
			return fmt.Errorf("-conns: %w", err)
		}
	}
	re, err := regexp.Compile(match)
	if err != nil {
		return fmt.Errorf("-run: %w", err)
	}
	all := workload.All(counts)
	if quick && match == "" && conns == "" {
		all = workload.Quick()
	}
	if o.workloads = workload.Select(all, re.MatchString); len(o.workloads) == 0 {
		return fmt.Errorf("-run: no workload matches %q; -list shows them", match)
	}
	return nil
}

func (o *options) times(quick bool) error {
	rounds, length := defaultRounds, defaultLength
	if quick {
		rounds, length = quickRounds, quickLength
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
	switch {
	case o.rounds < 1 || o.rounds > 10000:
		return fmt.Errorf("-rounds=%d: want 1 to 10000", o.rounds)
	case o.length < 50*time.Millisecond || o.length > 10*time.Minute:
		return fmt.Errorf("-length=%v: want 50ms to 10m", o.length)
	case o.warmup < 0 || o.warmup > 10*time.Minute:
		return fmt.Errorf("-warmup=%v: want 0 to 10m", o.warmup)
	case o.limit < 0:
		return fmt.Errorf("-limit=%v is negative", o.limit)
	}
	return nil
}

func parseSide(s string) (side, error) {
	transport, binary, other := strings.Cut(s, "@")
	if !slices.Contains(serve.Transports, transport) {
		return side{}, fmt.Errorf("%q is none of %s", transport, strings.Join(serve.Transports, ", "))
	}
	if other {
		if _, err := os.Stat(binary); err != nil {
			return side{}, err
		}
	}
	return side{transport, binary}, nil
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
