package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

const modulePath = "github.com/quoit-go/quoit"

// bench builds the module bench/ of the checkout that dir is in, and runs it.
// It is a module of its own, so that its dependencies are not everybody's.
func bench(dir string, args []string, stdout, stderr io.Writer) int {
	if runtime.GOOS != "linux" {
		fmt.Fprintf(stderr, "quoit: bench compares io_uring with epoll and runs on Linux only, not on %s\n", runtime.GOOS)
		return exitUnusable
	}
	src, err := findBench(dir)
	if err != nil {
		fmt.Fprintf(stderr, "quoit: %v\nbench runs in a clone of the repository:\n\n"+
			"  git clone https://%s && cd quoit && go run ./cmd/quoit bench -quick\n", err, modulePath)
		return exitUnusable
	}
	tmp, err := os.MkdirTemp("", "quoit-bench-*")
	if err != nil {
		fmt.Fprintf(stderr, "quoit: %v\n", err)
		return exitUnusable
	}
	defer os.RemoveAll(tmp)
	binary := filepath.Join(tmp, "bench")
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Dir, build.Stdout, build.Stderr = src, stderr, stderr
	if err := build.Run(); err != nil {
		fmt.Fprintf(stderr, "quoit: building %s: %v\n", src, err)
		return exitUnusable
	}
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

// runToEnd outlives an interrupt, for the child's report of what it has.
func runToEnd(cmd *exec.Cmd) error {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
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
