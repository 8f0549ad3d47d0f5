package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Each study prints its table, with a figure of every server.
func TestStudies(t *testing.T) {
	tests := map[string]struct {
		args []string
		want []string
	}{
		"fairness": {[]string{"-conns", "3", "-length", "1100ms"}, []string{"| echo-64B/3 | net | ", "| echo-64B/3 | quoit | ", " ms"}},
		"delay":    {[]string{"-run", "flush-compute", "-conns", "2", "-length", "300ms"}, []string{"| flush-compute/2 | net | ", "| flush-compute/2 | quoit | "}},
		"cost":     {[]string{"-run", "echo", "-conns", "3", "-length", "300ms"}, []string{"| echo-64B/3, GOMAXPROCS 1 | net | quoit |", "| requests/s | ", "| Reads that had not | - | "}},
	}
	for _, s := range studies {
		t.Run(s.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "t.md")
			args := append([]string{s.name, "-versus", "net,quoit", "-procs", "1", "-rounds", "1", "-warmup", "20ms", "-settle", "0", "-markdown", file}, tests[s.name].args...)
			var stdout, stderr bytes.Buffer
			if code := run(t.Context(), args, nil, &stdout, &stderr); code != exitOK {
				if strings.Contains(stdout.String(), "package net serves") {
					t.Skip(&stdout)
				}
				t.Fatalf("exit code %d\n%s%s", code, &stdout, &stderr)
			}
			written, err := os.ReadFile(file)
			if err != nil || !bytes.Equal(written, stdout.Bytes()) {
				t.Errorf("%v, the file has %q", err, written)
			}
			for _, want := range tests[s.name].want {
				if !strings.Contains(stdout.String(), want) {
					t.Errorf("the table lacks %q:\n%s", want, &stdout)
				}
			}
		})
	}
}

// The last run is one, too, for an interrupt.
func TestStudyInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var stdout bytes.Buffer
	args := []string{"fairness", "-conns", "3", "-versus", "net", "-procs", "1", "-rounds", "1"}
	if code := run(ctx, args, nil, &stdout, writerFunc(cancel)); code != exitFailed || !strings.Contains(stdout.String(), "Stopped in round 1 of 1.") {
		t.Errorf("exit code %d\n%s", code, &stdout)
	}
}

func TestStudiesRefuse(t *testing.T) {
	for _, args := range [][]string{
		{"fairness", "-run", "^skew/"}, {"delay", "-run", "^http/"}, {"cost", "-versus", "cmd:x {addr}"},
		{"cost", "-procs", "x"}, {"cost", "extra"}, {"delay", "-rounds", "-1"},
	} {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), args, nil, &stdout, &stderr); code != exitUsage || stderr.Len() == 0 {
			t.Errorf("%v: exit code %d, %s", args, code, &stderr)
		}
	}
}
