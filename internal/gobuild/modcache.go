package gobuild

import (
	"crypto/sha256"
	"errors"
	"fmt"
	gopath "go/build"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// atVersion has packages that are named with a version, as go install and go run
// take them, wanted by a module of their own, and returns its directory.
func (b *build) atVersion() (dir string, err error) {
	i := slices.IndexFunc(b.pkgs, hasVersion)
	if i < 0 {
		return "", nil
	}
	if b.verb != "install" && b.verb != "run" {
		return "", fmt.Errorf("%s: only go install and go run take a version", b.pkgs[i])
	}
	dir = filepath.Join(b.tmp, "at")
	if err := os.Mkdir(dir, 0o777); err != nil {
		return "", err
	}
	text := "module quoit.invalid/at\n\ngo " + b.src.mod.Go + "\n"
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(text), 0o666); err != nil {
		return "", err
	}
	at := gocmd{ctx: b.ctx, dir: dir, env: append(slices.Clone(b.gocmd.env), "GOWORK=off", "GOFLAGS=-mod=mod")}
	if _, err := at.output(append([]string{"get", "--"}, b.pkgs...)...); err != nil {
		return "", err
	}
	for i, p := range b.pkgs {
		path, _, _ := strings.Cut(p, "@")
		b.args[slices.Index(b.args, p)] = path
		b.pkgs[i] = path
	}
	return dir, nil
}

// hasVersion reports whether arg names a package with a version. The names of files and
// directories may have an @, too.
func hasVersion(arg string) bool {
	return strings.Contains(arg, "@") && !gopath.IsLocalImport(arg) && !filepath.IsAbs(arg) && !isFile(arg)
}

// otherName returns a symbolic link to dir. Its name begins with name and is no other
// directory's. The link is there at any time: another build may use it.
func otherName(dir, name string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	link := fmt.Sprintf("%s-%.4x", filepath.Join(cache, "quoit", name), sha256.Sum256([]byte(dir)))
	if to, err := os.Readlink(link); err == nil && to == dir {
		return link, nil
	}
	if err := os.MkdirAll(filepath.Dir(link), 0o777); err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(link), "new-*")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	if err := os.Symlink(dir, filepath.Join(tmp, "link")); err != nil {
		return "", err
	}
	return link, os.Rename(filepath.Join(tmp, "link"), link)
}

// cached has the modules of pkgs that are in the module cache replaced by other
// names for their directories: the go command replaces no file in the cache.
func (b *build) cached(w *workspace, pkgs []pkg) (changed bool, err error) {
	cache := b.env.GOMODCACHE + string(filepath.Separator)
	seen := map[string]bool{}
	for _, p := range pkgs {
		m := p.Module
		if m == nil || !strings.HasPrefix(p.Dir, cache) || seen[m.Path] || !b.isTarget(&p) {
			continue
		}
		seen[m.Path] = true
		if m.Replace != nil && m.Replace.Version != "" {
			return false, fmt.Errorf("%s is in the module cache, as a replacement of %s: build it in a clone", p.ImportPath, m.Path)
		}
		if _, err := os.Stat(filepath.Join(m.Dir, "go.mod")); err != nil {
			return false, fmt.Errorf("%s is in the module cache and has no go.mod: build it in a clone", p.ImportPath)
		}
		link, err := otherName(m.Dir, filepath.Join("mod", filepath.FromSlash(m.Path)+"@"+m.Version))
		if err != nil {
			return false, err
		}
		w.Replace = append(w.Replace, replacement{moduleVersion{m.Path, m.Version}, moduleVersion{link, ""}})
	}
	return len(seen) > 0, nil
}

// refuseReplaced fails for a module that go install would refuse.
func (b *build) refuseReplaced(pkgs []pkg) error {
	for _, p := range pkgs {
		if p.Module == nil {
			continue
		}
		m, err := b.modFile(p.Module.Dir)
		if err != nil {
			continue // no go.mod: no replacements
		}
		if len(m.Replace) > 0 {
			return errors.New("the go.mod of " + p.Module.Path + " has replace directives, which go " + b.verb +
				" does not apply for a package at a version: build it in a clone")
		}
	}
	return nil
}
