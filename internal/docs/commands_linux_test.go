//go:build linux

package docs

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/quoit-go/quoit"
	"github.com/quoit-go/quoit/debug"
)

// A rule is how the commands are tested that match as a whole.
type rule struct {
	match string
	check func(*testing.T, *world, string)
	why   string // there is no check
}

// rules has the first that matches for each command.
var rules = []rule{
	{`go (get|install) \S+`, checkPackage, ""}, // from where modules are published
	{`go run ./cmd/quoit build -o /tmp/plainhttp ./examples/plainhttp`, checkBuildExample, ""},
	{`go run ./cmd/quoit bench.*`, checkBench, ""},
	{`go run ./examples/\w+`, checkExample, ""},
	{`quoit build -o server \S+`, checkBuild, ""},
	{`quoit doctor(; echo \$\?)?`, checkDoctor, ""},
	{`quoit top localhost:8080`, checkTop, ""},
	{`QUOIT\w*=\w+ ./server`, checkServer, ""},
	{`(QUOIT_\w+=\w+ )?go test .*`, checkGoTest, ""},
	{`go tool pprof .*`, checkPprof, ""},
	{`make .*`, checkMake, ""},
	{`jq .*`, nil, "a test of cmd/quoit/internal/doctor runs it, where there is a jq"},
	{`(docker|podman) .*`, nil, "it takes a daemon, images and more rights than tests have"},
}

// Commands on the pages run as printed, or their flags are known to the program.
func TestCommands(t *testing.T) {
	if testing.Short() {
		t.Skip("builds programs")
	}
	w := newWorld(t)
	used := make([]bool, len(rules))
	seen := map[string]bool{}
	for name, page := range pages(t) {
		for _, block := range blocks(page, "sh") {
			for line := range strings.Lines(block) {
				cmd := withoutComment(line)
				if cmd == "" {
					continue
				}
				i := ruleFor(cmd)
				if i < 0 {
					t.Errorf("%s: nothing tests %s", name, cmd)
					continue
				}
				used[i] = true
				if rules[i].check != nil && !seen[cmd] {
					seen[cmd] = true
					t.Run(cmd, func(t *testing.T) { rules[i].check(t, w, cmd) })
				}
			}
		}
	}
	for i, r := range rules {
		if !used[i] {
			t.Errorf("no page has %s", r.match)
		}
	}
}

func ruleFor(cmd string) int {
	for i, r := range rules {
		if regexp.MustCompile(`^` + r.match + `$`).MatchString(cmd) {
			return i
		}
	}
	return -1
}

// withoutComment returns a line of a shell without what follows a # that is not
// quoted.
func withoutComment(line string) string {
	quote := rune(0)
	for i, c := range line {
		switch {
		case c == quote:
			quote = 0
		case quote == 0 && (c == '\'' || c == '"'):
			quote = c
		case quote == 0 && c == '#' && (i == 0 || line[i-1] == ' '):
			return strings.TrimSpace(line[:i])
		}
	}
	return strings.TrimSpace(line)
}

// world is what the commands find.
type world struct {
	root string // of the repository
	dir  string // has bin, where quoit is, and the program server
	ring bool   // io_uring serves the commands
	prof func(*testing.T)
}

func newWorld(t *testing.T) *world {
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{root: root, dir: t.TempDir()}
	w.sh(t, root, "go build -o "+w.dir+"/bin/quoit ./cmd/quoit")
	w.sh(t, root, "go build -o "+w.dir+"/server ./internal/docs/testdata/server")
	out, _ := w.sh(t, w.dir, "./server")
	w.ring = strings.HasPrefix(out, "io_uring ")
	var once sync.Once
	w.prof = func(t *testing.T) { once.Do(func() { writeProfiles(t, w.dir) }) }
	return w
}

// sh runs a command in dir, and returns its output and its exit status, which has
// to be one of ok, or 0.
func (w *world) sh(t *testing.T, dir, command string, ok ...int) (stdout, stderr string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
	cmd.Dir = dir
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "QUOIT") })
	cmd.Env = append(cmd.Env, "PATH="+w.dir+"/bin:"+os.Getenv("PATH"), "QUOIT_MODULE="+w.root)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if ee, is := errors.AsType[*exec.ExitError](err); is {
		for _, code := range ok {
			if ee.ExitCode() == code {
				err = nil
			}
		}
	}
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", command, err, &out, &errs)
	}
	return out.String(), errs.String()
}

func checkPackage(t *testing.T, w *world, cmd string) {
	_, pkg, _ := strings.Cut(strings.TrimPrefix(cmd, "go "), " ")
	pkg, _, _ = strings.Cut(pkg, "@")
	w.sh(t, w.root, "go list "+pkg)
}

func checkBuildExample(t *testing.T, w *world, cmd string) {
	out := filepath.Join(t.TempDir(), "plainhttp")
	w.sh(t, w.root, strings.Replace(cmd, "/tmp/plainhttp", out, 1))
	w.sh(t, w.root, out+" -help")
}

// checkBuild runs quoit build in a module that knows nothing of quoit.
func checkBuild(t *testing.T, w *world, cmd string) {
	dir, program := t.TempDir(), read(t, "examples/plainhttp/main.go")
	for name, text := range map[string]string{"go.mod": "module example.com/server\n\ngo 1.26\n", "main.go": program, "cmd/server/main.go": program} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	w.sh(t, dir, cmd)
	w.sh(t, dir, "./server -help")
}

