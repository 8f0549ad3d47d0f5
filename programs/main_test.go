//go:build linux

package programs

import (
	"flag"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/quoit-go/quoit"
	"github.com/quoit-go/quoit/internal/testenv"
)

var (
	all    = flag.Bool("all", false, "take all programs, not only the quick ones")
	update = flag.Bool("update", false, "write the results to docs/compatibility.md")
)

func TestMain(m *testing.M) {
	flag.Parse()
	code := testenv.Main(m.Run)
	if toolDir != "" {
		os.RemoveAll(toolDir)
	}
	os.Exit(code)
}

// rings reports whether io_uring has to serve the programs.
func rings(t *testing.T) bool {
	t.Helper()
	s := quoit.Probe()
	if !s.IOUring && os.Getenv("QUOIT_TEST_REQUIRE") == "1" {
		t.Fatalf("QUOIT_TEST_REQUIRE=1, and %v", s.Err)
	}
	return s.IOUring
}

var toolDir string

// tool is the program quoit, built once from this checkout.
var tool = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "quoit-programs")
	if err != nil {
		return "", err
	}
	toolDir = dir
	file := filepath.Join(dir, "quoit")
	_, err = command{dir: "..", bound: buildBound}.run("go", "build", "-o", file, "./cmd/quoit")
	return file, err
})

// kind is who builds a program, and what the environment has it run with.
type kind struct {
	name  string
	quoit bool // built by quoit
	env   []string
	says  string // part of what a program built by quoit says on standard error
}

var (
	plain = kind{name: "plain"}
	ours  = kind{name: "quoit", quoit: true, env: []string{"QUOIT_DEBUG=1"}, says: "io_uring serves"}
	off   = kind{name: "off", quoit: true, env: []string{"QUOIT_DEBUG=1", "QUOIT=off"}, says: "package net serves"}
)

// goTool is the command that is the go command for k.
func (k kind) goTool(t *testing.T) string {
	t.Helper()
	if !k.quoit {
		return "go"
	}
	file, err := tool()
	if err != nil {
		t.Fatal(err)
	}
	return file
}
