// Package overlay makes, from the sources of package net in a GOROOT, those of
// a package net whose stream sockets another package can take over while they
// keep their types. The go command builds with them by its flag -overlay.
//
// A socket that was taken over is a netFD, or a listener, with a field that says
// by what; each method that reaches the socket asks for it first, and the netFD
// has no descriptor, so that a method that does not ask fails. The table hooks has
// a line for each function that is changed. What is inserted stays on the line
// where it is inserted, and stack traces keep their line numbers. A function that
// is not as the table has it is a [*ShapeError].
package overlay

import (
	_ "embed"
	"go/build"
	"os"
	"path/filepath"
	"strings"
)

//go:embed added/net.txt
var added []byte

// addedName is the name that the added file has in package net.
const addedName = "quoit_takeover.go"

// Net returns the files that differ from goroot's in package net, by their
// names there, for Linux on goarch. version is that of goroot, for errors, which
// are *ShapeError but where files cannot be read.
func Net(goroot, version, goarch string) (map[string][]byte, error) {
	dir := filepath.Join(goroot, "src", "net")
	sources, err := read(dir, goarch)
	if err != nil {
		return nil, err
	}
	changed, err := rewrite(version, sources)
	if err != nil {
		return nil, err
	}
	out := map[string][]byte{}
	for name, text := range changed {
		out[filepath.Join(dir, name)] = text
	}
	return out, nil
}

// read returns the files in dir that are built for Linux on goarch, by their names.
func read(dir, goarch string) (map[string][]byte, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	ctxt := build.Default
	ctxt.GOOS, ctxt.GOARCH = "linux", goarch
	sources := map[string][]byte{}
	for _, e := range entries {
		name := e.Name()
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		if ok, err := ctxt.MatchFile(dir, name); err != nil {
			return nil, err
		} else if !ok {
			continue
		}
		if sources[name], err = os.ReadFile(filepath.Join(dir, name)); err != nil {
			return nil, err
		}
	}
	return sources, nil
}

// rewrite returns the files that change, and the one that is added.
func rewrite(version string, sources map[string][]byte) (map[string][]byte, error) {
	if sources[addedName] != nil {
		return nil, &ShapeError{version, addedName, "is there already"}
	}
	p := newNetPackage(version)
	for name, text := range sources {
		if err := p.parse(name, text); err != nil {
			return nil, err
		}
	}
	for _, h := range hooks {
		if err := p.insertHook(h); err != nil {
			return nil, err
		}
	}
	for _, f := range fields {
		if err := p.insertField(f); err != nil {
			return nil, err
		}
	}
	for _, u := range uses {
		if _, err := p.function(u.recv, u.name, u.signature); err != nil {
			return nil, err
		}
	}
	out, err := p.apply()
	if err != nil {
		return nil, err
	}
	out[addedName] = added
	return out, nil
}