// checkBench has the command list what it would run: it reads all its flags for that.
func checkBench(t *testing.T, w *world, cmd string) {
	if _, err := os.Stat(w.dir + "/bin/quoit-bench"); err != nil {
		w.sh(t, w.root, "go build -C bench -o "+w.dir+"/bin/quoit-bench .")
	}
	out, _ := w.sh(t, w.root, strings.Replace(cmd, "go run ./cmd/quoit", "quoit", 1)+" -list")
	if !strings.Contains(out, "/") {
		t.Errorf("it lists %q", out)
	}
}

// checkExample asks for its flags: the example's own tests run it.
func checkExample(t *testing.T, w *world, cmd string) {
	if _, usage := w.sh(t, w.root, cmd+" -help"); !strings.Contains(strings.ToLower(usage), "usage of") {
		t.Errorf("it says %q", usage)
	}
}

func checkDoctor(t *testing.T, w *world, cmd string) {
	out, _ := w.sh(t, w.dir, cmd, 1)
	if !strings.Contains(out, "io_uring") {
		t.Errorf("it says %q", out)
	}
}

func checkTop(t *testing.T, w *world, cmd string) {
	mux := http.NewServeMux()
	mux.Handle("/debug/quoit", debug.Handler(nil))
	srv := httptest.NewServer(mux)
	defer srv.Close()
	out, _ := w.sh(t, w.dir, strings.Replace(cmd, "localhost:8080", srv.Listener.Addr().String(), 1))
	if !strings.HasPrefix(out, "quoit: docs.test ") {
		t.Errorf("it says %q", out)
	}
}

// checkServer looks at what the environment makes of a program.
func checkServer(t *testing.T, w *world, cmd string) {
	out, errs := w.sh(t, w.dir, cmd)
	env, _, _ := strings.Cut(cmd, " ")
	want := map[string]string{
		"QUOIT=off": "net ", "QUOIT=poll": "gear=poll", "QUOIT=ring": "gear=ring", "QUOIT_RINGS=2": "rings=2", "QUOIT_DEBUG=1": "",
	}
	says, ok := want[env]
	if !w.ring {
		says = "net "
	}
	if !ok || !strings.Contains(out, says) {
		t.Errorf("it says %q, want %q", out, says)
	}
	if env == "QUOIT_DEBUG=1" != strings.Contains(errs, "quoit: ") {
		t.Errorf("it logs %q", errs)
	}
}

// checkGoTest looks for tests of the name, or benchmarks: they take long.
func checkGoTest(t *testing.T, w *world, cmd string) {
	fields := strings.Fields(cmd)
	pkg, kind, pattern := fields[len(fields)-1], "Test", ""
	for i, flag := range fields[:len(fields)-1] {
		switch arg := strings.Trim(fields[i+1], "'"); {
		case flag == "-bench":
			kind, pattern = "Benchmark", arg
		case flag == "-run" && kind == "Test":
			pattern = arg
		}
	}
	w.sh(t, w.root, "go list "+pkg)
	files, err := filepath.Glob(filepath.Join(pkg, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for part := range strings.SplitSeq(pattern, "|") {
		found := false
		for _, file := range files {
			for _, m := range regexp.MustCompile(`(?m)^func (`+kind+`\w+)\(`).FindAllStringSubmatch(read(t, file), -1) {
				found = found || regexp.MustCompile(part).MatchString(m[1])
			}
		}
		if !found {
			t.Errorf("%s has no %s of the name %q", pkg, kind, part)
		}
	}
}

// checkPprof looks at profiles of a conn in gear ring.
func checkPprof(t *testing.T, w *world, cmd string) {
	w.prof(t)
	out, _ := w.sh(t, w.dir, cmd)
	if strings.Contains(cmd, "-ignore") {
		if strings.Contains(out, "(*half).sleep") {
			t.Errorf("it shows what it was to leave out:\n%s", out)
		}
		all, _ := w.sh(t, w.dir, "go tool pprof -top block.pprof")
		if quoit.Default().Stats().Transport == "io_uring" && !strings.Contains(all, "(*half).sleep") {
			t.Errorf("nothing is left out of\n%s", all)
		}
	}
}

// writeProfiles has the block and the CPU profile of some traffic in dir.
func writeProfiles(t *testing.T, dir string) {
	runtime.SetBlockProfileRate(1)
	defer runtime.SetBlockProfileRate(0)
	cpu, err := os.Create(filepath.Join(dir, "cpu.pprof"))
	if err != nil {
		t.Fatal(err)
	}
	defer cpu.Close()
	if err := pprof.StartCPUProfile(cpu); err != nil {
		t.Fatal(err)
	}
	defer pprof.StopCPUProfile()
	e, err := quoit.New(&quoit.Config{Gear: quoit.GearRing})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	ln, err := e.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer server.Close()
		_, _ = io.Copy(struct{ io.Writer }{server}, struct{ io.Reader }{server})
	}()
	for b := make([]byte, 64); len(b) > 0; b = b[1:] {
		if _, err := client.Write(b); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(client, b); err != nil {
			t.Fatal(err)
		}
	}
	block, err := os.Create(filepath.Join(dir, "block.pprof"))
	if err != nil {
		t.Fatal(err)
	}
	defer block.Close()
	if err := pprof.Lookup("block").WriteTo(block, 0); err != nil {
		t.Fatal(err)
	}
}

// checkMake asks make what it would do.
func checkMake(t *testing.T, w *world, cmd string) {
	w.sh(t, w.root, strings.Replace(cmd, "make ", "make -n ", 1))
}
