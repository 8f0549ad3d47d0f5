// Package docs tests what the pages say: that their commands run, their Go code
// compiles, their links lead somewhere, and that lists in two places agree.
package docs

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/quoit-go/quoit/internal/testenv/enginetest"
)

// TestMain runs the tests in the root of the repository.
func TestMain(m *testing.M) {
	if err := os.Chdir(filepath.Join("..", "..")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(enginetest.Main(m))
}

// pages returns the repository's Markdown, by path.
func pages(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := fs.WalkDir(os.DirFS("."), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && (d.Name() == ".git" || d.Name() == "testdata") {
			return fs.SkipDir
		}
		if path.Ext(p) == ".md" {
			out[p] = read(t, p)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 15 {
		t.Fatalf("only %d pages found", len(out))
	}
	return out
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.FromSlash(name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var fence = regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```$")

// blocks returns the code of a page in a language.
func blocks(page, lang string) (out []string) {
	for _, m := range fence.FindAllStringSubmatch(page, -1) {
		if m[1] == lang {
			out = append(out, m[2])
		}
	}
	return out
}

// The README is short, and leads to the pages that are asked for first.
func TestReadme(t *testing.T) {
	readme := read(t, "README.md")
	if n := strings.Count(readme, "\n"); n >= 120 {
		t.Errorf("README.md has %d lines, not less than 120", n)
	}
	for _, link := range []string{
		"docs/differences.md", "docs/containers.md", "docs/operations.md", "docs/troubleshooting.md",
		"docs/README.md", "docs/debug-page.png", "docs/top.svg", "bench/ratios.svg",
	} {
		if !strings.Contains(readme, "]("+link+")") {
			t.Errorf("README.md has no link to %s", link)
		}
	}
	index := read(t, "docs/README.md")
	for name := range pages(t) {
		if dir, base := path.Split(name); dir == "docs/" && base != "README.md" && !strings.Contains(index, "]("+base) {
			t.Errorf("docs/README.md has no link to %s", base)
		}
	}
}

// The package's documentation and the page have the same differences, in the same order.
func TestDifferences(t *testing.T) {
	_, list, ok := strings.Cut(read(t, "doc.go"), "\n// # Differences from package net\n")
	if !ok {
		t.Fatal("doc.go has no list of differences")
	}
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^//   - (.*)$`).FindAllStringSubmatch(list, -1) {
		name, _, ok := strings.Cut(m[1], ": ")
		if !ok {
			t.Errorf("doc.go: a difference without a name: %s", m[1])
		}
		names = append(names, name)
	}
	page := read(t, "docs/differences.md")
	sections := strings.Split(page, "\n### ")[1:]
	for i, s := range sections {
		name, text, _ := strings.Cut(s, "\n")
		if i >= len(names) || names[i] != name {
			t.Errorf("docs/differences.md has %q where doc.go has %q", name, names[min(i, len(names)-1)])
		}
		for _, want := range []string{"\n- **Cost:** ", "\n- **What to do:** "} {
			if strings.Count(text, want) != 1 {
				t.Errorf("docs/differences.md: %s has no, or more than one, %q", name, strings.TrimSpace(want))
			}
		}
	}
	if len(sections) != len(names) {
		t.Errorf("%d differences in docs/differences.md, %d in doc.go", len(sections), len(names))
	}
}
