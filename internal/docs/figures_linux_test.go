//go:build linux

package docs

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const reliability = "docs/reliability.md"

// writeFigures runs a script that writes a part of the page, in a tree of its own
// whose page is the one given, and returns what becomes of that.
func writeFigures(t *testing.T, script, page, input string, args ...string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{script: read(t, script), reliability: page} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(filepath.Join(dir, script), args...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Logf("%s", out)
	}
	return read(t, filepath.Join(dir, reliability)), err
}

// between returns the lines of a table's body.
func between(page, begin, end string) []string {
	_, page, _ = strings.Cut(page, begin)
	page, _, _ = strings.Cut(page, end)
	_, rows, _ := strings.Cut(page, "---|\n")
	return strings.Split(strings.TrimSpace(rows), "\n")
}

func sameRows(t *testing.T, got []string, want ...string) {
	t.Helper()
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("got\n%s\nwant\n%s", g, w)
	}
}

const goTest = `=== RUN   TestSoak
=== RUN   TestSoak/ring
    soak_test.go:12: a peer's 5 MB
        went on
=== RUN   TestSoak/poll
    soak_test.go:12: 6 MB
--- PASS: TestSoak (1.50s)
    --- PASS: TestSoak/ring (0.75s)
PASS
ok  	github.com/quoit-go/quoit/internal/pitfalls	1.6s
`

const goFuzz = `== FuzzParse, ./internal/environ, 5s
fuzz: elapsed: 0s, gathering baseline coverage: 0/168 completed
fuzz: elapsed: 3s, execs: 16418 (5472/sec), new interesting: 1 (total: 169)
fuzz: elapsed: 6s, execs: 23309 (2824/sec), new interesting: 1 (total: 169)
PASS
ok  	github.com/quoit-go/quoit/internal/environ	5.523s
`

func TestFigures(t *testing.T) {
	const script = "internal/pitfalls/figures.sh"
	page := read(t, reliability)
	part := func(page, name string) []string {
		return between(page, "<!-- figures of "+name+":", "<!-- end of "+name+" -->")
	}
	got, err := writeFigures(t, script, page, goTest, "soaking")
	if err != nil {
		t.Fatal(err)
	}
	sameRows(t, part(got, "soaking"), "| TestSoak/ring | a peer's 5 MB; went on |", "| TestSoak/poll | 6 MB |", "| TestSoak | passed in 1.50s |")
	sameRows(t, part(got, "schedules"), part(page, "schedules")...)

	if got, err = writeFigures(t, script, page, goFuzz, "fuzzing"); err != nil {
		t.Fatal(err)
	}
	sameRows(t, part(got, "fuzzing"), "| FuzzParse | 23309 executions in 6s |")

	for name, input := range map[string]string{
		"nothing ran": "",
		"a failure":   strings.Replace(goTest, "--- PASS: TestSoak ", "--- FAIL: TestSoak ", 1),
		"no build":    goFuzz + "FAIL\tgithub.com/quoit-go/quoit [build failed]\n",
	} {
		if got, err := writeFigures(t, script, page, input, "soaking"); err == nil || got != page {
			t.Errorf("%s: %v; the page is changed: %v", name, err, got != page)
		}
	}
	if got, err := writeFigures(t, script, page, goTest, "nothing"); err == nil || got != page {
		t.Errorf("a part that is not there: %v; the page is changed: %v", err, got != page)
	}
}

func TestFiguresOfKernels(t *testing.T) {
	const begin = "<!-- figures of kernels: UPDATE=1 make test-kernels writes these -->"
	const end = "<!-- end of kernels -->"
	const root = "| 6.12.9 | amd64 | root | ring | 1 | 0 | 2 | 3 | 2026-11-30, TCG |"
	update := func(page, rows string) (string, error) {
		return writeFigures(t, "internal/kernels/figures.sh", page, rows)
	}
	page, err := update("above\n"+begin+"\n\n"+end+"\nbelow\n", root+"\n")
	if err != nil {
		t.Fatal(err)
	}
	sameRows(t, between(page, begin, end), root)
	if !strings.HasPrefix(page, "above\n") || !strings.HasSuffix(page, "\nbelow\n") {
		t.Errorf("what stands around it: %q", page)
	}
	// A newer release of a series takes the row; another gear, CPU or series has its own.
	rows := []string{
		"| 6.1.2 | amd64 | root | ring | 8 | 0 | 0 | 1 | 2026-12-01, KVM |",
		"| 6.12.10 | amd64 | root | poll | 4 | 1: TestSoak | 2 | 9 | 2026-12-01, TCG |",
		"| 6.12.10 | amd64 | root | ring | 5 | 0 | 2 | 9 | 2026-12-01, TCG |",
		"| 6.12.10 | arm64 | root | ring | 6 | 0 | 2 | 9 | 2026-12-01, TCG |",
	}
	if page, err = update(page, rows[3]+"\n"+rows[2]+"\n"+rows[0]+"\n"+rows[1]+"\n"); err != nil {
		t.Fatal(err)
	}
	sameRows(t, between(page, begin, end), rows...)
	if got, err := update("no table\n", root+"\n"); err == nil || got != "no table\n" {
		t.Errorf("no table: %v, %q", err, got)
	}
}
