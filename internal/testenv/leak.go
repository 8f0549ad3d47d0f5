// Package testenv is what the tests of several packages have in common. It
// imports none of them, so that all of them can import it.
package testenv

import (
	"bytes"
	"flag"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Main calls run, which is a testing.M's Run or does more, and returns its code,
// or 1 if it left descriptors or goroutines behind. Goroutines whose stack has one
// of lasting, functions of other modules, are there for the life of a process.
func Main(run func() int, lasting ...string) int {
	startNetpoller()
	before := openFiles()
	code := run()
	if code == 0 && !fuzzing() {
		if report := leaks(before, lasting); report != "" {
			fmt.Fprintln(os.Stderr, report)
			code = 1
		}
	}
	return code
}

// fuzzing reports whether package testing fuzzes, which leaves files of its own open.
func fuzzing() bool {
	f := flag.Lookup("test.fuzz")
	return f != nil && f.Value.String() != ""
}

// startNetpoller makes the runtime open what it keeps open for good.
func startNetpoller() {
	if ln, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		ln.Close()
	}
}

// leaks waits until everything is gone and says what stays.
func leaks(before map[string]int, lasting []string) string {
	var report string
	for end := time.Now().Add(Bound); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		runtime.GC() // net keeps splice's pipes until collected
		report = leakedFiles(before) + leakedGoroutines(lasting)
		if report == "" {
			break
		}
	}
	return report
}

// FDs returns what the process's descriptors refer to. It is empty where there
// is no /proc.
func FDs() (out []string) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil
	}
	for _, e := range entries {
		if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil {
			out = append(out, target) // and not the directory's own, which is closed
		}
	}
	return out
}

// openFiles counts the process's descriptors by what they refer to, without
// the inode numbers.
func openFiles() map[string]int {
	files := map[string]int{}
	for _, target := range FDs() {
		kind, _, _ := strings.Cut(target, ":[")
		files[kind]++
	}
	return files
}

func leakedFiles(before map[string]int) string {
	var out strings.Builder
	for kind, n := range openFiles() {
		if n > before[kind] {
			fmt.Fprintf(&out, "leaked descriptors: %d of %s, %d at the start\n", n, kind, before[kind])
		}
	}
	return out.String()
}

// leakedGoroutines returns the stacks of all goroutines but the caller's, those
// that the testing package and os/signal keep, and lasting ones.
func leakedGoroutines(lasting []string) string {
	lasting = append([]string{"os/signal.", "created by testing."}, lasting...)
	var out strings.Builder
	for i, g := range bytes.Split(Stacks(), []byte("\n\n")) {
		if i == 0 || slices.ContainsFunc(lasting, func(f string) bool { return bytes.Contains(g, []byte(f)) }) {
			continue
		}
		fmt.Fprintf(&out, "leaked goroutine: %s\n", g)
	}
	return out.String()
}
