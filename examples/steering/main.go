// Command steering shows, in a table that it prints twice a second, how the
// connections of one listener come to the rings of an engine:
//
//	go run ./examples/steering          # keys switch the policy
//	go run ./examples/steering -tour    # switches by itself
//
// It loads itself: 400 conns that come and go, one of 50 of them 100 times
// busier, from 40 addresses of which the first has by far the most conns. The
// table has each ring's conns, the requests that it received, and how many
// conns the eBPF program sent there. Least loaded and round robin spread conns
// evenly; by source gives the ring of the greatest source too many; by CPU
// goes by where packets arrive. None spreads requests evenly, for a busy conn
// counts as one. A ring that is drained gets nothing new and is empty when its
// last conn ends. One that is held is much busier than others and gets nothing
// new until it no longer is; that takes 20,000 requests/s.
//
// The program needs CAP_BPF. Without it the kernel's hash serves, and without
// io_uring package net does; the table says so.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

type options struct {
	server serverOptions
	load   loadOptions
	show   showOptions
	limit  time.Duration
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	fs := flag.NewFlagSet("steering", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.IntVar(&o.server.rings, "rings", 4, "`number` of rings")
	fs.BoolVar(&o.server.pin, "pin", true, "pin the rings' threads to CPUs, in turn")
	fs.StringVar(&o.server.steering, "steering", "ebpf", "`what` steers: ebpf, and where that cannot be had hash; or\nhash, cpu, random; or none, which hands conns over after accept")
	fs.IntVar(&o.load.conns, "conns", 400, "`number` of conns that are open at a time")
	fs.Float64Var(&o.load.rate, "rate", 2, "`requests` a second on each conn")
	fs.IntVar(&o.load.busy, "busy", 50, "one conn of `so many` is 100 times busier; 0: none is")
	fs.DurationVar(&o.load.life, "life", 3*time.Second, "how long conns stay, on average")
	fs.IntVar(&o.load.sources, "sources", 40, "`number` of addresses that conns come from; 1 to 10000")
	fs.DurationVar(&o.show.every, "every", 500*time.Millisecond, "time between two tables")
	fs.DurationVar(&o.limit, "for", 0, "end after this time; 0: on q or SIGINT")
	fs.BoolVar(&o.show.tour, "tour", false, "show each policy and a drained ring, compare them, and end")
	fs.DurationVar(&o.show.phase, "phase", 8*time.Second, "time that -tour shows each")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	var err error
	switch {
	case fs.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", fs.Arg(0))
	case o.server.rings < 1 || o.load.conns < 1 || o.load.sources < 1 || o.load.sources > maxSources || o.load.busy < 0:
		err = errors.New("-rings, -conns, -sources or -busy is out of range")
	case !(o.load.rate > 0 && o.load.rate <= 1e6) || o.load.life <= 0:
		err = errors.New("-rate and -life must be more than 0, and -rate no more than 1000000")
	case o.show.every <= 0 || o.show.phase < o.show.every || o.limit < 0:
		err = errors.New("-every must be more than 0, -phase no less than -every, -for not negative")
	default:
		_, err = newSteering(o.server.steering)
	}
	if err != nil {
		fmt.Fprintf(stderr, "steering: %v\n", err)
		fs.Usage()
	}
	return o, err
}

// run shows the table until ctx ends and returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	if o.limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.limit)
		defer cancel()
	}
	s, err := start(o.server)
	if err != nil {
		fmt.Fprintf(stderr, "steering: %v\n", err)
		return 1
	}
	l := startLoad(o.load, s.ln.Addr())
	sh := &show{o: o.show, s: s, load: l, out: newScreen(stdout)}
	if !o.show.tour {
		sh.keys = lines(ctx, stdin)
	}
	err = sh.loop(ctx)
	l.stop()
	sh.end()
	if err = errors.Join(err, s.close()); err != nil {
		fmt.Fprintf(stderr, "steering: %v\n", err)
		return 1
	}
	return 0
}

// lines passes on what r has, until its end. Whoever waits in Read, it cannot
// wake.
func lines(ctx context.Context, r io.Reader) <-chan string {
	out := make(chan string)
	go func() {
		sc := bufio.NewScanner(r)
		for sc.Scan() {
			select {
			case out <- sc.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}
