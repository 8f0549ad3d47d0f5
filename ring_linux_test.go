//go:build linux

package quoit

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/quoit-go/quoit/engine"
)

// Where a ring's thread panicked is in the log: nobody else has its stack.
func TestDiedLogsStack(t *testing.T) {
	var out bytes.Buffer
	r := newRing(engine.Options{}, slog.New(slog.NewTextHandler(&out, nil)), nil)
	r.cfg.Died(&engine.PanicError{Value: "why", Stack: []byte("loop.go:132")})
	for _, want := range []string{"why", "loop.go:132"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %s in %s", want, out.String())
		}
	}
}
