package quoit_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/quoit-go/quoit"
)

// TestMain fails if a test left descriptors or goroutines behind.
func TestMain(m *testing.M) {
	startNetpoller()
	before := openFiles()
	stop := quoit.StartFlipping()
	code := m.Run()
	stop()
	quoit.Default().Close()
	if code == 0 {
		if report := leaks(before); report != "" {
			fmt.Fprintln(os.Stderr, report)
			code = 1
		}
	}
	os.Exit(code)
}

// startNetpoller makes the runtime open what it keeps open for good.
func startNetpoller() {
	if ln, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		ln.Close()
	}
}

// leaks waits until everything is gone and says what stays.
func leaks(before map[string]int) string {
	var report string
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		runtime.GC() // net keeps splice's pipes until collected
		report = leakedFiles(before) + leakedGoroutines()
		if report == "" {
			break
		}
	}
	return report
}

// openFiles counts the process's descriptors by what they refer to, without
// the inode numbers. It is empty where there is no /proc.
func openFiles() map[string]int {
	files := map[string]int{}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return files
	}
	for _, e := range entries {
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err != nil {
			continue // the directory's own
		}
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

// leakedGoroutines returns the stacks of all goroutines but the caller's and
// those that the testing package and os/signal keep.
func leakedGoroutines() string {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	var out strings.Builder
	for i, g := range bytes.Split(buf, []byte("\n\n")) {
		if i == 0 || bytes.Contains(g, []byte("os/signal.")) || bytes.Contains(g, []byte("created by testing.")) {
			continue
		}
		fmt.Fprintf(&out, "leaked goroutine: %s\n", g)
	}
	return out.String()
}
