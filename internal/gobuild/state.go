package gobuild

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// build is one run of the go command.
type build struct {
	*command
	gocmd
	tmp string

	env         *goEnv // of the toolchain that builds
	src         *source
	targets     []target
	replace     map[string]string // the overlay
	overlayFile string
}

// added are the flags that replace those of the command line.
func (b *build) added() []string {
	out := []string{"-overlay=" + b.overlayFile}
	if mod := b.flags["mod"]; mod != "" {
		out = append(out, "-mod="+mod)
	}
	return out
}

// flagValue is that of the command line, or of GOFLAGS.
func (b *build) flagValue(name string) string {
	if v, ok := b.flags[name]; ok {
		return v
	}
	return b.env.flag(name)
}

// overlayText has the file called name, which need not be there, read as text.
func (b *build) overlayText(name, text string) error {
	if _, ok := b.replace[name]; ok {
		return fmt.Errorf("-overlay=%s replaces %s, which quoit replaces, too", b.overlay, name)
	}
	file := filepath.Join(b.tmp, fmt.Sprintf("%d_%s", len(b.replace), filepath.Base(name)))
	b.replace[name] = file
	return os.WriteFile(file, []byte(text), 0o666)
}

// writeOverlay writes what -overlay is given.
func (b *build) writeOverlay() error {
	text, err := json.Marshal(map[string]any{"Replace": b.replace})
	if err != nil {
		return err
	}
	return os.WriteFile(b.overlayFile, text, 0o666)
}

// pkg is part of what go list -json prints.
type pkg struct {
	ImportPath, Name, Dir     string
	Standard                  bool
	Module                    *module
	GoFiles, CgoFiles         []string
	TestGoFiles, XTestGoFiles []string
}

// module is part of what go list says of a package's.
type module struct {
	Path, Version, Dir, GoVersion string
	Replace                       *moduleVersion
}

// A target is a package that gets a file.
type target struct {
	pkg
	file string // its name
	text string
}

// path is the name that t's file seems to have.
func (t *target) path() string { return filepath.Join(t.Dir, t.file) }
