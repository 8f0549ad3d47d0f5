//go:build linux

package engine

import (
	"runtime"
	"testing"
)

// FuzzSim runs schedules that no TestSim has, which begins with the same seeds each
// time: completions in any order, late, cut short and failing. Its corpus is for seeds
// that found something.
func FuzzSim(f *testing.F) {
	for seed := range uint64(4) {
		f.Add(seed)
	}
	bubbled := inBubble
	inBubble = func() bool { return false }
	procs := runtime.GOMAXPROCS(0)
	f.Cleanup(func() {
		inBubble = bubbled
		runtime.GOMAXPROCS(procs)
	})
	f.Fuzz(func(t *testing.T, seed uint64) {
		runtime.GOMAXPROCS([]int{2, 1, 4, 1}[seed%4])
		simulate(t, seed, map[string]int{})
	})
}
