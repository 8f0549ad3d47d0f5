//go:build linux

package ring

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// opKernels reads the first kernel of each operation from its comment.
func opKernels(t *testing.T) map[Op]string {
	t.Helper()
	src, err := os.ReadFile("op.go")
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]string{}
	for _, m := range regexp.MustCompile(`// IORING_OP_(\w+), Linux (\d+\.\d+)`).FindAllStringSubmatch(string(src), -1) {
		byName[m[1]] = m[2]
	}
	kernels := map[Op]string{}
	for op, name := range opNames {
		if byName[name] == "" {
			t.Fatalf("%s has no first kernel", name)
		}
		kernels[Op(op)] = byName[name]
	}
	return kernels
}

// readmeTable reads the rows of the README's table with this first heading.
func readmeTable(t *testing.T, heading string) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(text), "| "+heading+" |")
	if !found {
		t.Fatalf("README.md has no table of %s", heading)
	}
	table, _, _ = strings.Cut(table, "\n\n")
	rows := map[string][]string{}
	for _, line := range strings.Split(table, "\n")[2:] {
		cells := strings.Split(strings.Trim(line, "| "), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows[cells[0]] = cells[1:]
	}
	return rows
}

// documented maps kernel names to what the comments say of their first kernel.
func documented(t *testing.T, file, prefix string) map[string]string {
	t.Helper()
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]string{}
	for _, f := range regexp.MustCompile(`// `+prefix+`(\w+)(?:[^,\n]*, Linux (\d+\.\d+))?`).FindAllStringSubmatch(string(src), -1) {
		if m[f[1]] = f[2]; f[2] == "" {
			m[f[1]] = "5.1"
		}
	}
	return m
}

// The README lists everything, with the first kernel that the comments have,
// and tests and methods that exist.
func TestReadmeTables(t *testing.T) {
	exists := regexp.MustCompile(`(?m)^func (?:\([^)]*\) )?(\w+)`)
	funcs := map[string]bool{}
	files, _ := filepath.Glob("*.go")
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range exists.FindAllStringSubmatch(string(src), -1) {
			funcs[m[1]] = true
		}
	}
	word := regexp.MustCompile(`\b(?:Test|Prep|Register|Unregister)[A-Z]\w*`)
	check := func(heading string, names []string, kernels map[string]string) {
		rows := readmeTable(t, heading)
		for _, name := range names {
			row := rows[name]
			if row == nil {
				t.Errorf("%s%s is not in the README", heading, name)
				continue
			}
			if kernels != nil && row[0] != kernels[name] {
				t.Errorf("%s%s: Linux %s in the README, %s in the comment", heading, name, row[0], kernels[name])
			}
			tests := 0
			for _, w := range word.FindAllString(strings.Join(row, " "), -1) {
				if !funcs[w] {
					t.Errorf("%s%s: there is no %s", heading, name, w)
				}
				if strings.HasPrefix(w, "Test") {
					tests++
				}
			}
			if tests == 0 && !strings.Contains(row[1], "none yet") {
				t.Errorf("%s%s has no test", heading, name)
			}
		}
		if len(rows) != len(names) {
			t.Errorf("%s: %d rows, want %d", heading, len(rows), len(names))
		}
	}
	check("IORING_OP_", opNames[:], documented(t, "op.go", "IORING_OP_"))
	check("IORING_SETUP_", setupNames[:], documented(t, "flags.go", "IORING_SETUP_"))
	check("IORING_FEAT_", featureNames[:], documented(t, "flags.go", "IORING_FEAT_"))
	check("IOSQE_", sqeNames[:], nil)
	check("IORING_", registerNames[:], nil)
}

// eachMethod calls f for the methods in files whose names match glob that header, a
// pattern of the line that begins them with their name in a group, finds. There are
// at least so many.
func eachMethod(t *testing.T, glob, header string, least int, f func(file, doc, name string)) {
	t.Helper()
	files, _ := filepath.Glob(glob)
	method := regexp.MustCompile(`(?m)((?:^//.*\n)+)` + header)
	n := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range method.FindAllStringSubmatch(string(src), -1) {
			n++
			f(file, m[1], m[2])
		}
	}
	if n < least {
		t.Errorf("only %d methods found", n)
	}
}

// Each exported method says from which kernel on it works, or what it is like.
func TestCommentsNameKernels(t *testing.T) {
	eachMethod(t, "prep*.go", `^func \(s \*SQE\) (Prep\w+)`, 80, func(file, doc, name string) {
		if !strings.Contains(doc, "Linux") && !strings.Contains(doc, "as Prep") && !strings.Contains(doc, "is Prep") {
			t.Errorf("%s: %s names no kernel", file, name)
		}
	})
}

// Each exported method of a Ring says who may call it.
func TestCommentsNameOwner(t *testing.T) {
	owner := regexp.MustCompile(`[Oo]nly\s+(the ring's\s+owner|one goroutine)|Safe\s+for\s+concurrent`)
	eachMethod(t, "*.go", `^func \(\w+ \*Ring\) ([A-Z]\w+)`, 60, func(file, doc, name string) {
		if text := strings.ReplaceAll(doc, "\n// ", " "); !owner.MatchString(text) {
			t.Errorf("%s: %s does not say who may call it", file, name)
		}
	})
}
