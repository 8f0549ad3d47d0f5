package load

import (
	"testing"

	"github.com/quoit-go/quoit/bench/internal/workload"
)

func TestBurst(t *testing.T) {
	const conns, busy = 10, 2
	for _, kind := range []string{workload.LoadBurst, workload.LoadBurstLater} {
		t.Run(kind, func(t *testing.T) {
			a := newAsked()
			r, err := Run(spec(workload.Workload{Load: kind, Path: "/", Conns: conns, Busy: busy}, serveConns(t, a.serve)))
			if err != nil {
				t.Fatal(err)
			}
			a.mu.Lock()
			defer a.mu.Unlock()
			came, stayed := 0, 0 // to the last answer
			for _, n := range a.lasting {
				switch {
				case n == 1+workload.BurstLater:
					stayed++
					came++
				case n <= workload.BurstLater:
					came++
				}
			}
			want := came
			if kind == workload.LoadBurstLater {
				want = stayed
			}
			// The end comes in the middle of a burst, perhaps.
			if n := int(r.Latency.Count()); n == 0 || n > want || n < want-conns {
				t.Errorf("%d latencies of %d conns, of which %d had all answers", n, came, stayed)
			}
			if came-stayed > conns {
				t.Errorf("%d of %d conns left early", came-stayed, came)
			}
			if lasting := len(a.lasting) - came; lasting != busy {
				t.Errorf("%d conns asked all the time, want %d", lasting, busy)
			}
			if r.Starved > 0 || r.Units < r.Latency.Count() {
				t.Errorf("%d units, %d latencies, %d starved", r.Units, r.Latency.Count(), r.Starved)
			}
		})
	}
}
