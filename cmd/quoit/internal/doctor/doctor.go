// Package doctor is the command quoit doctor: what a program that uses quoit
// gets on this machine, in this container, as this user, and why.
package doctor

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime"
	"syscall"

	"github.com/quoit-go/quoit/internal/environ"
)

const usage = `usage: quoit doctor [-json]

Says whether io_uring is usable here, and if not, why and what to do; moves
bytes through a listener in each gear. -json prints the same for programs: its
keys are in docs/troubleshooting.md.

Exit status: 0 io_uring serves, 1 package net serves, 2 neither, for a self-test or
a trial failed, or usage.
`

// Run is the command with its arguments. It returns the exit status, which does
// not depend on whether somebody reads the report.
func Run(args []string, version string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("doctor", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	asJSON := flags.Bool("json", false, "")
	err := flags.Parse(args)
	if err == nil && flags.NArg() > 0 {
		err = fmt.Errorf("doctor takes no arguments, got %q", flags.Args())
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		return exitRing
	case err != nil:
		fmt.Fprintf(stderr, "quoit: %v\n%s", err, usage)
		return exitUsage
	}
	outliveReader()
	r := Examine(version)
	if *asJSON {
		err = r.writeJSON(stdout)
	} else {
		err = r.writeText(stdout)
	}
	if err != nil && !errors.Is(err, syscall.EPIPE) {
		fmt.Fprintf(stderr, "quoit: the report is incomplete: %v\n", err)
	}
	return r.Status
}

// Examine makes the report. It takes a fraction of a second, and up to a minute
// where a filter lets io_uring hang.
func Examine(version string) *Report {
	r := &Report{
		Version: version, OS: runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.GOMAXPROCS(0),
		env: environ.Get(),
	}
	r.Forced = r.env.String()
	r.gather()
	r.tryAll(trial)
	r.conclude()
	return r
}

// conclude finds the causes, and what serves.
func (r *Report) conclude() {
	r.Status, r.Serves = exitUsage, ServesNothing
	r.Findings = r.diagnose()
	auto, plain := r.trip("auto"), r.trip("net")
	switch {
	case r.finding(selfTestFailed) != nil, r.finding(noTrial) != nil:
	case r.env.Off() && plain.ok():
		r.Status, r.Serves = exitNet, ServesNet
	case auto.ok() && auto.Transport == ServesRing:
		r.Status, r.Serves = exitRing, ServesRing
	case auto.ok():
		r.Status, r.Serves = exitNet, ServesNet
	}
}
