package docs

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// imports are what the pages' code names without saying where it comes from.
var imports = map[string]string{
	"context": "context", "errors": "errors", "fmt": "fmt", "http": "net/http", "log": "log",
	"os": "os", "runtime": "runtime", "syscall": "syscall", "testing": "testing",
	"unix":       "golang.org/x/sys/unix",
	"quoit":      "github.com/quoit-go/quoit",
	"debug":      "github.com/quoit-go/quoit/debug",
	"vars":       "github.com/quoit-go/quoit/debug/vars",
	"ring":       "github.com/quoit-go/quoit/engine/ring",
	"steering":   "github.com/quoit-go/quoit/engine/steering",
	"prometheus": "github.com/prometheus/client_golang/prometheus",
	"quoitprom":  "github.com/quoit-go/quoit/metrics/prometheus",
	"goleak":     "go.uber.org/goleak",
}

// givens are variables that the pages' code takes from its surroundings.
var givens = map[string]string{
	"buf": "[]byte", "ctx": "context.Context", "fd": "int32", "handler": "http.Handler", "t": "*testing.T",
	"accept": "ring.Kind", "receive": "ring.Kind", "send": "ring.Kind",
}

// elsewhere are the modules that the code needs besides the root, by what is
// imported from them: each is built where they are known.
var elsewhere = map[string]struct{ dir, require string }{
	"prometheus": {"metrics/prometheus", ""},
	"goleak":     {"metrics/prometheus", "go.uber.org/goleak v1.3.0"},
}

// Go code on the pages compiles.
func TestCode(t *testing.T) {
	n := 0
	for name, page := range pages(t) {
		for i, code := range blocks(page, "go") {
			n++
			t.Run(fmt.Sprintf("%s/%d", name, i+1), func(t *testing.T) { compile(t, code) })
		}
	}
	if n < 8 {
		t.Errorf("only %d pieces of code found", n)
	}
}

// compile builds code in a directory that only the go command sees, of the module
// that has what it imports.
func compile(t *testing.T, code string) {
	src, dir, require := complete(code)
	tmp := t.TempDir()
	file := filepath.Join(tmp, "code.go")
	if err := os.WriteFile(file, []byte(src), 0o644); err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(root, "docscode", "code.go"): file}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(tmp, "overlay.json"), overlay, 0o644); err != nil {
		t.Fatal(err)
	}
	args := []string{"build", "-o", os.DevNull, "-overlay", filepath.Join(tmp, "overlay.json")}
	if require != "" {
		mod := filepath.Join(tmp, "go.mod")
		if err := os.WriteFile(mod, []byte(read(t, dir+"/go.mod")+"\nrequire "+require+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(tmp, "go.sum"), []byte(read(t, dir+"/go.sum")), 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, "-mod=mod", "-modfile="+mod)
	}
	cmd := exec.Command("go", append(args, "./docscode")...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s\n%s", err, out, src)
	}
}

// complete makes a package of code, and says which module has what it imports.
func complete(code string) (src, dir, require string) {
	dir = "."
	if strings.HasPrefix(code, "package ") {
		return code, dir, ""
	}
	body := code
	if !regexp.MustCompile(`(?m)^func `).MatchString(code) {
		body = "func code() error {\n" + code + "\nreturn nil\n}\n\nvar _ = code\n"
	}
	for _, name := range sorted(givens) {
		if regexp.MustCompile(`\b`+name+`\b`).MatchString(code) && !strings.Contains(code, name+" *") {
			body = "var " + name + " " + givens[name] + "\n" + body
		}
	}
	head := "package docscode\n\n"
	for _, name := range sorted(imports) {
		if !regexp.MustCompile(`\b` + name + `\.[A-Z]`).MatchString(body) {
			continue
		}
		head += fmt.Sprintf("import %s %q\n", name, imports[name])
		if e, ok := elsewhere[name]; ok {
			dir, require = e.dir, e.require
		}
	}
	return head + "\n" + body, dir, require
}

func sorted[V any](m map[string]V) (out []string) {
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
