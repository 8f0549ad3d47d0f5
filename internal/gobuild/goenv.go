package gobuild

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// gocmd runs the go command in a directory, with an environment.
type gocmd struct {
	ctx context.Context // ends what is run for its output
	dir string
	env []string // added to the process's
	bin string   // the go command; "": what PATH has
}

// A toolError is what the go command said when it failed.
type toolError struct {
	args   []string
	output string
	err    error
}

func (e *toolError) Error() string {
	out := strings.TrimSpace(e.output)
	if out == "" {
		out = e.err.Error()
	}
	return fmt.Sprintf("go %s: %s", e.args[0], out)
}

func (e *toolError) Unwrap() error { return e.err }

func (g gocmd) command(ctx context.Context, args ...string) *exec.Cmd {
	bin := g.bin
	if bin == "" {
		bin = "go"
	}
	cmd := exec.CommandContext(ctx, bin, args...)
	cmd.Dir = g.dir
	cmd.Env = append(os.Environ(), g.env...)
	if g.dir != "" {
		cmd.Env = append(cmd.Env, "PWD="+g.dir)
	}
	return cmd
}

// originals are variables that say what those of g.env were, for the program that the
// go command runs: package net, as the overlay has it, gives them back.
func (g gocmd) originals() []string {
	var out []string
	for _, v := range g.env {
		name, _, _ := strings.Cut(v, "=")
		out = append(out, "QUOIT_WAS_"+name+"="+os.Getenv(name))
	}
	return out
}

func (g gocmd) output(args ...string) ([]byte, error) {
	cmd := g.command(g.ctx, args...)
	cmd.WaitDelay = time.Second // for what the go command has started
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, &toolError{args, stderr.String(), err}
	}
	return stdout.Bytes(), nil
}

// json decodes what a go command prints.
func (g gocmd) json(v any, args ...string) error {
	out, err := g.output(args...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(out, v); err != nil {
		return fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

// goEnv is part of go env.
type goEnv struct {
	GOROOT, GOVERSION, GOOS, GOARCH string
	GOMOD, GOWORK, GOMODCACHE       string
	GOFLAGS, GO111MODULE            string
}

func (g gocmd) goEnv() (*goEnv, error) {
	e := new(goEnv)
	if err := g.json(e, "env", "-json", "GOROOT", "GOVERSION", "GOOS", "GOARCH",
		"GOMOD", "GOWORK", "GOMODCACHE", "GOFLAGS", "GO111MODULE"); err != nil {
		return nil, err
	}
	if e.GOMOD == os.DevNull {
		e.GOMOD = ""
	}
	if e.GOWORK == "off" {
		e.GOWORK = ""
	}
	return e, nil
}

// flag returns the value that GOFLAGS gives a flag.
func (e *goEnv) flag(name string) string {
	value := ""
	for _, f := range splitFlags(e.GOFLAGS) {
		f = strings.TrimPrefix(f, "-")
		if n, v, _ := strings.Cut(strings.TrimPrefix(f, "-"), "="); n == name {
			value = v
		}
	}
	return value
}

// splitFlags splits GOFLAGS as the go command does: quotes around a whole entry
// keep its spaces, and others are part of it. An entry whose quote does not end is
// dropped, as the go command refuses to run with it.
func splitFlags(s string) []string {
	const spaces = " \t\r\n"
	var out []string
	for {
		s = strings.TrimLeft(s, spaces)
		if s == "" {
			return out
		}
		end := spaces
		if s[0] == '"' || s[0] == '\'' {
			s, end = s[1:], s[:1]
		}
		i := strings.IndexAny(s, end)
		switch {
		case i >= 0:
			out, s = append(out, s[:i]), s[i+1:]
		case end == spaces:
			out, s = append(out, s), ""
		default:
			return out
		}
	}
}
