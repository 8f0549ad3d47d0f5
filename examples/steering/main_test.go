package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
)

// bound is for what should take moments, on a busy machine.
const bound = 2 * time.Minute

// childEnv holds the arguments of a child that is the program.
const childEnv = "STEERING_TEST_CHILD"

func TestMain(m *testing.M) {
	if args, ok := os.LookupEnv(childEnv); ok {
		os.Args = append(os.Args[:1], strings.Fields(args)...)
		main()
	}
	os.Exit(testenv.Main(m.Run))
}

// needProgram skips a test for which the eBPF program has to be loaded.
func needProgram(t *testing.T) {
	t.Helper()
	enginetest.NeedRing(t)
	if !mayLoad(t) {
		t.Skip("no CAP_BPF")
	}
}

// mayLoad reports whether we have CAP_BPF or CAP_SYS_ADMIN.
func mayLoad(t *testing.T) bool {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`CapEff:\s*([0-9a-f]+)`).FindSubmatch(status)
	if m == nil {
		t.Fatalf("no CapEff in\n%s", status)
	}
	caps, err := strconv.ParseUint(string(m[1]), 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	return caps&(1<<39|1<<21) != 0
}

// A program runs beside the test.
type program struct {
	t     *testing.T
	keys  *io.PipeWriter
	lines *bufio.Scanner
	code  chan int
}

// launch runs it until the test ends.
func launch(t *testing.T, args ...string) *program {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	stdin, keys := io.Pipe()
	stdout, out := io.Pipe()
	p := &program{t, keys, bufio.NewScanner(stdout), make(chan int, 1)}
	go func() {
		code := run(ctx, append(args, "-for", bound.String()), stdin, out, t.Output())
		out.Close()
		p.code <- code
		close(p.code)
	}()
	t.Cleanup(func() {
		cancel()
		keys.Close()
		go io.Copy(io.Discard, stdout)
		<-p.code
	})
	return p
}

// block returns the next table that ok accepts.
func (p *program) block(what string, ok func(b block) bool) block {
	p.t.Helper()
	var text strings.Builder
	for p.lines.Scan() {
		if line := p.lines.Text(); line != "" {
			text.WriteString(line + "\n")
			continue
		}
		b := block{text.String()}
		if ok(b) {
			return b
		}
		text.Reset()
	}
	p.t.Fatalf("no table shows %s", what)
	return block{}
}

func (p *program) press(key string) {
	p.t.Helper()
	if _, err := fmt.Fprintln(p.keys, key); err != nil {
		p.t.Fatal(err)
	}
}

// wait reads to the end and returns the exit code.
func (p *program) wait() (rest string, code int) {
	var b strings.Builder
	for p.lines.Scan() {
		b.WriteString(p.lines.Text() + "\n")
	}
	return b.String(), <-p.code
}

// block is one table.
type block struct{ text string }

func (b block) has(s string) bool { return strings.Contains(b.text, s) }

var rowPattern = regexp.MustCompile(`(?m)^ *(\d+) +(\w+) (poll|ring) (open|held|drained) +(\d+) +\d+% [#.]+ +(\d+) +\d+% [#.]+ +(\d+|-)$`)

type row struct {
	state      string
	conns      int
	rate, sent int
}

func (b block) rows(t *testing.T) (rows []row) {
	t.Helper()
	for i, m := range rowPattern.FindAllStringSubmatch(b.text, -1) {
		if m[1] != strconv.Itoa(i) {
			t.Fatalf("ring %s in place %d:\n%s", m[1], i, b.text)
		}
		r := row{state: m[4]}
		r.conns, _ = strconv.Atoi(m[5])
		r.rate, _ = strconv.Atoi(m[6])
		r.sent, _ = strconv.Atoi(m[7]) // 0 for -
		rows = append(rows, r)
	}
	return rows
}
