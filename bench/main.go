// Command bench compares quoit with package net, side by side on this machine.
//
// It starts both servers, loads them in turns (A B B A) from a process of its
// own, and reports the medians of the ratios of neighbouring runs. Linux only.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/quoit-go/quoit/bench/internal/load"
	"github.com/quoit-go/quoit/bench/internal/proc"
	"github.com/quoit-go/quoit/bench/internal/report"
	"github.com/quoit-go/quoit/bench/internal/serve"
	"github.com/quoit-go/quoit/bench/internal/workload"
	"github.com/quoit-go/quoit/internal/environ"
)

// Commands of the child processes, which are this binary again.
const (
	childServe = "serve"
	childLoad  = "load"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1 // some run failed, or nothing could be measured
	exitUsage  = 2
)

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) > 0 && (args[0] == childServe || args[0] == childLoad) {
		child := serve.Main
		if args[0] == childLoad {
			child = load.Main
		}
		if err := child(stdin, stdout); err != nil {
			fmt.Fprintln(stderr, err)
			return exitFailed
		}
		return exitOK
	}
	if len(args) > 0 {
		if s := studyNamed(args[0]); s != nil {
			return runStudy(ctx, s, args[1:], stdout, stderr)
		}
	}
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		return exitUsage
	}
	if o.list {
		list(stdout, o.workloads)
		return exitOK
	}
	rep, err := makeReport(ctx, o, stderr)
	if err == nil {
		err = write(rep, o, stdout, stderr)
	}
	if err != nil {
		fmt.Fprintf(stderr, "bench: %v\n", err)
		return exitFailed
	}
	if o.from == "" && rep.Failed() {
		return exitFailed
	}
	return exitOK
}

// makeReport measures, or reads what was measured before.
func makeReport(ctx context.Context, o options, stderr io.Writer) (*report.Report, error) {
	if o.from == "" {
		if forces := environ.Get().String(); forces != "" {
			fmt.Fprintf(stderr, "bench: the environment has %s, which the servers on quoit follow\n", forces)
		}
		return newBench(o, proc.MaxFiles(), newProgress(stderr)).run(ctx)
	}
	f, err := os.Open(o.from)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	rep, err := report.Read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.from, err)
	}
	if rep.Select(o.match.MatchString); len(rep.Cases) == 0 {
		return nil, fmt.Errorf("%s: no workload matches %q", o.from, o.match)
	}
	return rep, nil
}

func list(w io.Writer, workloads []workload.Workload) {
	for _, x := range workloads {
		fmt.Fprintf(w, "%-20s %s\n", x.Name(), x.About)
	}
}

func write(rep *report.Report, o options, stdout, stderr io.Writer) error {
	if err := rep.Table(stdout); err != nil {
		return err
	}
	for _, out := range []struct {
		path   string
		render func(io.Writer) error
	}{
		{o.json, rep.JSON}, {o.html, rep.HTML}, {o.chart, rep.Chart},
		{o.markdown, rep.Markdown}, {o.readme, rep.Readme},
	} {
		if out.path == "" {
			continue
		}
		f, err := os.Create(out.path)
		if err != nil {
			return err
		}
		err = out.render(f)
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return fmt.Errorf("%s: %w", out.path, err)
		}
		fmt.Fprintf(stderr, "written: %s\n", out.path)
	}
	return nil
}
