//go:build linux

package steering

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestMain fails if a test left descriptors or goroutines behind.
func TestMain(m *testing.M) {
	if ln, err := net.Listen("tcp", loopback); err == nil { // what the runtime keeps open for good
		ln.Close()
	}
	before := openFiles()
	code := m.Run()
	if code == 0 {
		var report string
		for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			if report = leaks(before); report == "" {
				break
			}
		}
		if report != "" {
			fmt.Fprintln(os.Stderr, report)
			code = 1
		}
	}
	os.Exit(code)
}

// openFiles counts descriptors by what they refer to.
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

func leaks(before map[string]int) string {
	var out strings.Builder
	for kind, n := range openFiles() {
		if n > before[kind] {
			fmt.Fprintf(&out, "leaked descriptors: %d of %s, %d at the start\n", n, kind, before[kind])
		}
	}
	buf := make([]byte, 1<<20)
	for i, g := range bytes.Split(buf[:runtime.Stack(buf, true)], []byte("\n\n")) {
		if i > 0 && !bytes.Contains(g, []byte("os/signal.")) && !bytes.Contains(g, []byte("created by testing.")) {
			fmt.Fprintf(&out, "leaked goroutine: %s\n", g)
		}
	}
	return out.String()
}
