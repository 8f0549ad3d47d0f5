package load

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/bench/internal/workload"
)

// flush asks a handler that computes for a time drawn by lot, evenly on a
// logarithmic scale, and takes down how long each of its Writes was on the way.
type flush struct {
	plain
	lot    *rand.Rand
	one    int // in so many requests computes
	ask    [workload.FlushBytes]byte
	answer [workload.FlushParts * workload.FlushBytes]byte
	got    int
	delays []time.Duration // of the Writes that the last feed completed
}

func newFlush(seed uint64, i, one int) *flush {
	return &flush{
		lot: rand.New(rand.NewPCG(seed, uint64(i))), one: one,
		delays: make([]time.Duration, 0, workload.FlushParts),
	}
}

func (f *flush) next() []byte {
	f.got = 0
	var d time.Duration
	if f.lot.IntN(f.one) == 0 {
		span := float64(workload.FlushMost) / float64(workload.FlushLeast)
		d = time.Duration(float64(workload.FlushLeast) * math.Pow(span, f.lot.Float64()))
	}
	workload.PutDuration(f.ask[:], d)
	return f.ask[:]
}

// feed counts Writes as units.
func (f *flush) feed(p []byte) (int, bool, error) {
	now := workload.Clock()
	f.delays = f.delays[:0]
	if len(p) > len(f.answer)-f.got {
		return 0, false, fmt.Errorf("%d bytes after the answer", len(p)-len(f.answer)+f.got)
	}
	before := f.got / workload.FlushBytes
	f.got += copy(f.answer[f.got:], p)
	for i := before; i < f.got/workload.FlushBytes; i++ {
		d := now - workload.Duration(f.answer[i*workload.FlushBytes:])
		if d < 0 || d > time.Hour {
			return 0, false, fmt.Errorf("a Write that was %v on the way", d)
		}
		f.delays = append(f.delays, d)
	}
	return len(f.delays), f.got == len(f.answer), nil
}

// promote lets the calling thread run before others, so that it does not add its
// own waiting for a processor to what it measures. It has to be locked to its
// goroutine until the function that is returned has been called. Without the
// right to it nothing changes.
func promote() func() {
	var before unix.SchedAttr
	attr, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		return func() {}
	}
	before = *attr
	attr.Policy, attr.Priority, attr.Nice = unix.SCHED_FIFO, 1, 0
	if unix.SchedSetAttr(0, attr, 0) != nil {
		*attr = before
		attr.Nice = -15
		if unix.SchedSetAttr(0, attr, 0) != nil {
			return func() {}
		}
	}
	return func() { unix.SchedSetAttr(0, &before, 0) }
}
