package gobuild

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// usesVendor reports whether the program is built from its vendor directory.
func (b *build) usesVendor(w *workspace) (bool, error) {
	mod := b.flagValue("mod")
	if v := b.flagValue("modfile"); v != "" {
		return false, fmt.Errorf("-modfile=%s: the go command does not combine that with the workspace that adds quoit; rename the file to go.mod", v)
	}
	switch mod {
	case "", "readonly", "vendor":
	default:
		return false, fmt.Errorf("-mod=%s: the go command does not combine that with the workspace that adds quoit; run go mod tidy first, and leave it out", mod)
	}
	if mod == "readonly" {
		return false, nil
	}
	root := ""
	switch {
	case b.env.GOWORK != "":
		root = filepath.Dir(b.env.GOWORK)
	case len(w.dirs) == 1:
		root = w.dirs[0]
	}
	_, err := os.Stat(filepath.Join(root, "vendor", "modules.txt"))
	switch {
	case root != "" && err == nil && b.env.GOWORK != "":
		return false, fmt.Errorf("%s has a vendor directory for a workspace, which quoit cannot be added to; build from the module cache with -mod=readonly", root)
	case root != "" && err == nil:
		return true, nil
	case mod == "vendor":
		return false, errors.New("-mod=vendor: there is no vendor/modules.txt")
	}
	return false, nil
}

// vendored is a module in vendor/modules.txt.
type vendored struct {
	moduleVersion
	language string // its go line's version, or ""
	packages bool   // there is a directory
}

// parseVendor reads modules.txt.
func parseVendor(text string) []vendored {
	var out []vendored
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		switch {
		case len(words) >= 3 && words[0] == "#" && words[2] != "=>":
			m := moduleVersion{words[1], words[2]}
			if has(out, m.Path) {
				return out // a list of replacements is at the end
			}
			out = append(out, vendored{moduleVersion: m})
		case len(out) == 0 || len(words) == 0 || words[0] == "#":
		case words[0] == "##":
			if i := slices.Index(words, "go"); i > 0 && i+1 < len(words) {
				out[len(out)-1].language = words[i+1]
			}
		default:
			out[len(out)-1].packages = true
		}
	}
	return out
}

func has(list []vendored, path string) bool {
	return slices.ContainsFunc(list, func(m vendored) bool { return m.Path == path })
}

// addVendor has the workspace take the program's modules from its vendor
// directory. A directory there has no go.mod: the overlay has one, without
// requirements, for the program's own go.mod has those of all modules, or gets
// them by the overlay, too.
func (b *build) addVendor(w *workspace) error {
	root := w.dirs[0]
	text, err := os.ReadFile(filepath.Join(root, "vendor", "modules.txt"))
	if err != nil {
		return err
	}
	own, err := b.modFile(root)
	if err != nil {
		return err
	}
	var more strings.Builder
	modules := parseVendor(string(text))
	for _, r := range own.Require { // what no package comes from
		if !has(modules, r.Path) {
			modules = append(modules, vendored{moduleVersion: r})
		}
	}
	for i, m := range modules {
		if !slices.ContainsFunc(own.Require, func(r moduleVersion) bool { return r.Path == m.Path }) {
			fmt.Fprintf(&more, "require %s %s // indirect\n", m.Path, m.Version)
		}
		dir := filepath.Join(root, "vendor", filepath.FromSlash(m.Path))
		if b.lacksOwn(m.Path, dir) {
			continue
		}
		mod := "module " + m.Path + "\n"
		if m.language != "" {
			mod += "\ngo " + m.language + "\n"
		}
		if !m.packages { // nothing is built of it, but the go command wants to see it
			dir = filepath.Join(b.tmp, "vendored", strconv.Itoa(i))
			if err := os.MkdirAll(dir, 0o777); err != nil {
				return err
			}
		}
		if err := b.overlayText(filepath.Join(dir, "go.mod"), mod); err != nil {
			return err
		}
		w.Replace = append(w.Replace, replacement{m.moduleVersion, moduleVersion{dir, ""}})
	}
	if more.Len() > 0 {
		mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
		if err != nil {
			return err
		}
		if err := b.overlayText(filepath.Join(root, "go.mod"), string(mod)+"\n"+more.String()); err != nil {
			return err
		}
	}
	b.flags["mod"] = "readonly"
	return nil
}

// lacksOwn reports whether dir, where the program's vendor directory has a module,
// lacks what quoit needs of that, or is quoit's.
func (b *build) lacksOwn(path, dir string) bool {
	if path == modulePath {
		return true
	}
	if path != "golang.org/x/sys" {
		return false
	}
	_, err := os.Stat(filepath.Join(dir, "unix"))
	return errors.Is(err, fs.ErrNotExist)
}
