package tidy

import (
	"go/ast"
	"go/doc"
	"strings"
	"testing"
)

// examplePackages are those that programs import, but for engine/ring, whose
// examples are whole programs: a request alone shows nothing.
var examplePackages = []string{".", "debug", "debug/vars", "engine/pbuf", "engine/steering"}

// The documentation shows how each function is called, by an Example that the
// tests run.
func TestTidyExamples(t *testing.T) {
	all := parseAll(t)
	for _, dir := range examplePackages {
		var funcs []string
		var tests []*ast.File
		for _, f := range all {
			if f.dir != dir {
				continue
			}
			if f.isTest() {
				tests = append(tests, f.ast)
				continue
			}
			for _, d := range f.ast.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.IsExported() {
					funcs = append(funcs, fn.Name.Name)
				}
			}
		}
		examples := map[string]bool{}
		for _, e := range doc.Examples(tests...) {
			name, _, _ := strings.Cut(e.Name, "_")
			examples[name] = true
			if e.Output == "" && !e.EmptyOutput {
				t.Errorf("%s: Example%s has no Output, and is not run", dir, e.Name)
			}
		}
		if len(funcs) == 0 {
			t.Errorf("%s has no exported functions", dir)
		}
		for _, name := range funcs {
			if !examples[name] {
				t.Errorf("%s: %s has no Example", dir, name)
			}
		}
	}
}
