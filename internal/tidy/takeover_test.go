package tidy

import (
	"go/ast"
	"slices"
	"strings"
	"testing"
)

// ownNet are the functions of package quoit that listen or dial by package net:
// in a program that quoit build has made, package net would ask quoit about these
// sockets, too, unless internal/takeover has marked the context. A function that
// is new here has to use takeover.Context, or get its context from one that does.
var ownNet = []string{
	"dialer.go:DialContext", "dialer.go:MultipathTCP",
	"listen.go:Listen", "listenconfig.go:MultipathTCP",
	"steering_linux.go:openGroup", // gets ListenConfig.Listen's
}

// makers are what package net makes stream sockets with and takes no context:
// these go through internal/takeover.
var makers = []string{
	"Listen", "ListenTCP", "ListenUnix", "Dial", "DialTimeout", "DialTCP", "DialUnix", "FileConn", "FileListener",
}

func TestTidyTakeover(t *testing.T) {
	used := map[string]bool{}
	for _, f := range parseAll(t) {
		if f.isTest() || f.nested || f.dir != "." && f.dir != "internal/sock" && f.dir != "transparent" && !strings.HasPrefix(f.dir, "engine") {
			continue
		}
		for _, d := range f.ast.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			ast.Inspect(fn, func(n ast.Node) bool {
				sel, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				pkg, _ := sel.X.(*ast.Ident)
				switch {
				case pkg != nil && pkg.Name == "net" && slices.Contains(makers, sel.Sel.Name):
					t.Errorf("%s: net.%s has to go through internal/takeover", f.fset.Position(sel.Pos()), sel.Sel.Name)
				case sel.Sel.Name == "netConfig", sel.Sel.Name == "netDialer":
					key := f.path + ":" + fn.Name.Name
					used[key] = true
					if !slices.Contains(ownNet, key) {
						t.Errorf("%s: %s listens or dials: see ownNet", f.fset.Position(sel.Pos()), fn.Name.Name)
					}
				}
				return true
			})
		}
	}
	for _, key := range ownNet {
		if !used[key] {
			t.Errorf("ownNet: %s is gone", key)
		}
	}
}
