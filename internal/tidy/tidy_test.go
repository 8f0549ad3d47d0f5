// Package tidy checks how the repository is laid out and written.
package tidy

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/build"
	"go/build/constraint"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module = "github.com/quoit-go/quoit"
	ebpf   = "github.com/cilium/ebpf"
)

// importRules says what a package may import besides the standard library.
// A package that is not listed here may not exist: decide its place first.
var importRules = map[string][]string{
	".":                     {module + "/engine", module + "/internal/sock", module + "/internal/forced", module + "/internal/environ", module + "/internal/takeover"}, // engine in Linux-only files
	"engine":                {module + "/engine/internal/clock", module + "/engine/internal/gear", module + "/engine/internal/lent", module + "/engine/ring", module + "/internal/sock", module + "/internal/forced", module + "/internal/takeover", "golang.org/x/sys"},
	"engine/internal/clock": {"golang.org/x/sys"},
	"engine/internal/lent":  {},
	"engine/internal/gear":  {module + "/engine/internal/clock", "golang.org/x/sys"},
	"engine/ring":           {"golang.org/x/sys"},
	"engine/pbuf":           {module + "/engine/internal/lent", module + "/engine/ring", "golang.org/x/sys"},
	"engine/steering":       {module + "/internal/sock", ebpf, "golang.org/x/sys"},
	"debug":                 {module},
	"debug/vars":            {module},
	"cmd/quoit":             {module + "/cmd/quoit/internal/doctor", module + "/cmd/quoit/internal/top", module + "/internal/gobuild"},
	"examples/httpclient":   {module},
	"examples/httpserver":   {module, module + "/debug"},
	"examples/reverseproxy": {module},
	"examples/plainhttp":    {},
	"examples/steering":     {module, module + "/engine/steering"},
	"examples/systemd":      {module},
	"examples/tcpproxy":     {module},
	"examples/tls":          {module},
	"examples/unixsocket":   {module},

	"cmd/quoit/internal/top":      {"golang.org/x/sys"},
	"cmd/quoit/internal/doctor":   {module, module + "/internal/environ", "golang.org/x/sys"},
	"internal/tidy":               {},
	"internal/sock":               {"golang.org/x/sys"},
	"internal/behaviour":          {},
	"internal/docs":               {},
	"internal/environ":            {},
	"internal/forced":             {},
	"internal/nethttp":            {},
	"internal/gotests":            {module + "/internal/gobuild", module + "/internal/overlay"},
	"internal/overlay":            {},
	"internal/takeover":           {},
	"internal/gobuild":            {module + "/internal/overlay"},
	"transparent":                 {module, module + "/internal/environ", module + "/internal/takeover"},
	"internal/pitfalls":           {},
	"internal/testenv":            {"golang.org/x/sys"}, // what engine's tests can import, too
	"internal/testenv/enginetest": {module, module + "/internal/forced", module + "/internal/testenv"},
	"internal/testenv/webtest":    {module + "/internal/testenv"},
}

// testImports may be imported by every test of the module in addition.
var testImports = []string{module, "golang.org/x/sys"}

var unsafePackages = []string{"engine/ring", "engine/pbuf", "internal/sock"}

const (
	maxFileLines = 600
	maxFuncLines = 70
)

// sizeExceptions holds "file.go" or "file.go:Func" and the reason why it is
// larger than the limits.
var sizeExceptions = map[string]string{}

