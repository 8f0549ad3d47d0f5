//go:build linux

package engine

import (
	"testing"
	"time"
)

// TestRest has the engine wait for all that it woke, and for no others when
// the time is over.
func TestRest(t *testing.T) {
	for _, tt := range []struct {
		name       string
		woken, ran int
		others     int // whom the callers wake
		late       bool
	}{
		{"the last has run", 3, 3, 0, false},
		{"the last of others has run", 3, 5, 2, false},
		{"one runs late", 3, 1, 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := &stillClock{now: int64(time.Hour)}
			e := &Engine{k: now, rested: make(chan struct{}, 1)}
			l := &loop{e: e, k: now}
			for round := range 3 {
				e.ran.Store(e.readied.Add(uint64(tt.woken)) - uint64(tt.woken))
				done := make(chan struct{})
				go func() {
					l.rest()
					close(done)
				}()
				for e.awaited.Load() == 0 {
					time.Sleep(time.Microsecond)
				}
				e.readied.Add(uint64(tt.others))
				if tt.late {
					now.advance(restTime)
				}
				for range tt.ran - 1 {
					e.hasRun()
				}
				select {
				case <-done:
					t.Fatalf("round %d: did not rest", round)
				case <-e.rested:
					t.Fatalf("round %d: woken early", round)
				default:
				}
				e.hasRun()
				<-done
			}
		})
	}
}

func TestRestNobody(t *testing.T) {
	now := &stillClock{now: int64(time.Hour)}
	e := &Engine{k: now, rested: make(chan struct{}, 1)}
	e.readied.Store(5)
	e.ran.Store(5)
	(&loop{e: e, k: now}).rest() // hangs if it waits for those who have run
	if e.awaited.Load() != 0 {
		t.Error("still waits")
	}
}
