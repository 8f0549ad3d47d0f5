//go:build linux && race

package ring

import (
	"os"
	"strings"
	"testing"
	"unsafe"

	"github.com/quoit-go/quoit/internal/testenv"
)

// misaligned gets at memory as no code of this package may.
func misaligned(b []byte) **byte { return (**byte)(unsafe.Pointer(&b[1])) }

// The race detector comes with checks of what unsafe does, in this package, too: a
// build that had lost them would pass all the tests.
func TestCheckptr(t *testing.T) {
	const env = "QUOIT_TEST_CHECKPTR"
	if os.Getenv(env) != "" {
		println("came to", misaligned(make([]byte, 16)))
		return
	}
	cmd, stderr := testenv.Command(t, env+"=1")
	cmd.Args = append(cmd.Args, "-test.run=^TestCheckptr$")
	if err := cmd.Run(); err == nil || !strings.Contains(stderr.String(), "checkptr: ") || strings.Contains(stderr.String(), "came to") {
		t.Errorf("%v\n%s", err, stderr)
	}
}