// TestMain runs the tests in the root of the repository, where go.mod is.
func TestMain(m *testing.M) {
	for {
		if _, err := os.Stat("go.mod"); err == nil {
			break
		}
		if wd, err := os.Getwd(); err != nil || wd == filepath.Dir(wd) {
			fmt.Fprintln(os.Stderr, "no go.mod in any directory above", wd, err)
			os.Exit(1)
		}
		if err := os.Chdir(".."); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

type goFile struct {
	path, dir string // slash-separated, relative to the root
	nested    bool   // belongs to a nested module
	fset      *token.FileSet
	ast       *ast.File
}

func (f goFile) isTest() bool { return strings.HasSuffix(f.path, "_test.go") }

// walk calls fn for each file of the repository.
func walk(t *testing.T, fn func(path string)) {
	t.Helper()
	err := fs.WalkDir(os.DirFS("."), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "testdata") {
			return fs.SkipDir
		}
		if d.Type().IsRegular() {
			fn(p)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func parseAll(t *testing.T) []goFile {
	t.Helper()
	var files []goFile
	var nested []string
	fset := token.NewFileSet()
	walk(t, func(p string) {
		if path.Base(p) == "go.mod" && p != "go.mod" {
			nested = append(nested, path.Dir(p)+"/")
		}
		if path.Ext(p) != ".go" {
			return
		}
		f, err := parser.ParseFile(fset, p, nil, parser.ParseComments)
		if err != nil {
			t.Error(err)
			return
		}
		files = append(files, goFile{path: p, dir: path.Dir(p), fset: fset, ast: f})
	})
	for i := range files {
		files[i].nested = slices.ContainsFunc(nested, func(dir string) bool {
			return strings.HasPrefix(files[i].path, dir)
		})
	}
	return files
}

func (f goFile) imports() []string {
	var out []string
	for _, spec := range f.ast.Imports {
		p, _ := strconv.Unquote(spec.Path.Value) // the parser has checked it
		out = append(out, p)
	}
	return out
}

// within reports whether pkg is one of roots or below one.
func within(pkg string, roots []string) bool {
	return slices.ContainsFunc(roots, func(r string) bool {
		return pkg == r || strings.HasPrefix(pkg, r+"/")
	})
}

func isStd(pkg string) bool {
	first, _, _ := strings.Cut(pkg, "/")
	return !strings.Contains(first, ".")
}

func TestTidyImports(t *testing.T) {
	for _, f := range parseAll(t) {
		for _, imp := range f.imports() {
			if imp == "unsafe" && !slices.Contains(unsafePackages, f.dir) {
				t.Errorf("%s: unsafe is for %v only", f.path, unsafePackages)
			}
		}
		if f.nested {
			continue
		}
		rule, ok := importRules[f.dir]
		if !ok {
			t.Errorf("%s: package %s has no entry in importRules", f.path, f.dir)
			continue
		}
		for _, imp := range f.imports() {
			switch {
			case isStd(imp), slices.Contains(rule, imp):
			case within(imp, rule) && !strings.HasPrefix(imp, module): // x/sys/unix, ebpf/asm
			case f.isTest() && within(imp, testImports):
			default:
				t.Errorf("%s: must not import %s", f.path, imp)
			}
		}
	}
}

// The root builds on every system, engine does not.
func TestTidyEngineOnLinuxOnly(t *testing.T) {
	for _, f := range parseAll(t) {
		usesEngine := slices.ContainsFunc(f.imports(), func(p string) bool {
			return within(p, []string{module + "/engine", module + "/internal/sock", "golang.org/x/sys/unix"})
		})
		if f.dir != "." || !usesEngine {
			continue
		}
		for _, goos := range []string{"darwin", "windows"} {
			ctx := build.Default
			ctx.GOOS = goos
			if match, err := ctx.MatchFile(f.dir, f.path); err != nil {
				t.Error(err)
			} else if match {
				t.Errorf("%s: imports engine and is built for %s", f.path, goos)
			}
		}
	}
}

// A file that is not for every system says so in its first lines, whether or
// not its name does.
func TestTidyBuildLines(t *testing.T) {
	isBuildLine := func(group *ast.CommentGroup) bool {
		return slices.ContainsFunc(group.List, func(c *ast.Comment) bool { return constraint.IsGoBuild(c.Text) })
	}
	for _, f := range parseAll(t) {
		if slices.ContainsFunc(f.ast.Comments, isBuildLine) {
			continue
		}
		for _, platform := range []string{"linux/amd64", "darwin/arm64", "windows/386"} {
			ctx := build.Default
			ctx.GOOS, ctx.GOARCH, _ = strings.Cut(platform, "/")
			if match, err := ctx.MatchFile(f.dir, path.Base(f.path)); err != nil {
				t.Error(err)
			} else if !match {
				t.Errorf("%s: is not built for %s and has no //go:build line", f.path, platform)
			}
		}
	}
}

// What applications link stays small, by whatever way: no net/http, and no
// cilium/ebpf unless they import the package for it.
func TestTidyDependencies(t *testing.T) {
	steering := module + "/engine/steering"
	for _, tt := range []struct {
		goos, pkg string
		want      string
		without   []string
	}{
		{"linux", ".", module, []string{"net/http", ebpf, steering, "golang.org/x/sys/cpu"}}, // see gear.Pad
		{"linux", "./cmd/...", module, []string{ebpf, steering}},
		{"linux", "./engine/...", ebpf, []string{"net/http"}},
		{"linux", "./debug", module, []string{"expvar", ebpf, steering}}, // which registers a handler
		{"darwin", ".", module, []string{"net/http", ebpf, steering}},
		{"darwin", "./engine/steering", steering, []string{"net/http", ebpf}},
		{"windows", ".", module, []string{"net/http", ebpf, steering}},
		{"windows", "./engine/steering", steering, []string{"net/http", ebpf}},
	} {
		cmd := exec.Command("go", "list", "-deps", tt.pkg)
		cmd.Env = append(os.Environ(), "GOOS="+tt.goos, "CGO_ENABLED=0")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("GOOS=%s go list: %v\n%s", tt.goos, err, &stderr)
			continue
		}
		deps := strings.Fields(string(out))
		if !slices.Contains(deps, tt.want) {
			t.Errorf("GOOS=%s: the dependencies of %s lack %s", tt.goos, tt.pkg, tt.want)
		}
		for _, dep := range deps {
			if within(dep, tt.without) {
				t.Errorf("GOOS=%s: %s depends on %s", tt.goos, tt.pkg, dep)
			}
		}
	}
}

// Programs of other modules use the package, too, not what is under it.
func TestTidyOneImporterOfEBPF(t *testing.T) {
	for _, f := range parseAll(t) {
		for _, imp := range f.imports() {
			if within(imp, []string{ebpf}) && f.dir != "engine/steering" {
				t.Errorf("%s: %s is for engine/steering only", f.path, imp)
			}
		}
	}
}

func TestTidySizes(t *testing.T) {
	used := map[string]bool{}
	check := func(key string, lines, limit int) {
		if lines <= limit {
			return
		}
		used[key] = true
		if sizeExceptions[key] == "" {
			t.Errorf("%s: %d lines, over %d: split it, or give the reason in sizeExceptions", key, lines, limit)
		}
	}
	for _, f := range parseAll(t) {
		if ast.IsGenerated(f.ast) {
			continue
		}
		check(f.path, f.fset.File(f.ast.FileStart).LineCount(), maxFileLines)
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok {
				lines := f.fset.Position(fn.End()).Line - f.fset.Position(fn.Pos()).Line + 1
				check(f.path+":"+fn.Name.Name, lines, maxFuncLines)
			}
		}
	}
	for key := range sizeExceptions {
		if !used[key] {
			t.Errorf("sizeExceptions: %s is within the limits, or gone", key)
		}
	}
}

func TestTidyTrailingSpace(t *testing.T) {
	hasTrailing := func(s string) bool { return s != strings.TrimRight(s, " \t\r") }
	for _, f := range parseAll(t) {
		for _, group := range f.ast.Comments {
			for _, c := range group.List {
				for line := range strings.SplitSeq(c.Text, "\n") {
					if hasTrailing(line) {
						t.Errorf("%s: trailing space in a comment", f.fset.Position(c.Pos()))
						break
					}
				}
			}
		}
	}
	walk(t, func(p string) {
		switch base := path.Base(p); {
		case path.Ext(p) == ".md", path.Ext(p) == ".yml", path.Ext(p) == ".sh":
		case base == "Makefile", base == ".gitignore", p == ".ci/run":
		default:
			return
		}
		b, err := os.ReadFile(filepath.FromSlash(p))
		if err != nil {
			t.Error(err)
			return
		}
		n := 0
		for line := range strings.SplitSeq(string(b), "\n") {
			if n++; hasTrailing(line) {
				t.Errorf("%s:%d: trailing space", p, n)
			}
		}
		if len(b) == 0 || b[len(b)-1] != '\n' {
			t.Errorf("%s: does not end in a newline", p)
		}
	})
}

func TestTidyChangelog(t *testing.T) {
	b, err := os.ReadFile("CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	entry := regexp.MustCompile(`^- (New API|Bug fix|Improvement): \S`)
	n := 0
	for line := range strings.SplitSeq(string(b), "\n") {
		if strings.HasPrefix(line, "- ") {
			if n++; !entry.MatchString(line) {
				t.Errorf("CHANGELOG.md: %q starts with none of New API, Bug fix, Improvement", line)
			}
		}
	}
	if n == 0 {
		t.Error("CHANGELOG.md has no entries")
	}
}
