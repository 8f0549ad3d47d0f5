//go:build linux

package programs

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// Results are kept as JSON, where each program's are until a later run with -update
// replaces them, and shown as a page.
const (
	resultsFile = "testdata/results.json"
	pageFile    = "../docs/compatibility.md"
)

// result is what a suite or trial came to. Answers of a trial count as passed.
type result struct {
	Program     string
	Modules     []string
	What        string
	Plain       count
	Quoit       count
	Differences []string `json:",omitempty"`
	Go          string
	Kernel      string
}

// count counts tests, subtests too.
type count struct{ Passed, Failed, Skipped int }

func (c count) String() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", c.Passed, c.Failed, c.Skipped)
}

// cell is a count in the page's table.
func (c count) cell() string {
	if c.Failed+c.Skipped == 0 {
		return fmt.Sprint(c.Passed)
	}
	return c.String()
}

func (p *program) names() (out []string) {
	for _, m := range p.modules {
		out = append(out, m.String())
	}
	return out
}

var recorded struct {
	sync.Mutex
	results []*result
}

// record keeps r for writeResults. Where package net serves quoit's builds there is
// nothing to tell.
func record(t *testing.T, r *result) {
	t.Helper()
	if t.Failed() || !rings(t) {
		return
	}
	var u syscall.Utsname
	if err := syscall.Uname(&u); err != nil {
		t.Fatal(err)
	}
	var release strings.Builder
	for _, c := range u.Release {
		if c == 0 || c == '-' {
			break
		}
		release.WriteByte(byte(c))
	}
	r.Go, r.Kernel = runtime.Version(), release.String()
	recorded.Lock()
	defer recorded.Unlock()
	recorded.results = append(recorded.results, r)
}

// readResults returns the results of earlier runs.
func readResults() (out []*result, err error) {
	text, err := os.ReadFile(resultsFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return out, json.Unmarshal(text, &out)
}

// writeResults puts this run's results in the place of those that are of the same
// programs, and writes the page.
func writeResults() error {
	results, err := readResults()
	if err != nil {
		return err
	}
	for _, r := range recorded.results {
		results = slices.DeleteFunc(results, func(old *result) bool {
			return old.Program == r.Program && (old.What == r.What || !wanted(old))
		})
		results = append(results, r)
	}
	results = slices.DeleteFunc(results, func(old *result) bool { return !wanted(old) })
	order := map[string]int{}
	for i, p := range programs {
		order[p.name] = i
	}
	slices.SortStableFunc(results, func(a, b *result) int {
		return cmp.Or(cmp.Compare(order[a.Program], order[b.Program]), strings.Compare(a.What, b.What))
	})
	text, err := json.MarshalIndent(results, "", "\t")
	if err != nil {
		return err
	}
	if err := os.WriteFile(resultsFile, append(text, '\n'), 0o666); err != nil {
		return err
	}
	return os.WriteFile(pageFile, page(results), 0o666)
}

// wanted reports whether the table still has what r is about.
func wanted(r *result) bool {
	for _, p := range programs {
		if p.name != r.Program || !slices.Equal(p.names(), r.Modules) {
			continue
		}
		for _, s := range p.suites {
			if "go test "+s.name() == r.What {
				return true
			}
		}
		for _, tr := range p.trials {
			if tr.name == r.What {
				return true
			}
		}
	}
	return false
}

// page is docs/compatibility.md.
func page(results []*result) []byte {
	var b bytes.Buffer
	b.WriteString(pageHead)
	b.WriteString("| Program | Module | What was run | Plain | quoit | Go, Linux |\n|---|---|---|---|---|---|\n")
	for _, r := range results {
		what := strings.ReplaceAll(r.What, "|", `\|`)
		if strings.HasPrefix(what, "go test ") {
			what = "`" + what + "`"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s, %s |\n", r.Program, modules(r), what,
			r.Plain.cell(), r.Quoit.cell(), strings.TrimPrefix(r.Go, "go"), r.Kernel)
	}
	b.WriteString("\n## Differences\n\n")
	b.WriteString("Tests that failed in at least one run, or came out differently.\n\n")
	none := true
	for _, r := range results {
		for _, d := range r.Differences {
			fmt.Fprintf(&b, "- %s: %s\n", r.Program, d)
			none = false
		}
	}
	if none {
		b.WriteString("None.\n")
	}
	return b.Bytes()
}

const pageHead = `# Programs that quoit build was tried on

Written by "make test-transparent PROGRAMS=all TESTFLAGS=-update", not by hand. Each
program is the module proxy's, unmodified, built once by go and once by quoit build or
quoit test, with io_uring serving the second.

Where tests were run the numbers are of tests and subtests; one that does not pass is run
up to three times. Elsewhere a client asked a server, and the numbers are of its answers,
which were the same from the plain build, from quoit's, and from quoit's with QUOIT=off.

`

// modules is the page's cell for r's modules.
func modules(r *result) string {
	if more := len(r.Modules) - 1; more > 0 {
		return fmt.Sprintf("%s, and %d more of its repository", r.Modules[0], more)
	}
	return r.Modules[0]
}

// The page is what the results say, of the versions that the table has. It comes
// after TestPrograms.
func TestPage(t *testing.T) {
	if *update {
		if err := writeResults(); err != nil {
			t.Fatal(err)
		}
	}
	results, err := readResults()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(pageFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, page(results)) {
		t.Errorf("%s is not what %s says: run with -update", pageFile, resultsFile)
	}
	for _, r := range results {
		if !wanted(r) {
			t.Errorf("%s has %s of %v, which is not in the table: run with -update", resultsFile, r.What, r.Modules)
		}
	}
	for _, p := range programs {
		n := 0
		for _, r := range results {
			if r.Program == p.name {
				n++
			}
		}
		if n != len(p.suites)+len(p.trials) {
			t.Errorf("%s has %d results of %s, whose suites and trials are %d: run with -update", resultsFile, n, p.name, len(p.suites)+len(p.trials))
		}
	}
}
