package overlay

import (
	"bytes"
	"errors"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// goroot is where the go command is that runs the tests.
func goroot(t testing.TB) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// netSources are the files of this toolchain's package net for Linux, by their
// base names.
func netSources(t testing.TB) map[string][]byte {
	t.Helper()
	sources, err := read(filepath.Join(goroot(t), "src", "net"), "amd64")
	if err != nil {
		t.Skipf("no sources of package net: %v", err)
	}
	return sources
}

// Every line of the original is where it was, but longer.
func TestRewriteKeepsLines(t *testing.T) {
	sources := netSources(t)
	changed, err := rewrite("go", sources)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range changed {
		if name == addedName {
			continue
		}
		was, is := bytes.Split(sources[name], []byte("\n")), bytes.Split(text, []byte("\n"))
		if len(was) != len(is) {
			t.Errorf("%s has %d lines, and had %d", name, len(is), len(was))
			continue
		}
		longer := 0
		for i := range was {
			if bytes.Equal(was[i], is[i]) {
				continue
			}
			if longer++; len(is[i]) <= len(was[i]) {
				t.Errorf("%s:%d: %q was %q", name, i+1, is[i], was[i])
			}
		}
		if longer == 0 {
			t.Errorf("%s has not changed", name)
		}
	}
}

// Each hook is somewhere.
func TestHooksAreInserted(t *testing.T) {
	changed, err := rewrite("go", netSources(t))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for name, text := range changed {
		if name != addedName {
			n += strings.Count(string(text), "quoit") // each insertion has at least one
		}
	}
	if n < len(hooks)+len(fields) {
		t.Errorf("%d insertions for %d hooks and %d fields", n, len(hooks), len(fields))
	}
}

// What a later Go may do to package net is an error that names the declaration.
func TestShapes(t *testing.T) {
	sources := netSources(t)
	for _, tt := range []struct {
		name, file, from, to string
		decl                 string // "" if nothing is wrong with that
	}{
		{"as it is", "net.go", "", "", ""},
		{"other parameter names", "net.go", "func (c *conn) Read(b []byte) (int, error) {\n\tif !c.ok() {", "func (xx *conn) Read(yy []byte) (int, error) {\n\tc, b := xx, yy\n\tif !c.ok() {", "(*conn).Read"},
		{"renamed method", "net.go", "func (c *conn) Read(b", "func (c *conn) ReadX(b", "(*conn).Read"},
		{"other signature", "tcpsock.go", "SetLinger(sec int) error", "SetLinger(sec int64) error", "(*TCPConn).SetLinger"},
		{"other result", "tcpsock.go", "SetLinger(sec int) error", "SetLinger(sec int) (n int, err error)", "(*TCPConn).SetLinger"},
		{"other receiver", "tcpsock.go", "func (c *TCPConn) WriteTo(", "func (c TCPConn) WriteTo(", "(*TCPConn).WriteTo"},
		{"declared twice", "net.go", "type conn struct", "func (c *conn) Read(b []byte) (int, error) { return 0, nil }\ntype conn struct", "(*conn).Read"},
		{"other guard", "net.go", "Write(b []byte) (int, error) {\n\tif !c.ok() {", "Write(b []byte) (int, error) {\n\tif c == nil {", "(*conn).Write"},
		{"no guard", "net.go", "Close() error {\n\tif !c.ok() {\n\t\treturn syscall.EINVAL\n\t}\n\terr := c.fd.Close()", "Close() error {\n\terr := c.fd.Close()", "(*conn).Close"},
		{"other end", "tcpsock_posix.go", "return &TCPListener{fd: fd, lc: sl.ListenConfig}, nil", "panic(fd)", "(*sysListener).listenTCPProto"},
		{"results have values", "file.go", "Err: err}\n\t}\n\treturn\n}", "Err: err}\n\t}\n\treturn c, err\n}", "FileConn"},
		{"unnamed parameter", "unixsock.go", "SetDeadline(t time.Time) error", "SetDeadline(_ time.Time) error", "(*UnixListener).SetDeadline"},
		{"field is gone", "fd_posix.go", "type netFD struct", "type otherFD struct", "netFD"},
		{"field changed", "fd_posix.go", "sotype      int", "sotype      uint8", "netFD"},
		{"helper changed", "net.go", "func genericWriteTo(c *TCPConn, w io.Writer)", "func genericWriteTo(w io.Writer, c *TCPConn)", "genericWriteTo"},
		{"no syntax", "net.go", "package net", "package package", "net.go"},
		{"added name is taken", addedName, "", "package net", addedName},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mutated := map[string][]byte{}
			for name, text := range sources {
				mutated[name] = text
			}
			if tt.to != "" {
				text := string(sources[tt.file])
				if !strings.Contains(text, tt.from) {
					t.Skipf("this Go's %s has no %q", tt.file, tt.from)
				}
				mutated[tt.file] = []byte(strings.Replace(text, tt.from, tt.to, 1))
			}
			_, err := rewrite("go1.99", mutated)
			if tt.decl == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			se, ok := errors.AsType[*ShapeError](err)
			if !ok {
				t.Fatalf("error %v is no ShapeError", err)
			}
			if se.Name != tt.decl || se.Go != "go1.99" || !strings.Contains(se.Error(), tt.decl) {
				t.Errorf("error %q, want one about %s", se, tt.decl)
			}
		})
	}
}

