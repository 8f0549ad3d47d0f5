//go:build linux

package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/quoit-go/quoit"
)

// wanted is what has to serve the programs of these tests.
func wanted(t *testing.T) string {
	t.Helper()
	if s := quoit.Probe(); !s.IOUring {
		if os.Getenv("QUOIT_TEST_REQUIRE") == "1" {
			t.Fatalf("QUOIT_TEST_REQUIRE=1, and %v", s.Err)
		}
		return "net"
	}
	return "quoit"
}

// tool runs quoit in dir, which it must leave as it is.
func tool(t *testing.T, dir string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	dir, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	before := tree(t, dir)
	t.Chdir(dir)
	var out, errs bytes.Buffer
	code = run(args, &out, &errs)
	if after := tree(t, dir); after != before {
		t.Errorf("quoit %v changed %s:\n%s\nbefore:\n%s", args, dir, after, before)
	}
	return out.String(), errs.String(), code
}

// tree is all files in dir, with their contents.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := fs.ReadFile(os.DirFS(dir), name)
		b.WriteString(name + "\n")
		b.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// built runs quoit build in dir with args, and returns the program.
func built(t *testing.T, dir string, args ...string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "program")
	_, stderr, code := tool(t, dir, append([]string{"build", "-o", program}, args...)...)
	if code != exitOK {
		t.Fatalf("quoit build %v: exit code %d\n%s", args, code, stderr)
	}
	if n := strings.Count("\n"+stderr, "\nquoit: "); n != 2 { // the go command may say what it downloads
		t.Errorf("quoit build says\n%snot what it did, in two lines", stderr)
	}
	return program
}

// output runs a program with env and args.
func output(t *testing.T, program string, env []string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", program, args, err, out)
	}
	return string(out)
}

// A program that uses all of package net sees the same, whoever serves it.
func TestBuildTypes(t *testing.T) {
	dir, err := filepath.Abs("testdata/types")
	if err != nil {
		t.Fatal(err)
	}
	plain := filepath.Join(t.TempDir(), "plain")
	cmd := exec.Command("go", "build", "-o", plain, ".")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	ours := built(t, dir, ".")
	want := output(t, plain, []string{"WANT=net"})
	for _, tt := range []struct {
		name string
		env  []string
	}{
		{"quoit", []string{"WANT=" + wanted(t)}},
		{"off", []string{"QUOIT=off", "WANT=net"}},
	} {
		t.Run(tt.name, func(t *testing.T) { sameLines(t, output(t, ours, tt.env), want) })
	}
}

func sameLines(t *testing.T, got, want string) {
	t.Helper()
	gs, ws := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(gs), len(ws)) {
		g, w := "", ""
		if i < len(gs) {
			g = gs[i]
		}
		if i < len(ws) {
			w = ws[i]
		}
		if g != w {
			t.Errorf("line %d:\n%s\npackage net alone:\n%s", i+1, g, w)
		}
	}
}

// The go command's own flags do what they do.
func TestBuildFlags(t *testing.T) {
	want := wanted(t)
	for _, tt := range []struct {
		name string
		env  string
		args []string
		says string
	}{
		{"none", "", nil, " none untagged example.com/small []"},
		{"package", "", []string{"example.com/small"}, " none untagged example.com/small []"},
		{"files", "", []string{"main.go", "tag.go"}, " none special command-line-arguments []"},
		{"tags", "", []string{"-tags=special"}, " none special example.com/small []"},
		{"ldflags", "", []string{"-ldflags", "-s -X main.version=v1"}, " v1 untagged example.com/small []"},
		{"trimpath", "", []string{"-trimpath", "."}, " none untagged example.com/small []"},
		{"cgo off", "CGO_ENABLED=0", []string{"-v=false"}, " none untagged example.com/small []"},
		{"GOFLAGS", "GOFLAGS=-buildvcs=false -tags=special", nil, " none special example.com/small []"},
		{"no workspace", "GOWORK=off", nil, " none untagged example.com/small []"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if name, value, ok := strings.Cut(tt.env, "="); ok {
				t.Setenv(name, value)
			}
			program := built(t, "testdata/small", tt.args...)
			if got := output(t, program, nil); got != want+tt.says+"\n" {
				t.Errorf("the program says %q, want %q", got, want+tt.says)
			}
			if got := output(t, program, []string{"QUOIT=off"}); got != "net"+tt.says+"\n" {
				t.Errorf("with QUOIT=off the program says %q", got)
			}
		})
	}
}

