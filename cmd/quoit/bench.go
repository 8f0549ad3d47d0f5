package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
)

const modulePath = "github.com/quoit-go/quoit"

// bench runs the program of the module bench/: the one that lies beside this one,
// as make dist puts it, or what it builds of the checkout that dir is in. It
// is a module of its own, so that its dependencies are not everybody's.
func bench(dir string, args []string, stdout, stderr io.Writer) int {
	if runtime.GOOS != "linux" {
		fmt.Fprintf(stderr, "quoit: bench compares io_uring with epoll and runs on Linux only, not on %s\n", runtime.GOOS)
		return exitUnusable
	}
	ctx, stop := signal.NotifyContext(context.Background(), ends()...)
	defer stop()
	binary, remove, err := benchBinary(ctx, dir, stderr)
	if err != nil {
		fmt.Fprintf(stderr, "quoit: %v\n", err)
		return exitUnusable
	}
	defer remove() // also when a signal comes
	cmd := exec.Command(binary, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, stdout, stderr
	err = runToEnd(cmd)
	if ee, ok := errors.AsType[*exec.ExitError](err); ok {
		return max(ee.ExitCode(), exitUnusable) // -1: by a signal
	}
	if err != nil {
		fmt.Fprintf(stderr, "quoit: %v\n", err)
		return exitUnusable
	}
	return exitOK
}

// benchBinary finds the program, or builds it until remove is called. The end of ctx
// ends the build.
func benchBinary(ctx context.Context, dir string, stderr io.Writer) (binary string, remove func(), err error) {
	if self, err := os.Executable(); err == nil {
		binary = filepath.Join(filepath.Dir(self), "quoit-bench")
		if st, err := os.Stat(binary); err == nil && st.Mode().IsRegular() {
			return binary, func() {}, nil
		}
	}
	src, err := findBench(dir)
	if err != nil {
		return "", nil, fmt.Errorf("%w\nbench runs in a clone of the repository:\n\n"+
			"  git clone https://%s && cd quoit && go run ./cmd/quoit bench -quick", err, modulePath)
	}
	tmp, err := os.MkdirTemp("", "quoit-bench-*")
	if err != nil {
		return "", nil, err
	}
	remove = func() { os.RemoveAll(tmp) }
	binary = filepath.Join(tmp, "bench")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, ".")
	build.Dir, build.Stdout, build.Stderr = src, stderr, stderr
	build.Cancel = func() error { return build.Process.Signal(os.Interrupt) } // it removes its own files
	if err := build.Run(); err != nil {
		remove()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return "", nil, fmt.Errorf("building %s: %w", src, err)
	}
	return binary, remove, nil
}

// runToEnd outlives an interrupt, for the child's report of what it has.
func runToEnd(cmd *exec.Cmd) error {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, ends()...)
	defer close(signals)
	defer signal.Stop(signals)
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		for s := range signals {
			if s != os.Interrupt { // which the terminal has sent to both
				cmd.Process.Signal(s)
			}
		}
	}()
	return cmd.Wait()
}

// findBench returns the bench directory of the checkout around dir.
func findBench(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		b, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(b), "module "+modulePath+"\n") {
			src := filepath.Join(dir, "bench")
			if _, err := os.Stat(filepath.Join(src, "go.mod")); err != nil {
				return "", err
			}
			return src, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("this directory is not in a checkout of " + modulePath)
		}
	}
}
