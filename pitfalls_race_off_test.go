//go:build linux && !race

package quoit_test

// pfRace says that the race detector is on.
const pfRace = false
