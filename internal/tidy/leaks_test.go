package tidy

import (
	"go/ast"
	"maps"
	"slices"
	"testing"
)

// leaky are the packages whose tests may leave descriptors and goroutines behind.
var leaky = map[string]string{
	"cmd/quoit":        "its tests run programs, and the default engine is there until the end",
	"internal/gotests": "its tests run the go command alone",
	"internal/tidy":    "its tests read files",
}

// The tests of a package end with a look for what they left behind.
func TestTidyLeaks(t *testing.T) {
	looks := map[string]bool{} // by directory with tests
	for _, f := range parseAll(t) {
		if !f.isTest() || f.nested {
			continue
		}
		looks[f.dir] = looks[f.dir] || slices.ContainsFunc(f.ast.Decls, func(d ast.Decl) bool {
			fn, ok := d.(*ast.FuncDecl)
			return ok && fn.Name.Name == "TestMain" && callsMain(fn)
		})
	}
	for _, dir := range slices.Sorted(maps.Keys(looks)) {
		if looks[dir] == (leaky[dir] != "") {
			t.Errorf("%s: its TestMain calls testenv.Main or enginetest.Main: %v; leaky has: %q", dir, looks[dir], leaky[dir])
		}
	}
}

// callsMain reports whether fn calls a function Main of another package.
func callsMain(fn *ast.FuncDecl) (calls bool) {
	ast.Inspect(fn, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == "Main" {
			calls = true
		}
		return true
	})
	return calls
}
