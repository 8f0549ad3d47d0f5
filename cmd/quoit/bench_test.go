package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestBenchOutsideCheckout(t *testing.T) {
	var stdout, stderr strings.Builder
	if code := bench(t.TempDir(), nil, &stdout, &stderr); code != exitUnusable {
		t.Errorf("exit code %d", code)
	}
	want := "git clone"
	if runtime.GOOS != "linux" {
		want = "Linux only"
	}
	if !strings.Contains(stderr.String(), want) {
		t.Errorf("%q, want %q in it", &stderr, want)
	}
}

func TestFindBench(t *testing.T) {
	got, err := findBench(".")
	if err != nil {
		t.Fatal(err)
	}
	if want, _ := filepath.Abs("../../bench"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	// Another module around is no checkout of ours, and ours may lack bench.
	dir := t.TempDir()
	for _, mod := range []string{"module example.com/x\n", "module " + modulePath + "\n"} {
		if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(mod), 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := findBench(dir); err == nil {
			t.Errorf("with %q: got %s", mod, got)
		}
	}
}

func TestBenchPassesArgumentsAndExitCode(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("bench runs on Linux only")
	}
	var stdout, stderr strings.Builder
	if code := bench(".", []string{"-run", "^nothing$"}, &stdout, &stderr); code != exitUsage {
		t.Errorf("exit code %d\n%s", code, &stderr)
	}
	if !strings.Contains(stderr.String(), "no workload matches") {
		t.Errorf("stderr %q", &stderr)
	}
}
