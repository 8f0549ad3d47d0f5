//go:build linux && race

package ring

// raceBuild has the checks for misuse compiled in.
const raceBuild = true

// ownerCheck makes the race detector see every use of a Ring as a write, so it
// reports two goroutines that use one without handing it over, even if their
// calls do not overlap.
type ownerCheck struct{ uses uint64 }

func (o *ownerCheck) use() { o.uses++ }
