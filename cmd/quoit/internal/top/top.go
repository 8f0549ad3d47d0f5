// Package top is quoit top: the counters of another process, as they change.
package top

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// Exit codes.
const (
	exitOK       = 0
	exitUnusable = 1
	exitUsage    = 2
)

const usage = `usage: quoit top [-n COUNT] [-every TIME] ADDRESS

Shows what the engine of a running program does. ADDRESS is HOST:PORT, of a
program that has debug.Handler at /debug/quoit or quoit's numbers at /debug/vars,
or a URL. In a terminal the numbers change until q or ^C.

`

// Run shows the numbers of another process: on the whole terminal, or a few times
// line by line. It returns the exit code.
func Run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("top", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprint(stderr, usage); flags.PrintDefaults() }
	n := flags.Int("n", 0, "print `COUNT` times and end; the default where there is no terminal is 1")
	every := flags.Duration("every", time.Second, "`TIME` between two looks, 100ms to 1h")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		return exitUsage
	case flags.NArg() != 1 || *n < 0 || *every < 100*time.Millisecond || *every > time.Hour:
		flags.Usage()
		return exitUsage
	}
	src, err := newSource(flags.Arg(0))
	if err != nil {
		fmt.Fprintf(stderr, "quoit: top: %v\n", err)
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if term := openTerminal(stdout); term != nil && *n == 0 {
		err = watch(ctx, src, *every, term)
	} else {
		err = printed(ctx, src, *every, max(*n, 1), stdout)
	}
	if err != nil {
		fmt.Fprintf(stderr, "quoit: top: %s\n", plain(err.Error())) // it may quote the other process
		return exitUnusable
	}
	return exitOK
}

// printed prints the numbers n times.
func printed(ctx context.Context, src *source, every time.Duration, n int, w io.Writer) error {
	var v view
	for i := 0; i <= n; i++ {
		if i > 0 {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(every):
			}
		}
		p, err := src.next(ctx)
		if err != nil {
			return err
		}
		v.add(p)
		if i == 0 {
			continue // rates lie between two samples
		}
		if i > 1 {
			fmt.Fprintln(w)
		}
		if _, err := fmt.Fprintln(w, strings.Join(v.lines(math.MaxInt32, math.MaxInt32), "\n")); err != nil {
			return err
		}
	}
	return nil
}

// watch draws until ctx ends, or q or ^C is pressed. Once there have been numbers,
// it waits for a process that does not answer.
func watch(ctx context.Context, src *source, every time.Duration, term *terminal) error {
	var v view
	p, err := src.next(ctx)
	if err != nil {
		return err
	}
	v.add(p)
	if err := term.begin(); err != nil {
		return err
	}
	defer term.end()
	type look struct {
		p   *sample
		err error
	}
	looks := make(chan look, 1)
	tick := time.NewTimer(every)
	defer tick.Stop()
	for {
		term.draw(v.lines)
		select {
		case <-ctx.Done():
			return nil
		case key := <-term.keys:
			if key == 'q' || key == 'Q' || key == 3 { // ^C
				return nil
			}
		case <-term.changes:
		case <-tick.C:
			go func() { // the keys are heard meanwhile
				p, err := src.next(ctx)
				looks <- look{p, err}
			}()
		case l := <-looks:
			if v.trouble = l.err; l.err == nil {
				v.add(l.p)
			}
			tick.Reset(every)
		}
	}
}