// The program's own overlay and directory count, too.
func TestBuildOverlay(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{
		"over.json": `{"Replace": {"extra.go": "` + dir + `/extra.txt", "tag.go": ""}}`,
		"extra.txt": "package main\n\nfunc init() { tag = \"overlaid\" }\n",
		"bad.json":  `{"Replace": {"0_quoit.go": ""}}`,
		"broken":    "{",
	})
	want := wanted(t) + " none overlaid example.com/small []\n"
	if got := output(t, built(t, "testdata/tested", "-C=../small", "-overlay", filepath.Join(dir, "over.json"), "-tags=special"), nil); got != want {
		t.Errorf("the program says %q, want %q", got, want)
	}
	for file, says := range map[string]string{"bad.json": "which quoit replaces, too", "broken": "unexpected end", "none": "no such file"} {
		_, stderr, code := tool(t, "../small", "build", "-o", os.DevNull, "-overlay="+filepath.Join(dir, file))
		if code != 1 || !strings.Contains(stderr, says) {
			t.Errorf("-overlay=%s: exit code %d, stderr %q, want %q in it", file, code, stderr, says)
		}
	}
}

func TestBuildRace(t *testing.T) {
	if testing.Short() {
		t.Skip("builds package net for the race detector")
	}
	if got, want := output(t, built(t, "testdata/small", "-race"), nil), wanted(t)+" none"; !strings.HasPrefix(got, want) {
		t.Errorf("the program says %q, want %q", got, want)
	}
}

func TestBuildCross(t *testing.T) {
	if testing.Short() {
		t.Skip("builds package net for another architecture")
	}
	t.Setenv("GOARCH", "arm64")
	program := built(t, "testdata/small")
	b, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) < 20 || b[18] != 183 {
		t.Error("the program is not for arm64")
	}
}

