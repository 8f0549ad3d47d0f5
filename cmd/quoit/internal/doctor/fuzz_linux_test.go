//go:build linux

package doctor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzProc wants the readers of /proc to take whatever stands there, for the kernel's
// format changes and a container's /proc may be anybody's.
func FuzzProc(f *testing.F) {
	for _, name := range []string{"/proc/self/status", "/proc/self/limits"} {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Skip(err)
		}
		f.Add(string(b))
	}
	f.Add("SqMask:\t0x3ff\nCqMask: 8191\nVmLck:\t 12 kB\n")
	f.Add("SqMask: 0xffffffff\nVmLck: 99999999999999999999 kB\nName:\x1b[2J")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		for _, key := range []string{"Name:", "Uid:", ""} {
			if v := field(text, key); strings.ContainsAny(v, "\n\t") || strings.Contains(v, "  ") {
				t.Errorf("field %q is %q", key, v)
			}
		}
		if n := kilobytes(field(text, "VmLck:")); n < 0 {
			t.Errorf("%d bytes locked", n)
		}
		if n := entries(text, "SqMask:"); n < 0 || n > 1<<30 {
			t.Errorf("%d entries", n)
		}
		name := filepath.Join(dir, "setting")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if n := number(name); n < unknown && n != unlimited {
			t.Errorf("a limit of %d", n)
		}
	})
}
