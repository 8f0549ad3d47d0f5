//go:build linux && !race

package ring

const raceEnabled = false