func TestBuildRun(t *testing.T) {
	stdout, stderr, code := tool(t, "testdata/small", "run", ".", "-x", "y")
	if want := wanted(t) + " none untagged example.com/small [-x y]\n"; code != 0 || stdout != want {
		t.Errorf("exit code %d, stdout %q, want %q\n%s", code, stdout, want, stderr)
	}
	stdout, stderr, code = tool(t, ".", "run", "main.go", "fail")
	if code != 1 || !strings.Contains(stdout, "[fail]") || !strings.Contains(stderr, "exit status 7") {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

func TestBuildInstall(t *testing.T) {
	bin := t.TempDir()
	t.Setenv("GOBIN", bin)
	if _, stderr, code := tool(t, "testdata/small", "install"); code != 0 {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	if got := output(t, filepath.Join(bin, "small"), nil); !strings.HasPrefix(got, wanted(t)) {
		t.Errorf("the program says %q", got)
	}
}

func TestBuildTest(t *testing.T) {
	t.Setenv("WANT", wanted(t))
	t.Setenv("CGO_ENABLED", "0")
	stdout, stderr, code := tool(t, "testdata/tested", "test", "-count=1", "-v", "./...")
	for _, name := range []string{"TestInside", "TestOutside", "TestSub"} {
		if !strings.Contains(stdout, "--- PASS: "+name+" ") {
			t.Errorf("%s has not passed", name)
		}
	}
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	if t.Failed() {
		t.Logf("%s\n%s", stdout, stderr)
	}
	t.Setenv("FAIL", "1")
	if stdout, _, code := tool(t, ".", "test", "-count=1", "./...", "-run", "Fails"); code != 1 || !strings.Contains(stdout, "as asked") {
		t.Errorf("a failing test: exit code %d\n%s", code, stdout)
	}
}

func TestBuildRefuses(t *testing.T) {
	for _, tt := range []struct {
		name string
		env  string
		args []string
		code int
		says string
	}{
		{"system", "GOOS=darwin", []string{"build"}, 1, "GOOS=darwin: io_uring is Linux's"},
		{"GOPATH", "GO111MODULE=off", []string{"build"}, 1, "unset GO111MODULE"},
		{"gccgo", "", []string{"build", "-compiler=gccgo"}, 1, "gc toolchain"},
		{"modfile", "", []string{"build", "-modfile", "x.mod"}, 1, "-modfile=x.mod: "},
		{"mod", "GOFLAGS=-mod=mod", []string{"build"}, 1, "go mod tidy"},
		{"unknown flag", "", []string{"build", "-fast"}, exitUsage, "go build has no flag -fast"},
		{"flag without value", "", []string{"build", "-o"}, exitUsage, "needs an argument: -o"},
		{"late flag", "", []string{"build", ".", "-o", "x"}, exitUsage, "flags go before"},
		{"nothing to run", "", []string{"run"}, exitUsage, "no packages"},
		{"Go's own", "", []string{"build", "-o", os.DevNull, "cmd/nm"}, 1, "cmd/nm belongs to Go itself"},
		{"no quoit", "QUOIT_MODULE=/nowhere", []string{"build"}, 1, "QUOIT_MODULE: "},
		{"other module", "QUOIT_MODULE=.", []string{"build"}, 1, "has module example.com/small"},
		{"does not compile", "", []string{"build", "-o", os.DevNull, "tag.go"}, 1, "undefined: tag"},
		{"no package", "", []string{"build", "./nothing"}, 1, "nothing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if name, value, ok := strings.Cut(tt.env, "="); ok {
				t.Setenv(name, value)
			}
			_, stderr, code := tool(t, "testdata/small", tt.args...)
			if code != tt.code || !strings.Contains(stderr, tt.says) {
				t.Errorf("exit code %d, want %d; stderr %q, want %q in it", code, tt.code, stderr, tt.says)
			}
		})
	}
}

// Outside of a module, and where there is no program, that is what is said.
func TestBuildNothing(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{"main.go": "package main\n\nfunc main() {}\n"})
	if _, stderr, code := tool(t, dir, "build", "."); code != 1 || !strings.Contains(stderr, "there is no go.mod") {
		t.Errorf("no module: exit code %d, %s", code, stderr)
	}
	if _, stderr, code := tool(t, dir, "build", "-o", os.DevNull, "main.go"); code != 0 || strings.Contains(stderr, "there is no") {
		t.Errorf("a file: exit code %d, %s", code, stderr)
	}
	writeFiles(t, dir, map[string]string{"go.mod": "module example.com/p\n", "main.go": "package p\n"})
	_, stderr, code := tool(t, dir, "build", ".")
	if code != 0 || !strings.Contains(stderr, "there is no program") || strings.Contains(stderr, "are served") {
		t.Errorf("no program: exit code %d, %s", code, stderr)
	}
}

