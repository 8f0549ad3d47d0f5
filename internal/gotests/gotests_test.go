//go:build linux

package gotests

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/quoit-go/quoit/internal/gobuild"
	"github.com/quoit-go/quoit/internal/overlay"
)

const module = "github.com/quoit-go/quoit"

// looksInside are the tests that look at what package net keeps to itself, such as a
// conn's descriptor in a private field, or which function of internal/poll was
// called.
var looksInside = map[string][]string{
	"net": {
		"TestBuffers_WriteTo", "TestMultiPathTCP", "TestTCPConnKeepAliveConfigListener", "TestSplice", "TestSendfile",
		"TestSendfileWithExactLimit", "TestSendfileWithLimitLargerThanFile", "TestSendfileParts", "TestSendfileSeeked",
	},
}

// What passes with package net passes with quoit.
func TestGo(t *testing.T) {
	if os.Getenv("QUOIT_GOTESTS") == "" {
		t.Skip("takes minutes; QUOIT_GOTESTS=1 runs it")
	}
	root := goroot(t)
	for _, path := range []string{"net", "net/http", "crypto/tls"} {
		t.Run(path, func(t *testing.T) {
			binary := filepath.Join(t.TempDir(), "binary.test")
			build := exec.Command("go", "test", "-c", "-o", binary, path)
			build.Dir = t.TempDir()
			build.Env = append(os.Environ(), "GOROOT="+root, "GOWORK=off", "GOFLAGS=")
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			dir := filepath.Join(root, "src", filepath.FromSlash(path))
			plain, _ := results(t, root, dir, binary, "QUOIT=off")
			ours, output := results(t, root, dir, binary, "QUOIT_DEBUG=1")
			if !strings.Contains(output, "io_uring serves") {
				t.Fatalf("quoit does not serve:\n%s", output)
			}
			passed, inside := 0, 0
			for _, name := range slices.Sorted(maps.Keys(plain)) {
				switch {
				case plain[name] != "pass":
				case ours[name] == "pass":
					passed++
				case slices.Contains(looksInside[path], name):
					inside++
				default:
					t.Errorf("%s: %q with quoit", name, ours[name])
				}
			}
			t.Logf("%d of the tests that pass with package net pass with quoit, %d that look inside do not", passed, inside)
			if t.Failed() {
				t.Log(output)
			}
			if passed < 50 {
				t.Errorf("%d tests have passed", passed)
			}
		})
	}
}

// results runs a test binary, and returns what became of each test.
func results(t *testing.T, root, dir, binary, env string) (map[string]string, string) {
	t.Helper()
	cmd := exec.Command("go", "tool", "test2json", binary, "-test.v=test2json", "-test.short")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOROOT="+root, env)
	text, err := cmd.Output()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatal(err)
	}
	out := map[string]string{}
	var output strings.Builder
	for line := range bytes.Lines(text) {
		var e struct{ Action, Test, Output string }
		if err := json.Unmarshal(line, &e); err != nil {
			continue
		}
		output.WriteString(e.Output)
		switch e.Action {
		case "pass", "fail", "skip":
			if e.Test != "" && !strings.Contains(e.Test, "/") {
				out[e.Test] = e.Action
			}
		}
	}
	return out, output.String()
}

// goroot makes a GOROOT with another package net and with quoit.
func goroot(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	from, root := strings.TrimSpace(string(out)), t.TempDir()
	entries, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() == "src" {
			copyTree(t, filepath.Join(from, "src"), filepath.Join(root, "src"), "")
		} else if err := os.Symlink(filepath.Join(from, e.Name()), filepath.Join(root, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	src := filepath.Join(root, "src")
	files, err := overlay.Net(root, runtime.Version(), runtime.GOARCH)
	if err != nil {
		t.Fatal(err)
	}
	for path, pkg := range map[string]string{"net": "net_test", "net/http": "http_test", "crypto/tls": "tls_test"} {
		files[filepath.Join(src, filepath.FromSlash(path), "0_quoit_test.go")] = []byte("package " + pkg + "\n" + gobuild.TakeOver)
	}
	for name, text := range files {
		if err := os.WriteFile(name, text, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	vendor := func(name, mod string, dirs ...string) {
		out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", mod).Output()
		if err != nil {
			t.Fatal(err)
		}
		for _, dir := range dirs {
			copyTree(t, filepath.Join(strings.TrimSpace(string(out)), dir), filepath.Join(src, "vendor", filepath.FromSlash(name), dir), "_test.go")
		}
	}
	vendor(module, module, "engine", "internal/environ", "internal/forced", "internal/sock", "internal/takeover", "transparent")
	vendor("golang.org/x/sys", "golang.org/x/sys", "unix")
	names, err := filepath.Glob(filepath.Join("..", "..", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !strings.HasSuffix(name, "_test.go") {
			copyFile(t, name, filepath.Join(src, "vendor", filepath.FromSlash(module), filepath.Base(name)))
		}
	}
	for _, dir := range []string{"engine/steering", "engine/pbuf"} { // which need more
		if err := os.RemoveAll(filepath.Join(src, "vendor", filepath.FromSlash(module), dir)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// copyTree copies a directory, but for files that end in without, if that is not "".
func copyTree(t *testing.T, from, to, without string) {
	t.Helper()
	err := filepath.WalkDir(from, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o777)
		}
		if d.Type().IsRegular() && (without == "" || !strings.HasSuffix(name, without)) {
			copyFile(t, name, filepath.Join(to, rel))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, text, 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
}
