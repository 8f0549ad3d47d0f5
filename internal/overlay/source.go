package overlay

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// ShapeError reports that a declaration of package net is not what the overlay
// was written for.
type ShapeError struct {
	Go     string // the Go version, "go1.26.8"
	Name   string // the declaration, "(*TCPConn).ReadFrom"
	Reason string // what is different
}

func (e *ShapeError) Error() string {
	return fmt.Sprintf("package net of %s: %s %s; quoit does not know how to build with that version of Go", e.Go, e.Name, e.Reason)
}

// netPackage is package net's syntax, and what is to be inserted.
type netPackage struct {
	version string
	fset    *token.FileSet
	sources map[string][]byte
	funcs   map[string][]*ast.FuncDecl // by "(*TCPConn).ReadFrom"
	structs map[string][]*ast.StructType
	edits   map[string][]edit // by file
}

// An edit inserts text at an offset.
type edit struct {
	offset int
	text   string
}

func newNetPackage(version string) *netPackage {
	return &netPackage{
		version: version,
		fset:    token.NewFileSet(),
		sources: map[string][]byte{},
		funcs:   map[string][]*ast.FuncDecl{},
		structs: map[string][]*ast.StructType{},
		edits:   map[string][]edit{},
	}
}

func (p *netPackage) wrong(name, format string, args ...any) error {
	return &ShapeError{p.version, name, fmt.Sprintf(format, args...)}
}

func (p *netPackage) parse(name string, text []byte) error {
	f, err := parser.ParseFile(p.fset, name, text, parser.SkipObjectResolution)
	if err != nil {
		return p.wrong(name, "cannot be parsed: %v", err)
	}
	p.sources[name] = text
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			key := d.Name.Name
			if d.Recv != nil && len(d.Recv.List) == 1 {
				key = funcName(typeString(d.Recv.List[0].Type), key)
			}
			p.funcs[key] = append(p.funcs[key], d)
		case *ast.GenDecl:
			for _, s := range d.Specs {
				if ts, ok := s.(*ast.TypeSpec); ok {
					if st, ok := ts.Type.(*ast.StructType); ok {
						p.structs[ts.Name.Name] = append(p.structs[ts.Name.Name], st)
					}
				}
			}
		}
	}
	return nil
}

// funcName is how a function is called in errors.
func funcName(recv, name string) string {
	if recv == "" {
		return name
	}
	return "(" + recv + ")." + name
}

// insert has text inserted at pos.
func (p *netPackage) insert(pos token.Pos, text string) {
	at := p.fset.PositionFor(pos, false)
	p.edits[at.Filename] = append(p.edits[at.Filename], edit{at.Offset, text})
}

// apply returns the files that have edits, after these.
func (p *netPackage) apply() (map[string][]byte, error) {
	out := map[string][]byte{}
	for name, edits := range p.edits {
		slices.SortStableFunc(edits, func(a, b edit) int { return a.offset - b.offset })
		var b []byte
		last, source := 0, p.sources[name]
		for _, e := range edits {
			b = append(append(b, source[last:e.offset]...), e.text...)
			last = e.offset
		}
		b = append(b, source[last:]...)
		if _, err := parser.ParseFile(token.NewFileSet(), name, b, parser.SkipObjectResolution); err != nil {
			return nil, p.wrong(name, "has another syntax: %v", err)
		}
		out[name] = b
	}
	return out, nil
}

// function returns the one function of that name, if it has that signature.
func (p *netPackage) function(recv, name, signature string) (*ast.FuncDecl, error) {
	full := funcName(recv, name)
	found := p.funcs[full]
	if len(found) != 1 {
		return nil, p.wrong(full, "is declared %d times, not once", len(found))
	}
	fn := found[0]
	if got := signatureOf(fn.Type); got != signature {
		return nil, p.wrong(full, "is %s, not %s", got, signature)
	}
	if fn.Body == nil {
		return nil, p.wrong(full, "has no body")
	}
	return fn, nil
}

// signatureOf is t without the names of parameters.
func signatureOf(t *ast.FuncType) string {
	s := "func(" + strings.Join(fieldTypes(t.Params), ", ") + ")"
	results := fieldTypes(t.Results)
	switch len(results) {
	case 0:
		return s
	case 1:
		return s + " " + results[0]
	}
	return s + " (" + strings.Join(results, ", ") + ")"
}

func fieldTypes(l *ast.FieldList) []string {
	if l == nil {
		return nil
	}
	var out []string
	for _, f := range l.List {
		for range max(len(f.Names), 1) {
			out = append(out, typeString(f.Type))
		}
	}
	return out
}

// typeString is e as Go writes it.
func typeString(e ast.Expr) string { return types.ExprString(e) }