// A workspace stays one, and what it replaces.
func TestBuildWorkspace(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{
		"go.work":      "go 1.21\n\nuse (\n\t./a\n\t./b\n)\n\nreplace example.com/c => ./c\n",
		"a/go.mod":     "module example.com/a\n\ngo 1.21\n",
		"a/main.go":    "package main\n\nimport \"example.com/b\"\n\nfunc main() { println(b.Name()) }\n",
		"b/go.mod":     "module example.com/b\n\ngo 1.20\n\nrequire example.com/c v1.0.0\n",
		"b/b.go":       "package b\n\nimport \"example.com/c\"\n\nfunc Name() string { return \"b and \" + c.Name }\n",
		"c/go.mod":     "module example.com/c\n\ngo 1.20\n",
		"c/c.go":       "package c\n\nconst Name = \"c\"\n",
		"a/sub/lib.go": "package sub\n",
	})
	if got := output(t, built(t, filepath.Join(dir, "a")), nil); got != "b and c\n" {
		t.Errorf("the program says %q", got)
	}
	if got := output(t, built(t, dir, "./a"), nil); got != "b and c\n" {
		t.Errorf("built from the workspace's directory the program says %q", got)
	}
}

// A signal that ends a build while it is prepared leaves nothing behind; later it is the
// go command's, too.
func TestBuildInterrupted(t *testing.T) {
	bin, tmp := t.TempDir(), t.TempDir()
	t.Setenv("TMPDIR", tmp)
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	for _, s := range ends() {
		kill := "kill -" + strconv.Itoa(int(s.(syscall.Signal))) + " $PPID\n"
		if err := os.WriteFile(filepath.Join(bin, "go"), []byte("#!/bin/sh\n"+kill+"exec sleep 60\n"), 0o777); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"build", "."}, {"bench", "-quick"}} {
			var stdout, stderr bytes.Buffer
			if code := run(args, &stdout, &stderr); code != 1 || !strings.Contains(stderr.String(), s.String()) {
				t.Errorf("quoit %s, %v: exit code %d, stderr %q", args[0], s, code, &stderr)
			}
			if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
				t.Errorf("quoit %s, %v: %v is left, %v", args[0], s, left, err)
			}
		}
		if s == os.Interrupt { // which a terminal sends to both
			continue
		}
		err := runToEnd(exec.Command("sh", "-c", "trap 'exit 3' TERM HUP\n"+kill+"while :; do sleep 0.01; done"))
		if ee, ok := errors.AsType[*exec.ExitError](err); !ok || ee.ExitCode() != 3 {
			t.Errorf("%v of a command: %v", s, err)
		}
	}
}

// environFiles are a program and a test that look at the environment.
var environFiles = map[string]string{
	"go.mod":  "module example.com/env\n\ngo 1.20\n",
	"main.go": "package main\n\nimport (\n\t\"fmt\"\n\n\t\"example.com/env/early\"\n)\n\nfunc main() { fmt.Println(early.Seen) }\n",
	"early/early.go": `package early

import (
	"net"
	"os"
	"slices"
	"strings"
)

var _ net.Conn

var Seen = seen()

func seen() (out []string) {
	for _, v := range os.Environ() {
		if strings.HasPrefix(v, "GO") || strings.HasPrefix(v, "QUOIT") {
			out = append(out, v)
		}
	}
	slices.Sort(out)
	return out
}
`,
	"main_test.go": `package main

import (
	"os"
	"os/exec"
	"testing"
)

func TestGo(t *testing.T) {
	dir := t.TempDir()
	os.WriteFile(dir+"/go.mod", []byte("module example.com/other\n"), 0o666)
	os.WriteFile(dir+"/main.go", []byte("package main\n\nfunc main() {}\n"), 0o666)
	cmd := exec.Command("go", "vet", ".")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
`,
}

// Programs and tests see the go command's variables as they would without quoit, and
// so does the go command that they run.
func TestBuildEnvironment(t *testing.T) {
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	proxied(t)
	dir, toolchain := t.TempDir(), filepath.Join(os.Getenv("GOMODCACHE"), "toolchain")
	if err := os.Symlink(strings.TrimSpace(string(goroot)), toolchain); err != nil {
		t.Fatal(err)
	}
	writeFiles(t, dir, environFiles)
	for _, env := range []string{"", "GOWORK=off", "GOROOT=" + toolchain} { // the last is a toolchain that was downloaded
		t.Run(env, func(t *testing.T) {
			if name, value, ok := strings.Cut(env, "="); ok {
				t.Setenv(name, value)
			}
			plain := exec.Command("go", "run", ".")
			plain.Dir = dir
			want, err := plain.Output()
			if err != nil {
				t.Fatal(err)
			}
			if stdout, stderr, code := tool(t, dir, "run", "."); code != 0 || stdout != string(want) {
				t.Errorf("quoit run: exit code %d, stdout %q, want %q\n%s", code, stdout, want, stderr)
			}
			if stdout, stderr, code := tool(t, dir, "test", "."); code != 0 {
				t.Errorf("quoit test: exit code %d\n%s%s", code, stdout, stderr)
			}
		})
	}
}

