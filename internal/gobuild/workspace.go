package gobuild

import (
	"fmt"
	"go/version"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// workspace is what a go.work file says.
type workspace struct {
	Go        string
	Toolchain string
	GoDebug   []struct{ Key, Value string }
	Use       []struct{ DiskPath string }
	Replace   []replacement

	dirs []string // of the program's modules
	src  *source  // quoit's
	file string   // where it is written
}

// userWorkspace is the workspace that env has, or that would be the same as its
// module alone.
func (g gocmd) userWorkspace(env *goEnv) (*workspace, error) {
	w := new(workspace)
	if env.GOWORK == "" {
		if env.GOMOD == "" {
			return w, nil
		}
		dir := filepath.Dir(env.GOMOD)
		m, err := g.modFile(dir)
		if err != nil {
			return nil, err
		}
		w.Go, w.Toolchain, w.GoDebug = m.Go, m.Toolchain, m.GoDebug
		w.dirs = []string{dir}
		return w, nil
	}
	if err := g.json(w, "work", "edit", "-json", env.GOWORK); err != nil {
		return nil, err
	}
	root := filepath.Dir(env.GOWORK)
	for _, u := range w.Use {
		w.dirs = append(w.dirs, absolute(root, u.DiskPath))
	}
	for i := range w.Replace {
		r := &w.Replace[i]
		if r.New.Version == "" {
			r.New.Path = absolute(root, r.New.Path)
		}
	}
	return w, nil
}

func absolute(root, dir string) string {
	if filepath.IsAbs(dir) {
		return dir
	}
	return filepath.Join(root, dir)
}

// text is a go.work for the program's modules and quoit's. What the program sees
// of its Go version, GODEBUG's defaults, stays what w has; the language's version
// is each module's own.
func (w *workspace) text() string {
	var b strings.Builder
	line := newest(w.Go, w.src.mod.Go)
	fmt.Fprintf(&b, "go %s\n", line)
	if version.Compare(w.Toolchain, "go"+line) > 0 {
		fmt.Fprintf(&b, "toolchain %s\n", w.Toolchain)
	}
	def := ""
	for _, d := range w.GoDebug {
		if d.Key == "default" {
			def = d.Value
			continue
		}
		fmt.Fprintf(&b, "godebug %s=%s\n", d.Key, d.Value)
	}
	if def == "" && (w.Go != "" || len(w.dirs) > 0) {
		def = "go" + newest(language(w.Go), "1.20") // before that there was no GODEBUG default
	}
	if def != "" {
		fmt.Fprintf(&b, "godebug default=%s\n", def)
	}
	for _, dir := range w.dirs {
		fmt.Fprintf(&b, "use %s\n", strconv.Quote(dir))
	}
	fmt.Fprintf(&b, "use %s\n", strconv.Quote(w.src.dir))
	for _, r := range w.Replace {
		fmt.Fprintf(&b, "replace %s => %s\n", r.Old, r.New)
	}
	return b.String()
}

// newest returns the newer of two Go versions, as go lines have them.
func newest(a, b string) string {
	if version.Compare("go"+a, "go"+b) > 0 {
		return a
	}
	return b
}

// language is the language's version, as GODEBUG's default takes it.
func language(v string) string { return strings.TrimPrefix(version.Lang("go"+v), "go") }

// write makes the file.
func (w *workspace) write() error { return os.WriteFile(w.file, []byte(w.text()), 0o666) }