// The insertion has the names that the function has.
func TestOtherNames(t *testing.T) {
	sources := netSources(t)
	from := []byte("func (l *TCPListener) SetDeadline(t time.Time) error {\n\tif !l.ok() {\n\t\treturn syscall.EINVAL\n\t}\n\treturn l.fd.SetDeadline(t)")
	to := []byte("func (it *TCPListener) SetDeadline(when time.Time) error {\n\tif !it.ok() {\n\t\treturn syscall.EINVAL\n\t}\n\treturn it.fd.SetDeadline(when)")
	if !bytes.Contains(sources["tcpsock.go"], from) {
		t.Skip("this Go's (*TCPListener).SetDeadline is another")
	}
	sources["tcpsock.go"] = bytes.Replace(sources["tcpsock.go"], from, to, 1)
	changed, err := rewrite("go", sources)
	if err != nil {
		t.Fatal(err)
	}
	if want := "if q := it.quoit; q != nil { return q.SetDeadline(when) }"; !bytes.Contains(changed["tcpsock.go"], []byte(want)) {
		t.Errorf("there is no %s", want)
	}
}

func TestNet(t *testing.T) {
	netSources(t)
	root := goroot(t)
	files, err := Net(root, runtime.Version(), "arm64")
	if err != nil {
		t.Fatal(err)
	}
	for name := range files {
		if filepath.Dir(name) != filepath.Join(root, "src", "net") {
			t.Errorf("%s is not in package net", name)
		}
	}
	if _, err := Net(t.TempDir(), "go", "amd64"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v of a GOROOT without sources", err)
	}
}

// FuzzRewrite cuts, doubles and replaces parts of package net: that gives an error,
// or files that Go can parse.
func FuzzRewrite(f *testing.F) {
	all := netSources(f)
	changed, err := rewrite("go", all)
	if err != nil {
		f.Fatal(err)
	}
	delete(changed, addedName)
	names := slices.Sorted(maps.Keys(changed))
	sources := map[string][]byte{} // without what is only read
	for name, b := range all {
		if changed[name] != nil || bytes.Contains(b, []byte("func wrapSyscallError(")) {
			sources[name] = b
		}
	}
	f.Add(uint8(0), uint32(100), uint32(50), "")
	f.Add(uint8(1), uint32(5000), uint32(0), "func (c *TCPConn) SetLinger(int) error { return nil }\n")
	f.Add(uint8(4), uint32(300), uint32(8), "}\n//line x:1\n")
	f.Fuzz(func(t *testing.T, which uint8, at, length uint32, text string) {
		name := names[int(which)%len(names)]
		mutated := map[string][]byte{}
		for n, b := range sources {
			mutated[n] = b
		}
		b := sources[name]
		from := int(at) % len(b)
		to := from + int(length)%(len(b)-from+1)
		mutated[name] = bytes.Join([][]byte{b[:from], []byte(text), b[to:]}, nil)
		changed, err := rewrite("go", mutated)
		if err != nil {
			if _, ok := errors.AsType[*ShapeError](err); !ok {
				t.Fatalf("error %v is no ShapeError", err)
			}
			return
		}
		for n, b := range changed {
			if _, err := parser.ParseFile(token.NewFileSet(), n, b, 0); err != nil {
				t.Fatal(err)
			}
		}
	})
}
