// Command quoit builds programs with their sockets on quoit, says whether io_uring is
// usable here, shows what a running engine does, and compares quoit with package net.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/quoit-go/quoit/cmd/quoit/internal/doctor"
	"github.com/quoit-go/quoit/cmd/quoit/internal/top"
	"github.com/quoit-go/quoit/internal/gobuild"
)

const usage = `usage: quoit COMMAND

  build, run, test, install [go's flags] [packages]
            do what the go command does, with the program's stream sockets on
            quoit; it needs no change, and package net's types stay
  doctor    say whether io_uring is usable here, and if not, why and what to do;
            doctor -json for programs
  bench     compare with package net, in a clone or with the program quoit-bench
            beside this one; bench -quick takes 3 minutes, bench -help lists the
            flags
  top       show what the engine of a running program does: top HOST:PORT,
            top -help lists the flags
  version   print the version

Exit status of doctor: 0 io_uring serves, 1 package net serves, 2 neither: a
self-test or a trial failed.
`

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return exitUsage
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		fmt.Fprint(stdout, usage)
		return exitOK
	case "bench":
		return bench(".", args[1:], stdout, stderr)
	case "build", "run", "test", "install":
		ctx, stop := signal.NotifyContext(context.Background(), ends()...)
		defer stop()
		return gobuild.Run(ctx, args[0], args[1:], func(cmd *exec.Cmd) error {
			cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, stdout, stderr
			return runToEnd(cmd)
		}, stderr)
	case "doctor":
		return doctor.Run(args[1:], version(), stdout, stderr)
	case doctor.TrialCommand:
		return doctor.Trial(strings.Join(args[1:], " "), stdout)
	case "top":
		return top.Run(args[1:], stdout, stderr)
	case "version":
	default:
		fmt.Fprintf(stderr, "quoit: unknown command %q\n%s", args[0], usage)
		return exitUsage
	}
	if len(args) > 1 {
		fmt.Fprintf(stderr, "quoit: %s takes no arguments, got %q\n%s", args[0], args[1:], usage)
		return exitUsage
	}
	fmt.Fprintln(stdout, version())
	return exitOK
}

// version says what this program was built from, as far as the build knows.
func version() string {
	v := "(unknown)"
	bi, ok := debug.ReadBuildInfo()
	if ok && bi.Main.Version != "" {
		v = bi.Main.Version
	}
	if ok {
		v += revision(bi.Settings)
	}
	return fmt.Sprintf("quoit %s %s %s/%s", v, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// revision is the commit that a checkout was at, with what came on top, or "".
func revision(settings []debug.BuildSetting) string {
	var commit, changed string
	for _, s := range settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = ", changed"
		}
	}
	if commit == "" {
		return ""
	}
	return fmt.Sprintf(" (commit %.12s%s)", commit, changed)
}
