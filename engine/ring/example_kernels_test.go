//go:build linux

package ring

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// exampleKernels has the first kernel that each example needs.
var exampleKernels = map[string]string{
	"Example_bundle":       "6.10",
	"Example_cat":          "5.1",
	"Example_copy":         "5.6",
	"Example_echo":         "6.1",
	"Example_epoll":        "5.2",
	"Example_futex":        "6.7",
	"Example_incremental":  "6.12",
	"Example_links":        "5.18", // until then a request whose file is missing ends with hard links, too
	"Example_msgRing":      "5.18",
	"Example_poll":         "5.18",
	"Example_registered":   "5.5",
	"Example_resize":       "6.13",
	"Example_restrictions": "5.18",
	"Example_sendZC":       "6.0",
	"Example_sqPoll":       "5.11",
	"Example_timeout":      "5.6",
	"Example_udp":          "6.0",
}

// skipExamples has the examples skipped that the kernel is too old for, or all of
// them where there is no io_uring, and says why: an example cannot.
func skipExamples() {
	flag.Parse()
	r, none := New(&Params{Entries: 1})
	if none == nil {
		r.Close()
	}
	var major, minor int
	if none == nil {
		major, minor, none = KernelVersion()
	}
	var names []string
	for name, kernel := range exampleKernels {
		why := "needs Linux " + kernel
		if none != nil {
			why = none.Error()
		} else if wantMajor, wantMinor, err := parseRelease(kernel); err != nil {
			panic(err)
		} else if major > wantMajor || major == wantMajor && minor >= wantMinor {
			continue
		}
		fmt.Fprintf(os.Stderr, "skipping %s: %s\n", name, why)
		names = append(names, name)
	}
	if len(names) == 0 {
		return
	}
	pattern := "^(" + strings.Join(names, "|") + ")$"
	if asked := flag.Lookup("test.skip").Value.String(); asked != "" {
		pattern = asked + "|" + pattern
	}
	if err := flag.Set("test.skip", pattern); err != nil {
		panic(err)
	}
}

// Every example has its kernel, and no other has.
func TestExampleKernels(t *testing.T) {
	files, _ := filepath.Glob("example*_test.go")
	found := map[string]bool{}
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^func (Example\w+)\(`).FindAllStringSubmatch(string(src), -1) {
			if found[m[1]] = true; exampleKernels[m[1]] == "" {
				t.Errorf("%s has no kernel", m[1])
			}
		}
	}
	if len(found) != len(exampleKernels) {
		t.Errorf("%d examples of %d", len(found), len(exampleKernels))
	}
}

// docs/ring.md has each example with its kernel, and the server as it is in
// Example_echo.
func TestRingPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/ring.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile("(?m)^\\| \\[`(Example\\w+)`\\]\\(\\.\\./engine/ring/(\\w+\\.go)\\) \\| .* \\| ([\\d.]+) \\|$").
		FindAllStringSubmatch(string(page), -1)
	if len(rows) != len(exampleKernels) {
		t.Errorf("%d examples of %d", len(rows), len(exampleKernels))
	}
	for _, row := range rows {
		if row[3] != exampleKernels[row[1]] {
			t.Errorf("%s: Linux %s on the page, %s in the test", row[1], row[3], exampleKernels[row[1]])
		}
		src, err := os.ReadFile(row[2])
		if err != nil || !strings.Contains(string(src), "func "+row[1]+"()") {
			t.Errorf("%s is not in %s: %v", row[1], row[2], err)
		}
	}
	echo, err := os.ReadFile("example_echo_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, code, found := strings.Cut(string(page), "```go\n")
	code, _, _ = strings.Cut(code, "```")
	if !found || !strings.Contains(string(echo), code) {
		t.Error("the server of the page is not Example_echo's")
	}
	public := regexp.MustCompile("`((?:Prep|Setup|Register|Wait|SQ|Submit|Sync|Send|Query|Clone|Resize|New)\\w+)\\b")
	for _, m := range public.FindAllStringSubmatch(string(page), -1) {
		if !inFiles(t, "*.go", `^(?:func (?:\(\w+ \*\w+\) )?|\t|type )`+m[1]+`\b`) {
			t.Errorf("the page names %s, which the package has not", m[1])
		}
	}
	for _, m := range regexp.MustCompile(`-bench '?([\w|]+)'? \./(engine/\w+)`).FindAllStringSubmatch(string(page), -1) {
		for name := range strings.SplitSeq(m[1], "|") {
			if !inFiles(t, filepath.Join("../..", m[2], "*_test.go"), `^func Benchmark`+name) {
				t.Errorf("%s has no Benchmark%s", m[2], name)
			}
		}
	}
}

// inFiles reports whether one of the files that match pattern has the text.
func inFiles(t *testing.T, pattern, text string) bool {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || files == nil {
		t.Fatal(pattern, err)
	}
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if regexp.MustCompile(`(?m)` + text).Match(src) {
			return true
		}
	}
	return false
}
