package overlay

import (
	"errors"
	"go/ast"
	"os"
	"strconv"
)

// insertHook has h's code inserted.
func (p *netPackage) insertHook(h hook) error {
	fn, err := p.function(h.recv, h.name, h.signature)
	if err != nil {
		return err
	}
	full, body := funcName(h.recv, h.name), fn.Body.List
	code, err := expand(h.code, fn)
	if err != nil {
		return p.wrong(full, "%v", err)
	}
	if len(body) == 0 {
		return p.wrong(full, "has an empty body")
	}
	last, _ := body[len(body)-1].(*ast.ReturnStmt)
	switch h.place {
	case atStart:
		p.insert(fn.Body.Lbrace+1, " "+code+" ")
	case afterGuard:
		guard, ok := body[0].(*ast.IfStmt)
		if !ok || !isGuard(guard, receiver(fn)) {
			return p.wrong(full, "does not begin with if !%s.ok() { return ... }", receiver(fn))
		}
		p.insert(guard.End(), "; "+code)
	case aroundResult:
		if last == nil || len(last.Results) != 2 {
			return p.wrong(full, "does not end with a return of two results")
		}
		p.insert(last.Results[0].Pos(), code)
		p.insert(last.Results[1].End(), ")")
	case atEnd:
		if last == nil || len(last.Results) != 0 {
			return p.wrong(full, "does not end with a return without results")
		}
		p.insert(last.Pos(), code+" ")
	}
	return nil
}

// isGuard reports whether s is if !recv.ok() { return ... }.
func isGuard(s *ast.IfStmt, recv string) bool {
	if s.Init != nil || s.Else != nil || len(s.Body.List) != 1 {
		return false
	}
	if _, ok := s.Body.List[0].(*ast.ReturnStmt); !ok {
		return false
	}
	return typeString(s.Cond) == "!"+recv+".ok()"
}

// insertField has a field appended to a struct.
func (p *netPackage) insertField(f field) error {
	found := p.structs[f.structName]
	if len(found) != 1 {
		return p.wrong(f.structName, "is declared %d times as a struct, not once", len(found))
	}
	list := found[0].Fields.List
	if len(list) == 0 {
		return p.wrong(f.structName, "has no fields")
	}
	has := map[string]bool{}
	for _, l := range list {
		for _, n := range l.Names {
			has[n.Name+" "+typeString(l.Type)] = true
		}
	}
	for _, b := range f.beside {
		if !has[b] {
			return p.wrong(f.structName, "has no field %s", b)
		}
	}
	p.insert(list[len(list)-1].End(), "; "+f.code)
	return nil
}

// receiver is the name of fn's receiver, or "".
func receiver(fn *ast.FuncDecl) string {
	if fn.Recv == nil || len(fn.Recv.List[0].Names) != 1 {
		return ""
	}
	return fn.Recv.List[0].Names[0].Name
}

// expand puts fn's names into code. It fails with the mark that fn has no name
// for.
func expand(code string, fn *ast.FuncDecl) (string, error) {
	names := map[string]string{"0": receiver(fn)}
	add := func(list *ast.FieldList, prefix string, next int) {
		if list == nil {
			return
		}
		for _, f := range list.List {
			for _, n := range f.Names {
				names[prefix+strconv.Itoa(next)] = n.Name
				next++
			}
			next += max(1-len(f.Names), 0)
		}
	}
	add(fn.Type.Params, "", 1)
	add(fn.Type.Results, "r", 0)
	var err error
	code = os.Expand(code, func(mark string) string {
		if names[mark] == "" || names[mark] == "_" {
			err = errors.New("has no name for $" + mark)
		}
		return names[mark]
	})
	return code, err
}