// A package may be named like a file, and a file's directory like a version.
func TestBuildLikeFile(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{
		"go.mod":            "module example.com/tool.go\n\ngo 1.20\n",
		"main.go":           toolFiles["main.go"],
		"main_test.go":      toolFiles["main_test.go"],
		"sub.go/package.go": toolFiles["main.go"],
		"me@home/main.go":   toolFiles["main.go"],
	})
	for _, name := range []string{"example.com/tool.go", "./sub.go", "sub.go/package.go", "me@home/main.go"} {
		if got := output(t, built(t, dir, name), nil); !strings.HasPrefix(got, wanted(t)+" ") {
			t.Errorf("%s says %q", name, got)
		}
	}
	stdout, stderr, code := tool(t, dir, "test", "-v", "example.com/tool.go")
	if code != 0 || !strings.Contains(stdout, "served by "+wanted(t)) {
		t.Errorf("tests: exit code %d\n%s%s", code, stdout, stderr)
	}
}

// A program that uses quoit itself gets what it asks each package for, and quoit's
// own use of package net is not taken over.
func TestBuildBoth(t *testing.T) {
	got := output(t, built(t, "../..", "./cmd/quoit/testdata/both"), nil)
	if wanted(t) == "net" {
		return
	}
	files := "FileConn: *quoit.Conn *net.TCPConn\n"
	want := ""
	for _, line := range []string{
		"quoit: *quoit.Listener *quoit.Conn *quoit.Conn",
		"net: *net.TCPListener *net.TCPConn *net.TCPConn",
		"mixed: *net.TCPListener *quoit.Conn *net.TCPConn",
		"NewListener: *quoit.Listener *net.TCPConn *quoit.Conn",
		"FileListener: *quoit.Listener *net.TCPConn *quoit.Conn",
		"another engine: *quoit.Listener *quoit.Conn *quoit.Conn",
		"steered: *quoit.Listener *net.TCPConn *quoit.Conn",
	} {
		want += line + "\n" + files + files
	}
	for _, call := range []string{"Listen", "FileListener", "Dial"} {
		want += call + " closed: true true\n"
	}
	sameLines(t, got, want)
}

// The example of the README, which knows nothing of quoit, serves.
func TestBuildPlainHTTP(t *testing.T) {
	program := built(t, "../..", "./examples/plainhttp")
	cmd := exec.Command(program, "-addr=127.0.0.1:0")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	line, err := bufio.NewReader(stderr).ReadString('\n')
	_, url, ok := strings.Cut(strings.TrimSpace(line), "listening on ")
	if err != nil || !ok {
		t.Fatalf("the server says %q, %v", line, err)
	}
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	res.Body.Close()
	if err != nil || string(body) != "Hello from a *net.TCPConn\n" {
		t.Errorf("%s, %q, %v", res.Status, body, err)
	}
	rings, err := filepath.Glob("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	by := "net"
	for _, fd := range rings {
		if to, err := os.Readlink(fd); err == nil && to == "anon_inode:[io_uring]" {
			by = "quoit"
		}
	}
	if want := wanted(t); by != want {
		t.Errorf("served by %s, not %s", by, want)
	}
	cmd.Process.Signal(os.Interrupt)
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	http.DefaultClient.CloseIdleConnections()
}
