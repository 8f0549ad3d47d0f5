// Package gobuild runs the go command so that an unmodified program has its
// stream sockets on quoit and keeps package net's types: with an overlay for
// package net, a file in the main or tested package by the same overlay, and a
// workspace that adds quoit's module. Nothing that belongs to the program changes.
package gobuild

import (
	"context"
	"errors"
	"fmt"
	gopath "go/build"
	"go/version"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Verbs are the commands of the go command that Run has.
var Verbs = []string{"build", "install", "run", "test"}

// A Runner runs a command to its end.
type Runner func(cmd *exec.Cmd) error

// Run runs the go command's verb with args in the present directory, and returns its
// exit code. 2 is for a wrong command line. A program that it runs has the environment
// that it would have without quoit, from when package net is initialized. The end of
// ctx ends what comes before that command; the command itself is run's to end.
func Run(ctx context.Context, verb string, args []string, run Runner, stderr io.Writer) int {
	code, err := do(ctx, verb, args, run, stderr)
	if err == nil {
		return code
	}
	if ue, ok := errors.AsType[usageError](err); ok {
		fmt.Fprintln(stderr, ue)
		return 2
	}
	fmt.Fprintf(stderr, "quoit %s: %v\n", verb, err)
	return 1
}

func do(ctx context.Context, verb string, args []string, run Runner, stderr io.Writer) (int, error) {
	c, err := parse(verb, args)
	if err != nil {
		return 0, err
	}
	tmp, err := os.MkdirTemp("", "quoit-build-*")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(tmp)
	b := &build{command: c, gocmd: gocmd{ctx: ctx}, tmp: tmp, replace: map[string]string{}, overlayFile: filepath.Join(tmp, "overlay.json")}
	err = b.prepare()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return 0, err
	}
	if verb == "run" {
		b.report(stderr)
	}
	cmd := b.gocmd.command(context.WithoutCancel(ctx), append(append([]string{verb}, b.added()...), b.args...)...)
	if verb == "run" || verb == "test" {
		cmd.Env = append(cmd.Env, b.originals()...)
	}
	err = run(cmd)
	if ee, ok := errors.AsType[*exec.ExitError](err); ok {
		return max(ee.ExitCode(), 1), nil // -1: by a signal
	}
	if err != nil {
		return 0, err
	}
	if verb != "run" {
		b.report(stderr)
	}
	return 0, nil
}

// prepare finds out all, and makes the files.
func (b *build) prepare() error {
	var err error
	if b.dir, err = os.Getwd(); err != nil {
		return err
	}
	b.dir = absolute(b.dir, b.chdir)
	if b.env, err = b.goEnv(); err != nil {
		return err
	}
	if err := b.check(); err != nil {
		return err
	}
	if b.src, err = findSource(b.gocmd); err != nil {
		return err
	}
	w, pkgs, err := b.findPackages()
	if err != nil {
		return err
	}
	if changed, err := b.cached(w, pkgs); err != nil {
		return err
	} else if changed {
		if err := w.write(); err != nil {
			return err
		}
		if pkgs, err = b.list(); err != nil {
			return err
		}
	}
	if err := b.findTargets(pkgs); err != nil {
		return err
	}
	return b.makeOverlay()
}

// check refuses what cannot work.
func (b *build) check() error {
	if b.env.GOOS != "linux" {
		return fmt.Errorf("GOOS=%s: io_uring is Linux's, and on other systems package net serves quoit's programs as well; use go %s", b.env.GOOS, b.verb)
	}
	if b.env.GO111MODULE == "off" {
		return errors.New("GO111MODULE=off: quoit is a module, which GOPATH mode cannot add; unset GO111MODULE")
	}
	if v := b.flagValue("compiler"); v != "" && v != "gc" {
		return fmt.Errorf("-compiler=%s: quoit changes the package net of the gc toolchain", v)
	}
	inModule := b.env.GOMOD != "" || b.env.GOWORK != ""
	if !inModule && !slices.ContainsFunc(b.pkgs, func(p string) bool { return isFile(p) || !gopath.IsLocalImport(p) }) {
		return errors.New("there is no go.mod in the current directory or any parent directory")
	}
	return nil
}

