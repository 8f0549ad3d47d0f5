package gobuild

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		verb, args string
		pkgs       string
		flags      string // as go list gets them
		kept       string // what is passed on; "" if as it is
		tail       int    // of what is passed on
	}{
		{"build", "", ".", "", "", 0},
		{"build", "-o x ./a ./b", "./a ./b", "", "", 4},
		{"build", "-race -tags a,b -v ./...", "./...", "-tags=a,b -race=true", "", 5},
		{"build", "--tags=a -mod=readonly .", ".", "-tags=a", "--tags=a .", 2},
		{"build", "-race=false a.go b.go", "a.go b.go", "-race=false", "", 3},
		{"build", "-C dir -v .", ".", "", "-v .", 2},
		{"build", "-overlay o.json -v .", ".", "", "-v .", 2},
		{"build", "-v -- ./a", "./a", "", "", 3},
		{"build", "-- a.go b.go", "a.go b.go", "", "", 3},
		{"run", ". -race x", ".", "", "", 1},
		{"run", "-race . x -v", ".", "-race=true", "", 2},
		{"run", "a.go b.go c d.go", "a.go b.go", "", "", 2},
		{"run", "-exec time ./x -- y", "./x", "", "", 3},
		{"run", "-- ./x me@host y.go -v", "./x", "", "", 2},
		{"run", "-race -- a.go b.go -v c.go", "a.go b.go", "-race=true", "", 4},
		{"install", "-trimpath ./cmd/...", "./cmd/...", "", "", 2},
		{"test", "", ".", "", "", 0},
		{"test", "-run X ./a -v ./b", "./a", "", "", 4},
		{"test", "-run X -count=1 ./a ./b -args -x y", "./a ./b", "", "", 5},
		{"test", "-v -- ./a", ".", "", "", 1},
		{"test", "./a -- x", "./a", "", "", 1},
		{"test", "-test.run X ./a", "./a", "", "", 3},
		{"test", "-own ./a", ".", "", "", 1},
		{"test", "-own=1 ./a", "./a", "", "", 2},
		{"test", "-bench . ./a", "./a", "", "", 3},
		{"test", "./a -own x", "./a", "", "", 2},
		{"test", "-tags=a a_test.go", "a_test.go", "-tags=a", "", 2},
	} {
		t.Run(tt.verb+" "+tt.args, func(t *testing.T) {
			c, err := parse(tt.verb, strings.Fields(tt.args))
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(c.pkgs, " "); got != tt.pkgs {
				t.Errorf("packages %q, want %q", got, tt.pkgs)
			}
			if got := strings.Join(c.listFlags(), " "); got != tt.flags {
				t.Errorf("flags for go list %q, want %q", got, tt.flags)
			}
			kept := tt.kept
			if kept == "" {
				kept = tt.args
			}
			if got := strings.Join(c.args, " "); got != kept || c.tail != tt.tail {
				t.Errorf("arguments %q, %d of them before the program's, want %q and %d", got, c.tail, kept, tt.tail)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for _, args := range [][]string{
		{"build", "-fast"}, {"build", "-o"}, {"build", ".", "-v"}, {"build", ".", "--"},
		{"install", "-o", "x"}, {"run"}, {"run", "-v"}, {"run", "-run", "x", "."}, {"test", "-run"},
	} {
		_, err := parse(args[0], args[1:])
		if _, ok := errors.AsType[usageError](err); !ok {
			t.Errorf("%v: error %v, want a usageError", args, err)
		}
	}
}

func TestWithFile(t *testing.T) {
	c, err := parse("run", []string{"-exec", "a.go", "./x/a.go", "./x/b.go", "-v", "c.go"})
	if err != nil {
		t.Fatal(err)
	}
	got := c.withFile(&target{file: "f.go"})
	if want := []string{"-exec", "a.go", "./x/a.go", "./x/b.go", "x/f.go", "-v", "c.go"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestParseVendor(t *testing.T) {
	const text = `# example.com/a v1.0.0
## explicit; go 1.18
example.com/a
example.com/a/sub
# example.com/b v0.0.0-20200101000000-0123456789ab
## explicit
# example.com/c v1.2.0 => example.com/fork v1.3.0
## go 1.21.3
example.com/c
# example.com/d v1.0.0 => ../d
example.com/d
# example.com/d => ../d
# example.com/c v1.2.0 => example.com/fork v1.3.0
`
	want := []vendored{
		{moduleVersion{"example.com/a", "v1.0.0"}, "1.18", true},
		{moduleVersion{"example.com/b", "v0.0.0-20200101000000-0123456789ab"}, "", false},
		{moduleVersion{"example.com/c", "v1.2.0"}, "1.21.3", true},
		{moduleVersion{"example.com/d", "v1.0.0"}, "", true},
	}
	if got := parseVendor(text); !slices.Equal(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	if got := parseVendor("example.com/x\n## explicit\n#\n# x\n\n"); len(got) != 0 {
		t.Errorf("of nothing %+v", got)
	}
}

// The program keeps its Go version for GODEBUG, and its replacements.
func TestWorkspaceText(t *testing.T) {
	src := &source{dir: "/quoit", mod: &modFile{Go: "1.26.0"}}
	for _, tt := range []struct {
		name string
		w    workspace
		dirs []string
		want string
	}{
		{"no module", workspace{}, nil, "go 1.26.0\nuse \"/quoit\"\n"},
		{"no go line", workspace{}, []string{"/a"}, "go 1.26.0\ngodebug default=go1.20\nuse \"/a\"\nuse \"/quoit\"\n"},
		{"old", workspace{Go: "1.17"}, []string{"/a"}, "go 1.26.0\ngodebug default=go1.20\nuse \"/a\"\nuse \"/quoit\"\n"},
		{"patch", workspace{Go: "1.22.3"}, []string{"/a"}, "go 1.26.0\ngodebug default=go1.22\nuse \"/a\"\nuse \"/quoit\"\n"},
		{"old toolchain", workspace{Go: "1.22", Toolchain: "go1.24.1"}, []string{"/a"}, "go 1.26.0\ngodebug default=go1.22\nuse \"/a\"\nuse \"/quoit\"\n"},
		{"newer", workspace{Go: "1.27rc1"}, []string{"/a"}, "go 1.27rc1\ngodebug default=go1.27\nuse \"/a\"\nuse \"/quoit\"\n"},
		{
			"all", workspace{
				Go: "1.25", Toolchain: "go1.26.3",
				GoDebug: []struct{ Key, Value string }{{"panicnil", "1"}, {"default", "go1.21"}},
				Replace: []replacement{
					{moduleVersion{"x", "v1.0.0"}, moduleVersion{"/y y", ""}},
					{moduleVersion{"z", ""}, moduleVersion{"q", "v2.0.0"}},
				},
			},
			[]string{"/a", "/b c"},
			"go 1.26.0\ntoolchain go1.26.3\ngodebug panicnil=1\ngodebug default=go1.21\nuse \"/a\"\nuse \"/b c\"\nuse \"/quoit\"\n" +
				"replace \"x\" v1.0.0 => \"/y y\"\nreplace \"z\" => \"q\" v2.0.0\n",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := tt.w
			w.dirs, w.src, w.file = tt.dirs, src, filepath.Join(t.TempDir(), "go.work")
			if got := w.text(); got != tt.want {
				t.Errorf("go.work is\n%s\nwant\n%s", got, tt.want)
			}
			if err := w.write(); err != nil {
				t.Fatal(err)
			}
			// The go command takes it.
			if err := (gocmd{ctx: t.Context()}).json(new(workspace), "work", "edit", "-json", w.file); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSource(t *testing.T) {
	src, err := findSource(gocmd{ctx: t.Context()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(src.dir, "internal", "gobuild", "source.go")); err != nil {
		t.Error(err)
	}
	other := t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "go.mod"), []byte("module example.com/other\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{src.dir: "", other: "has module example.com/other", filepath.Join(other, "none"): "no such file"} {
		t.Setenv("QUOIT_MODULE", dir)
		got, err := findSource(gocmd{ctx: t.Context()})
		switch {
		case want == "" && (err != nil || got.dir != src.dir):
			t.Errorf("QUOIT_MODULE=%s: %v", dir, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("QUOIT_MODULE=%s: error %v, want %q in it", dir, err, want)
		}
	}
}

func TestEnvFlag(t *testing.T) {
	for _, tt := range []struct {
		flags string
		want  map[string]string
	}{
		{"-mod=mod --tags=a,b -race", map[string]string{"mod": "mod", "tags": "a,b", "race": "", "modfile": ""}},
		{`'-mod=mod' "--overlay=/tmp/o o.json"`, map[string]string{"mod": "mod", "overlay": "/tmp/o o.json"}},
		{"\t'-modfile=x \"y\".mod'\n-tags=a\r\n", map[string]string{"modfile": `x "y".mod`, "tags": "a"}},
		{`-overlay="/tmp/o.json" -tags='a`, map[string]string{"overlay": `"/tmp/o.json"`, "tags": "'a"}},
		{`'-race''-mod=mod'-tags=a`, map[string]string{"mod": "mod", "tags": "a"}},
		{`-tags=a '-mod=mod`, map[string]string{"tags": "a", "mod": ""}},
		{`-tags=a -tags=b ''`, map[string]string{"tags": "b"}},
	} {
		e := &goEnv{GOFLAGS: tt.flags}
		for name, want := range tt.want {
			if got := e.flag(name); got != want {
				t.Errorf("GOFLAGS=%s: %s is %q, want %q", tt.flags, name, got, want)
			}
		}
	}
}

func TestHasVersion(t *testing.T) {
	for arg, want := range map[string]bool{
		"example.com/x@v1": true, "example.com/nats.go@latest": true, "x/...@main": true,
		"example.com/x": false, ".": false, "./me@home": false, "../a@b/c": false, "/tmp/a@b": false, "a@b.go": false,
	} {
		if hasVersion(arg) != want {
			t.Errorf("%s: %t", arg, !want)
		}
	}
}

// Several builds at once may need a link, and find one that is of no use.
func TestOtherName(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	dir := t.TempDir()
	link, err := otherName(dir, "a/b@v1")
	if err != nil {
		t.Fatal(err)
	}
	if other, err := otherName(t.TempDir(), "a/b@v1"); err != nil || other == link {
		t.Errorf("another directory's is %s, too, %v", other, err)
	}
	for range 200 {
		if err := errors.Join(os.Remove(link), os.Symlink("nowhere", link)); err != nil {
			t.Fatal(err)
		}
		var builds sync.WaitGroup
		for range 4 {
			builds.Go(func() {
				got, err := otherName(dir, "a/b@v1")
				if to, rerr := os.Readlink(link); err != nil || got != link || to != dir {
					t.Errorf("%s, %v is to %q, %v; want %s to %s", got, err, to, rerr, link, dir)
				}
			})
		}
		builds.Wait()
	}
	if left, err := os.ReadDir(filepath.Dir(link)); err != nil || len(left) != 2 {
		t.Errorf("%v, %v; want two links", left, err)
	}
}
