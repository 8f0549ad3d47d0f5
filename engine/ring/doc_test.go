//go:build linux

package ring

import (
	"os"
	"regexp"
	"testing"
)

// opKernels reads the first kernel of each operation from its comment.
func opKernels(t *testing.T) map[Op]string {
	t.Helper()
	src, err := os.ReadFile("op.go")
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]string{}
	for _, m := range regexp.MustCompile(`// IORING_OP_(\w+), Linux (\d+\.\d+)`).FindAllStringSubmatch(string(src), -1) {
		byName[m[1]] = m[2]
	}
	kernels := map[Op]string{}
	for op, name := range opNames {
		if byName[name] == "" {
			t.Fatalf("%s has no first kernel", name)
		}
		kernels[Op(op)] = byName[name]
	}
	return kernels
}