// findPackages joins quoit's module with the program's, and lists the packages.
func (b *build) findPackages() (*workspace, []pkg, error) {
	at, err := b.atVersion()
	if err != nil {
		return nil, nil, err
	}
	if at != "" {
		b.env.GOWORK, b.env.GOMOD = "", filepath.Join(at, "go.mod")
	}
	w, err := b.join()
	if err != nil {
		return nil, nil, err
	}
	if err := b.settle(); err != nil {
		return nil, nil, err
	}
	pkgs, err := b.list()
	if err != nil || at == "" {
		return w, pkgs, err
	}
	if err := b.refuseReplaced(pkgs); err != nil {
		return nil, nil, err
	}
	if len(pkgs) > 0 && pkgs[0].Module != nil {
		w.Go = pkgs[0].Module.GoVersion
	}
	return w, pkgs, nil
}

// join makes the workspace of the program's modules and quoit's, unless the
// program's has that.
func (b *build) join() (*workspace, error) {
	w, err := b.userWorkspace(b.env)
	if err != nil {
		return nil, err
	}
	w.src, w.file = b.src, filepath.Join(b.tmp, "go.work")
	for i, dir := range w.dirs {
		m, err := b.modFile(dir)
		if err != nil {
			return nil, err
		}
		if m.Module.Path == modulePath { // the program is quoit's own, or beside it
			b.src = &source{dir, m}
			w.src = b.src
			w.dirs = slices.Delete(w.dirs, i, i+1)
			break
		}
	}
	if err := b.userOverlay(); err != nil {
		return nil, err
	}
	vendor, err := b.usesVendor(w)
	if err != nil {
		return nil, err
	}
	if vendor {
		if err := b.addVendor(w); err != nil {
			return nil, err
		}
	}
	if err := b.writeOverlay(); err != nil {
		return nil, err
	}
	if err := w.write(); err != nil {
		return nil, err
	}
	b.gocmd.env = append(b.gocmd.env, "GOWORK="+w.file)
	return w, nil
}

// settle finds the toolchain that builds: the workspace may ask for another one
// than the program does.
func (b *build) settle() (err error) {
	if b.env, err = b.goEnv(); err != nil {
		return err
	}
	if version.Compare(b.env.GOVERSION, "go"+b.src.mod.Go) < 0 {
		return fmt.Errorf("quoit needs Go %s, and this is %s; use a newer one, or GOTOOLCHAIN=auto", b.src.mod.Go, b.env.GOVERSION)
	}
	cache := b.env.GOMODCACHE + string(filepath.Separator)
	if !strings.HasPrefix(b.env.GOROOT+string(filepath.Separator), cache) {
		return nil
	}
	// The go command replaces no file in the module cache, where the toolchains
	// are that it has downloaded: such a one is used under another name, always the
	// same, as names are in debug information.
	link, err := otherName(b.env.GOROOT, b.env.GOVERSION)
	if err != nil {
		return err
	}
	b.bin = filepath.Join(link, "bin", "go")
	b.gocmd.env = append(b.gocmd.env, "GOROOT="+link, "GOTOOLCHAIN=local")
	b.env, err = b.goEnv()
	return err
}

// report says in two lines what was done.
func (b *build) report(w io.Writer) {
	var names []string
	for _, t := range b.targets {
		names = append(names, t.ImportPath)
	}
	what := strings.Join(names, " ")
	switch len(names) {
	case 0:
		fmt.Fprintln(w, "quoit: there is no program: nothing uses quoit")
		return
	case 1, 2, 3:
	default:
		what = fmt.Sprintf("%s and %d more", strings.Join(names[:2], " "), len(names)-2)
	}
	fmt.Fprintf(w, "quoit: %s: stream sockets of package net (%s, changed by an overlay) are served by %s\n", what, b.env.GOVERSION, b.src.dir)
	fmt.Fprintln(w, "quoit: at run time QUOIT=off leaves them to package net; go.mod, go.sum and the sources are as they were")
}
