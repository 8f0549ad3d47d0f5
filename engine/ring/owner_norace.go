//go:build linux && !race

package ring

// raceBuild has the checks for misuse compiled in.
const raceBuild = false

// ownerCheck is nothing outside of race builds.
type ownerCheck struct{}

func (*ownerCheck) use() {}
