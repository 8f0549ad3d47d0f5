package serve

import (
	"io"
	"testing"
	"time"

	"github.com/quoit-go/quoit/bench/internal/workload"
)

// Parts come in the order of their times, and the computing before the last.
func TestFlush(t *testing.T) {
	const computing = 30 * time.Millisecond
	for _, transport := range Transports {
		t.Run(transport, func(t *testing.T) {
			c := dialServer(t, Spec{Kind: workload.ServeFlush, Transport: transport})
			for range 2 {
				asked := workload.Clock()
				var p [workload.FlushBytes]byte
				workload.PutDuration(p[:], computing)
				if _, err := c.Write(p[:]); err != nil {
					t.Fatal(err)
				}
				times := []time.Duration{asked}
				for range workload.FlushParts {
					if _, err := io.ReadFull(c, p[:]); err != nil {
						t.Fatal(err)
					}
					times = append(times, workload.Duration(p[:]))
				}
				times = append(times, workload.Clock())
				for i := range times[1:] {
					if times[i] > times[i+1] {
						t.Errorf("the times are %v", times)
					}
				}
				// What counts is the processor's time, of which a unit was measured.
				if d := times[workload.FlushParts] - times[workload.FlushParts-1]; d < computing/2 {
					t.Errorf("it computed for %v", d)
				}
			}
		})
	}
}
