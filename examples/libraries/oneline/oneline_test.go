// Package oneline tests the table in README.md that says of other projects'
// libraries how they come to use quoit: each line is in one of the functions here,
// which serves or asks once with it.
package oneline

import (
	"context"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
	"github.com/quoit-go/quoit/internal/testenv/webtest"
)

func TestMain(m *testing.M) {
	os.Exit(enginetest.Main(m,
		"fasthttp.updateServerDate",
		"fasthttp.(*workerPool).Start", // ends ten seconds later
		"fiber/v3.glob..func",          // the clock of its package
	))
}

// httpServers serve "hello" on ln until it is closed, or ctx has ended.
var httpServers = map[string]func(ctx context.Context, ln net.Listener) error{
	"net/http": serveNetHTTP,
	"chi":      serveChi,
	"gin":      serveGin,
	"echo":     serveEcho,
	"fiber":    serveFiber,
	"fasthttp": serveFasthttp,
}

// others are what has no HTTP server of its own.
var others = map[string]func(t *testing.T){
	"grpc-go":      testGRPC,
	"connect-go":   testConnect,
	"mochi-mqtt":   testMQTT,
	"miekg/dns":    testDNS,
	"x/crypto/ssh": testSSH,
	"go-redis":     testRedis,
	"pgx":          testPgx,
	"nats.go":      testNATS,
}

func TestOneLine(t *testing.T) {
	for name, serve := range httpServers {
		t.Run(name, func(t *testing.T) {
			enginetest.Counts(t, 1, 0)
			ln := listen(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			served := testenv.Go(func() error { return serve(ctx, ln) })
			client, tr := webtest.Client(t, testenv.Net, nil)
			if got, err := webtest.Get(client, "http://"+ln.Addr().String()+"/"); err != nil || got != "hello" {
				t.Errorf("got %q, %v", got, err)
			}
			tr.CloseIdleConnections()
			cancel()
			ln.Close()
			testenv.Recv(t, served, "the server's end")
		})
	}
	for name, test := range others {
		t.Run(name, test)
	}
}

// listen listens on loopback until the test ends.
func listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := enginetest.Quoit.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

// elsewhere are lines that a module of their own tests.
var elsewhere = map[string]bool{"Caddy": true}

// The README's table has these lines, as they are in the code, and no others.
func TestReadme(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(b), "\n| with | |\n|---|---|\n")
	if !ok {
		t.Fatal("README.md has no table of libraries")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	bodies, missing := functions(t), map[string]string{}
	for name, f := range httpServers {
		missing[name] = bodies[nameOf(f)]
	}
	for name, f := range others {
		missing[name] = bodies[nameOf(f)]
	}
	for row := range strings.SplitSeq(table, "\n") {
		cells := strings.Split(strings.Trim(row, "| "), " | ")
		if len(cells) != 2 {
			t.Fatalf("a row of %d cells: %s", len(cells), row)
		}
		if elsewhere[cells[0]] {
			continue
		}
		body, ok := missing[cells[0]]
		if !ok {
			t.Errorf("%s has no test, or two rows", cells[0])
		}
		delete(missing, cells[0])
		codes := regexp.MustCompile("`[^`]+`").FindAllString(cells[1], -1)
		if len(codes) == 0 {
			t.Errorf("%s has no code", cells[0])
		}
		for _, code := range codes {
			if code = strings.Trim(code, "`"); !strings.Contains(body, code) {
				t.Errorf("%s: the test has no %s:\n%s", cells[0], code, body)
			}
		}
	}
	for name := range missing {
		t.Errorf("%s has no row in README.md", name)
	}
}

// nameOf returns the name of a function of this package.
func nameOf(f any) string {
	name := runtime.FuncForPC(reflect.ValueOf(f).Pointer()).Name()
	return name[strings.LastIndexByte(name, '.')+1:]
}

// functions returns the package's functions as gofmt writes them, by name.
func functions(t *testing.T) map[string]string {
	t.Helper()
	names, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, name := range names {
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok {
				var b strings.Builder
				if err := printer.Fprint(&b, fset, fn); err != nil {
					t.Fatal(err)
				}
				out[fn.Name.Name] = b.String()
			}
		}
	}
	return out
}
