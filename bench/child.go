package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/quoit-go/quoit/bench/internal/load"
	"github.com/quoit-go/quoit/bench/internal/proc"
	"github.com/quoit-go/quoit/bench/internal/serve"
)

const (
	startLimit = 20 * time.Second // for a server to listen
	stopLimit  = 5 * time.Second  // for a server to end by itself
	loadGrace  = 60 * time.Second // for a generator, beyond what it measures
)

// tail keeps the last bytes that a child wrote to its standard error.
type tail struct{ b []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	t.b = t.b[max(0, len(t.b)-2000):]
	return len(p), nil
}

func (t *tail) wrap(what string, err error) error {
	if s := string(bytes.TrimSpace(t.b)); s != "" {
		return fmt.Errorf("%s: %w: %s", what, err, s)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// command prepares a child, which dies with ctx. Without a binary it is this one.
func command(ctx context.Context, procs int, binary string, args ...string) (*exec.Cmd, *tail, error) {
	if binary == "" {
		var err error
		if binary, err = os.Executable(); err != nil {
			return nil, nil, err
		}
	}
	stderr := &tail{}
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Stderr = stderr
	cmd.WaitDelay = time.Second
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "GOMAXPROCS=") {
			cmd.Env = append(cmd.Env, e)
		}
	}
	if procs > 0 {
		cmd.Env = append(cmd.Env, "GOMAXPROCS="+strconv.Itoa(procs))
	}
	return cmd, stderr, nil
}

// serverProcess is a running server.
type serverProcess struct {
	serve.Ready
	fresh  bool // there was no load yet
	pid    int
	quit   func() error // asks it to end
	wait   func() error // for its end; nil before it has started
	stderr *tail
	cancel context.CancelFunc
}

func startServer(ctx context.Context, s side, spec serve.Spec, procs int, cpus []int) (*serverProcess, error) {
	ctx, cancel := context.WithCancel(ctx)
	p := &serverProcess{cancel: cancel, fresh: true}
	spec.Transport, spec.Variant = s.transport, s.variant
	start := p.start
	if s.command != "" {
		start = p.startForeign
	}
	if err := start(ctx, s, spec, procs, cpus); err != nil {
		cancel()
		if p.wait != nil {
			p.wait() // it was killed; err says why
		}
		return nil, p.stderr.wrap("server "+s.String(), err)
	}
	return p, nil
}

func (p *serverProcess) start(ctx context.Context, s side, spec serve.Spec, procs int, cpus []int) error {
	p.stderr = &tail{}
	cmd, stderr, err := command(ctx, procs, s.binary, childServe)
	if err != nil {
		return err
	}
	p.stderr = stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := proc.WithCPUs(cpus, cmd.Start); err != nil {
		return err
	}
	p.pid, p.quit, p.wait = cmd.Process.Pid, stdin.Close, cmd.Wait
	if err := json.NewEncoder(stdin).Encode(spec); err != nil {
		return err
	}
	timer := time.AfterFunc(startLimit, p.cancel) // ends the Decode below
	defer timer.Stop()
	if err := json.NewDecoder(stdout).Decode(&p.Ready); err != nil {
		return err
	}
	if p.Variant != spec.Variant { // another build, from before there were any
		return fmt.Errorf("this build knows nothing of variants, such as %q", spec.Variant)
	}
	return nil
}

// stop asks the server to end, and if that does not help kills it.
func (p *serverProcess) stop() error {
	defer p.cancel()
	timer := time.AfterFunc(stopLimit, p.cancel)
	defer timer.Stop()
	if err := errors.Join(p.quit(), p.wait()); err != nil {
		return p.stderr.wrap("server", err)
	}
	return nil
}

// runLoad runs a generator to its end.
func runLoad(ctx context.Context, spec load.Spec, cpus []int) (*load.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, spec.Warmup+spec.Length+loadGrace)
	defer cancel()
	cmd, stderr, err := command(ctx, 0, "", childLoad)
	if err != nil {
		return nil, err
	}
	in, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	cmd.Stdin, cmd.Stdout = bytes.NewReader(in), &out
	if err := proc.WithCPUs(cpus, cmd.Start); err != nil {
		return nil, stderr.wrap("generator", err)
	}
	if err := cmd.Wait(); err != nil {
		return nil, stderr.wrap("generator", err)
	}
	r := new(load.Result)
	if err := json.Unmarshal(out.Bytes(), r); err != nil {
		return nil, fmt.Errorf("generator: %w", err)
	}
	if r.Err != "" {
		return nil, fmt.Errorf("%s", r.Err)
	}
	return r, nil
}
