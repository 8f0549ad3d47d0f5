//go:build linux && !race

package ring

// ownerCheck is nothing outside of race builds.
type ownerCheck struct{}

func (*ownerCheck) use() {}

func (*ownerCheck) notVisiting(*Ring, string) {}

func (*SQE) clear() {}

func (q *submissionQueue) filled() {}

func (*SQE) modify(string, opSet) {}
