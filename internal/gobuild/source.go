package gobuild

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
)

// modulePath is quoit's.
const modulePath = "github.com/quoit-go/quoit"

// source is quoit's module: where its files are, and what its go.mod says.
type source struct {
	dir string
	mod *modFile
}

// modFile is part of what go mod edit -json prints.
type modFile struct {
	Module    struct{ Path string }
	Go        string
	Toolchain string
	GoDebug   []struct{ Key, Value string }
	Require   []moduleVersion
	Replace   []replacement
}

// moduleVersion names a module; Version may be "".
type moduleVersion struct{ Path, Version string }

// String is how go.work has it.
func (m moduleVersion) String() string {
	if m.Version == "" {
		return strconv.Quote(m.Path)
	}
	return strconv.Quote(m.Path) + " " + m.Version
}

type replacement struct{ Old, New moduleVersion }

func (g gocmd) modFile(dir string) (*modFile, error) {
	m := new(modFile)
	return m, g.json(m, "mod", "edit", "-json", filepath.Join(dir, "go.mod"))
}

// findSource returns the module in the directory that QUOIT_MODULE names, or else
// the one that this program was built from: a checkout, or the module cache.
func findSource(g gocmd) (*source, error) {
	if dir := os.Getenv("QUOIT_MODULE"); dir != "" {
		dir, err := filepath.Abs(dir)
		if err != nil {
			return nil, err
		}
		s, err := sourceAt(g, dir)
		if err != nil {
			return nil, fmt.Errorf("QUOIT_MODULE: %w", err)
		}
		return s, nil
	}
	_, file, _, _ := runtime.Caller(0)
	dir := filepath.Dir(filepath.Dir(filepath.Dir(file)))
	if filepath.IsAbs(dir) {
		if s, err := sourceAt(g, dir); err == nil {
			return s, nil
		}
	}
	cached, err := download(g)
	if err != nil {
		return nil, fmt.Errorf("the source of quoit is neither in %s, where this program was built from, nor in the module cache (%w): "+
			"set QUOIT_MODULE to a checkout of %s", dir, err, modulePath)
	}
	return sourceAt(g, cached)
}

// download returns the module cache's directory of the version that this program
// is.
func download(g gocmd) (string, error) {
	bi, ok := debug.ReadBuildInfo()
	if !ok {
		return "", fmt.Errorf("no build information")
	}
	m := &bi.Main
	for _, d := range bi.Deps {
		if d.Path == modulePath {
			m = d
		}
	}
	if m.Path != modulePath || m.Version == "" || m.Version == "(devel)" || strings.Contains(m.Version, "+dirty") {
		return "", fmt.Errorf("version %q", m.Version)
	}
	var out struct{ Dir, Error string }
	outside := gocmd{ctx: g.ctx, dir: os.TempDir(), env: append([]string{"GOWORK=off", "GOFLAGS=-mod=mod"}, g.env...)}
	err := outside.json(&out, "mod", "download", "-json", modulePath+"@"+m.Version)
	if err != nil {
		return "", err
	}
	return out.Dir, nil
}

func sourceAt(g gocmd, dir string) (*source, error) {
	m, err := g.modFile(dir)
	if err != nil {
		return nil, err
	}
	if m.Module.Path != modulePath {
		return nil, fmt.Errorf("%s has module %s, not %s", dir, m.Module.Path, modulePath)
	}
	return &source{dir, m}, nil
}
