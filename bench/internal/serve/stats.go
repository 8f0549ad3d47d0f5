package serve

import (
	"fmt"
	"time"
)

// EngineStats is what a server's engine did in the measured time. The names are
// those of quoit.Stats.
type EngineStats struct {
	Enters        uint64        `json:"enters"`
	Completions   uint64        `json:"completions"`
	Wakeups       uint64        `json:"wakeups"`
	RingReads     uint64        `json:"ring_reads"`
	DirectReads   uint64        `json:"direct_reads"`
	WritesBatched uint64        `json:"writes_batched"`
	Batches       uint64        `json:"batches"`
	GearChanges   uint64        `json:"gear_changes"`
	RingTime      time.Duration `json:"ring_time_ns"`
	PollTime      time.Duration `json:"poll_time_ns"`
	TurnSizes     []uint64      `json:"turn_sizes"`
}

// Turns is how many turns the rings' threads made.
func (s *EngineStats) Turns() uint64 {
	var sum uint64
	for _, n := range s.TurnSizes {
		sum += n
	}
	return sum
}

func (s *EngineStats) since(before *EngineStats) {
	s.Enters -= before.Enters
	s.Completions -= before.Completions
	s.Wakeups -= before.Wakeups
	s.RingReads -= before.RingReads
	s.DirectReads -= before.DirectReads
	s.WritesBatched -= before.WritesBatched
	s.Batches -= before.Batches
	s.GearChanges -= before.GearChanges
	s.RingTime -= before.RingTime
	s.PollTime -= before.PollTime
	for i, n := range before.TurnSizes {
		s.TurnSizes[i] -= n
	}
}

// StatsWatch asks a server for its engine's Stats. A nil one asks nobody.
type StatsWatch struct{ *watch }

// WatchStats takes Ready.Stats.
func WatchStats(addr string) (*StatsWatch, error) {
	w, err := watchAt(addr)
	if w == nil {
		return nil, err
	}
	return &StatsWatch{w}, nil
}

// Begin asks without waiting for the answer: the generator must not pause.
func (w *StatsWatch) Begin() error {
	if w == nil {
		return nil
	}
	return w.begin()
}

// End returns what the engine did since Begin, or nil.
func (w *StatsWatch) End() (*EngineStats, error) {
	if w == nil {
		return nil, nil
	}
	var before, after EngineStats
	if err := w.end(&before, &after); err != nil {
		return nil, fmt.Errorf("asking for the engine's Stats: %w", err)
	}
	after.since(&before)
	return &after, nil
}

func (w *StatsWatch) Close() {
	if w != nil {
		w.close()
	}
}
