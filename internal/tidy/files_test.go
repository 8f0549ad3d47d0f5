package tidy

import (
	"go/ast"
	"go/build"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// entangled is how much the files of a package use each other: cycle is the
// number of files in the largest cycle of uses, pairs how often two files use
// each other.
type entangled struct{ cycle, pairs int }

// entanglements is what each package has of that; a package without a line has
// none. The numbers go no way but down: a change that makes one smaller writes it
// here. The aim for a cycle is five files.
var entanglements = map[string]entangled{
	".":                    {cycle: 3, pairs: 1},
	"engine":               {cycle: 5, pairs: 3},
	"engine/internal/gear": {cycle: 2, pairs: 1},
	"engine/pbuf":          {cycle: 2, pairs: 1},
}

// maxPairs bounds them over all packages.
const maxPairs = 6

// maxConnFlags bounds the bool fields of engine.Conn, those of the structs that
// it embeds counted.
const maxConnFlags = 6

// checker type-checks the packages of this module for linux/amd64.
type checker struct {
	ctx  build.Context
	fset *token.FileSet
	imp  types.Importer
}

// newChecker has packages imported from what the go command's cache has compiled.
func newChecker(t *testing.T) checker {
	t.Helper()
	ctx := build.Default
	ctx.GOOS, ctx.GOARCH, ctx.CgoEnabled = "linux", "amd64", false
	list := exec.Command("go", "list", "-deps", "-export", "-f", "{{.ImportPath}} {{.Export}}", "./...")
	list.Env = append(os.Environ(), "GOOS="+ctx.GOOS, "GOARCH="+ctx.GOARCH, "CGO_ENABLED=0")
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		t.Fatalf("%v: %v", list, err)
	}
	exports := map[string]string{}
	for line := range strings.Lines(string(out)) {
		name, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		exports[name] = file
	}
	fset := token.NewFileSet()
	open := func(name string) (io.ReadCloser, error) { return os.Open(exports[name]) }
	return checker{ctx, fset, importer.ForCompiler(fset, "gc", open)}
}

// check returns what the non-test files of a directory define and use, or nil
// if there are none.
func (c checker) check(t *testing.T, dir string) (*types.Package, []*ast.File, *types.Info) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, name := range names {
		if (goFile{path: name}).isTest() {
			continue
		}
		if match, err := c.ctx.MatchFile(dir, filepath.Base(name)); err != nil {
			t.Fatal(err)
		} else if !match {
			continue
		}
		f, err := parser.ParseFile(c.fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	if len(files) == 0 {
		return nil, nil, nil
	}
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	conf := types.Config{Importer: c.imp, Sizes: types.SizesFor("gc", "amd64")}
	pkg, err := conf.Check(path.Join(module, dir), c.fset, files, info)
	if err != nil {
		t.Fatal(err)
	}
	return pkg, files, info
}

// uses says of each file which others of its package it uses.
type uses map[string]map[string]bool

func (c checker) uses(t *testing.T, dir string) uses {
	t.Helper()
	pkg, files, info := c.check(t, dir)
	u := uses{}
	for _, f := range files {
		u[c.fset.File(f.FileStart).Name()] = map[string]bool{}
	}
	for id, obj := range info.Uses {
		if obj.Pkg() != pkg {
			continue
		}
		from, to := c.fset.File(id.Pos()).Name(), c.fset.File(obj.Pos()).Name()
		if from != to {
			u[from][to] = true
		}
	}
	return u
}

func (u uses) edges() (n int) {
	for _, to := range u {
		n += len(to)
	}
	return n
}

func (u uses) pairs() (n int) {
	for from, all := range u {
		for to := range all {
			if from < to && u[to][from] {
				n++
			}
		}
	}
	return n
}

// cycle returns the files of the largest cycle.
func (u uses) cycle() []string {
	reached := map[string]map[string]bool{}
	for from := range u {
		seen := map[string]bool{}
		for todo := []string{from}; len(todo) > 0; {
			f := todo[len(todo)-1]
			todo = todo[:len(todo)-1]
			for to := range u[f] {
				if !seen[to] {
					seen[to] = true
					todo = append(todo, to)
				}
			}
		}
		reached[from] = seen
	}
	var largest []string
	for _, from := range slices.Sorted(maps.Keys(u)) {
		var in []string
		for to := range reached[from] {
			if reached[to][from] {
				in = append(in, to)
			}
		}
		if len(in) > len(largest) {
			largest = in
		}
	}
	slices.Sort(largest)
	return largest
}

func TestTidyTypes(t *testing.T) {
	c := newChecker(t)
	t.Run("cycles", func(t *testing.T) { fileCycles(t, c) })
	t.Run("flags", func(t *testing.T) { connFlags(t, c) })
}

// A newcomer has to hold a cycle of files in the head as a whole.
func fileCycles(t *testing.T, c checker) {
	t.Helper()
	var dirs []string
	for _, f := range parseAll(t) {
		if !f.nested && !f.isTest() && !slices.Contains(dirs, f.dir) {
			dirs = append(dirs, f.dir)
		}
	}
	slices.Sort(dirs)
	t.Logf("%-20s %5s %5s %5s %5s", "package", "files", "edges", "cycle", "pairs")
	total := 0
	for _, dir := range dirs {
		u := c.uses(t, dir)
		cycle := u.cycle()
		got, want := entangled{len(cycle), u.pairs()}, entanglements[dir]
		t.Logf("%-20s %5d %5d %5d %5d", dir, len(u), u.edges(), got.cycle, got.pairs)
		total += got.pairs
		switch {
		case got == want:
		case got.cycle > want.cycle || got.pairs > want.pairs:
			t.Errorf("%s: %d files in a cycle, %d mutual pairs; entanglements allows %+v\n%v", dir, got.cycle, got.pairs, want, cycle)
		default:
			t.Errorf("%s: better than its line: write %+v in entanglements", dir, got)
		}
	}
	t.Logf("mutual pairs in all: %d", total)
	if total > maxPairs {
		t.Errorf("%d mutual pairs in all, over %d", total, maxPairs)
	}
	for dir := range entanglements {
		if !slices.Contains(dirs, dir) {
			t.Errorf("entanglements: there is no package %s", dir)
		}
	}
}

// Each bool of a struct doubles the states that a reader has to think of.
func connFlags(t *testing.T, c checker) {
	t.Helper()
	pkg, _, _ := c.check(t, "engine")
	obj := pkg.Scope().Lookup("Conn")
	if obj == nil {
		t.Fatal("engine has no Conn")
	}
	flags := flagsOf(obj.Type())
	t.Logf("engine.Conn: %d flags: %v", len(flags), flags)
	if len(flags) > maxConnFlags {
		t.Errorf("engine.Conn has %d flags, over %d: %v", len(flags), maxConnFlags, flags)
	}
	if len(flags) == 0 {
		t.Error("engine.Conn has no flags: are its fields found?")
	}
}

// flagsOf lists the bool fields of a struct, and those of what it embeds.
func flagsOf(typ types.Type) (flags []string) {
	s, ok := typ.Underlying().(*types.Struct)
	if !ok {
		return nil
	}
	for f := range s.Fields() {
		switch {
		case f.Embedded():
			flags = append(flags, flagsOf(f.Type())...)
		case types.Identical(f.Type().Underlying(), types.Typ[types.Bool]), f.Type().String() == "sync/atomic.Bool":
			flags = append(flags, f.Name())
		}
	}
	return flags
}
