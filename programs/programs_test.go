//go:build linux

package programs

import (
	"testing"
	"time"

	"github.com/quoit-go/quoit/internal/testenv"
)

// A program is somebody else's, and what of it is tried.
type program struct {
	name    string
	modules []module          // the first is the program's own
	suites  []suite           // tests that it brings along
	mains   map[string]string // directories of main packages, by the names that trials have for them
	trials  []trial           // servers of it, with a client
	expect  time.Duration     // how long it takes on two processors with an empty build cache
	quick   bool              // tried without -all, too
}

func TestPrograms(t *testing.T) {
	for _, p := range programs {
		t.Run(p.name, func(t *testing.T) {
			if !p.quick && !*all {
				t.Skip("only with -all")
			}
			testenv.Watch(t, 2*p.expect+30*time.Minute)
			dir := p.checkout(t)
			for _, s := range p.suites {
				t.Run("suite/"+s.name(), func(t *testing.T) { s.try(t, &p, dir) })
			}
			if len(p.trials) == 0 {
				return
			}
			bins := map[bool]map[string]string{false: p.build(t, plain, dir), true: p.build(t, ours, dir)}
			for _, tr := range p.trials {
				t.Run("trial/"+tr.name, func(t *testing.T) { tr.try(t, &p, bins) })
			}
		})
	}
}
