//go:build linux

package main

import (
	"archive/zip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// proxied has the go command find example.com/tool v1.2.3, and what the module
// cache has, and has it use a module cache of its own.
func proxied(t *testing.T) {
	t.Helper()
	out, err := exec.Command("go", "env", "GOMODCACHE", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	modules, builds, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	proxy := t.TempDir()
	writeFiles(t, proxy, map[string]string{
		"example.com/tool/@v/list":        "v1.2.3\n",
		"example.com/tool/@v/v1.2.3.info": `{"Version":"v1.2.3"}`,
		"example.com/tool/@v/v1.2.3.mod":  toolFiles["go.mod"],
	})
	f, err := os.Create(filepath.Join(proxy, "example.com", "tool", "@v", "v1.2.3.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z := zip.NewWriter(f)
	for name, text := range toolFiles {
		w, err := z.Create("example.com/tool@v1.2.3/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOPROXY", "file://"+proxy+",file://"+modules+"/cache/download")
	t.Setenv("GOCACHE", builds)
	t.Setenv("GOMODCACHE", t.TempDir())
	t.Setenv("GOFLAGS", "-modcacherw -buildvcs=false")
	t.Setenv("GOSUMDB", "off")
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
}

var toolFiles = map[string]string{
	"go.mod": "module example.com/tool\n\ngo 1.20\n",
	"main.go": `package main

import (
	"fmt"
	"net"
	"reflect"
)

func main() {
	var fs []func() int
	for i := 0; i < 2; i++ {
		fs = append(fs, func() int { return i })
	}
	fmt.Println(Served(), fs[0]())
}

func Served() string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err.Error()
	}
	defer ln.Close()
	if f := reflect.ValueOf(ln).Elem().FieldByName("quoit"); f.IsValid() && !f.IsNil() {
		return "quoit"
	}
	return "net"
}
`,
	"main_test.go": `package main

import "testing"

func TestServed(t *testing.T) { t.Log("served by", Served()) }
`,
}

func writeFiles(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

// A program of the module cache, which the go command's overlay cannot touch.
func TestBuildCached(t *testing.T) {
	want := wanted(t) + " 2\n" // a loop variable of Go 1.20
	proxied(t)
	dir, bin := t.TempDir(), t.TempDir()
	t.Setenv("GOBIN", bin)
	if _, stderr, code := tool(t, dir, "install", "example.com/tool@v1.2.3"); code != 0 {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	if got := output(t, filepath.Join(bin, "tool"), nil); got != want {
		t.Errorf("installed at a version it says %q, want %q", got, want)
	}
	if stdout, stderr, code := tool(t, dir, "run", "example.com/tool@latest", "x"); code != 0 || stdout != want {
		t.Errorf("run at a version: exit code %d, %q\n%s", code, stdout, stderr)
	}
	if _, stderr, code := tool(t, dir, "build", "fmt", "example.com/tool@v1.2.3"); code != 1 || !strings.Contains(stderr, "example.com/tool@v1.2.3: only go install and go run take a version") {
		t.Errorf("build at a version: exit code %d\n%s", code, stderr)
	}
	if _, stderr, code := tool(t, dir, "install", "example.com/tool@v1.9.9"); code != 1 || !strings.Contains(stderr, "v1.9.9") {
		t.Errorf("install at a version that is not there: exit code %d\n%s", code, stderr)
	}

	writeFiles(t, dir, map[string]string{
		"go.mod": "module example.com/user\n\ngo 1.22\n\nrequire example.com/tool v1.2.3\n",
		"go.sum": "",
	})
	sum := exec.Command("go", "mod", "download", "example.com/tool")
	sum.Dir = dir
	if out, err := sum.CombinedOutput(); err != nil {
		t.Fatalf("go mod download: %v\n%s", err, out)
	}
	if got := output(t, built(t, dir, "example.com/tool"), nil); got != want {
		t.Errorf("a program of a required module says %q, want %q", got, want)
	}
	stdout, stderr, code := tool(t, dir, "test", "-v", "example.com/tool")
	if code != 0 || !strings.Contains(stdout, "served by "+wanted(t)) {
		t.Errorf("tests of a required module: exit code %d\n%s%s", code, stdout, stderr)
	}
}

// A vendor directory serves alone, whether the flag asks for it or not.
func TestBuildVendor(t *testing.T) {
	proxied(t)
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{
		"go.mod":  "module example.com/user\n\ngo 1.20\n\nrequire example.com/dep v1.0.0\n\nreplace example.com/dep => ../not/there\n",
		"main.go": "package main\n\nimport (\n\t\"fmt\"\n\t\"net\"\n\n\t\"example.com/dep\"\n)\n\nfunc main() {\n\tln, err := net.Listen(\"tcp\", \"127.0.0.1:0\")\n\tfmt.Println(dep.Served(ln), err)\n}\n",
		"vendor/modules.txt": "# example.com/dep v1.0.0 => ../not/there\n## explicit; go 1.20\nexample.com/dep\n" +
			"# example.com/indirect v0.1.0\n## explicit; go 1.16\nexample.com/indirect/sub\n# example.com/dep => ../not/there\n",
		"vendor/example.com/dep/dep.go": "package dep\n\nimport (\n\t\"net\"\n\t\"reflect\"\n\n\t\"example.com/indirect/sub\"\n)\n\n" +
			"func Served(ln net.Listener) string {\n\tif f := reflect.ValueOf(ln).Elem().FieldByName(\"quoit\"); f.IsValid() && !f.IsNil() {\n\t\treturn sub.Name(\"quoit\")\n\t}\n\treturn sub.Name(\"net\")\n}\n",
		"vendor/example.com/indirect/sub/sub.go": "package sub\n\nfunc Name(s string) string { return \"vendored \" + s }\n",
	})
	want := "vendored " + wanted(t) + " <nil>\n"
	for _, args := range [][]string{nil, {"-mod=vendor"}, {"-mod", "vendor", "."}} {
		if got := output(t, built(t, dir, args...), nil); got != want {
			t.Errorf("with %v it says %q, want %q", args, got, want)
		}
	}
	t.Setenv("GOFLAGS", "-mod=vendor")
	if got := output(t, built(t, dir), nil); got != want {
		t.Errorf("with GOFLAGS it says %q, want %q", got, want)
	}
	t.Setenv("GOFLAGS", "")
	bare := t.TempDir()
	writeFiles(t, bare, map[string]string{"go.mod": "module example.com/bare\n\ngo 1.20\n", "main.go": "package main\n\nfunc main() {}\n"})
	if _, stderr, code := tool(t, bare, "build", "-mod=vendor"); code != 1 || !strings.Contains(stderr, "there is no vendor/modules.txt") {
		t.Errorf("without a vendor directory: exit code %d\n%s", code, stderr)
	}
}
