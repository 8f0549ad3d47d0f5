package serve

import (
	"fmt"

	"github.com/quoit-go/quoit"
)

// Ring is what one ring of a server did in the measured time.
type Ring struct {
	Conns    int    `json:"conns"` // open at its end
	Accepted uint64 `json:"accepted"`
	Work     uint64 `json:"work"` // receives
}

func rings(e *quoit.Engine) []Ring {
	var out []Ring
	for _, r := range e.Stats().Rings {
		work := r.DirectReads + r.Completions - min(r.Completions, r.Batches) // sends complete, too
		out = append(out, Ring{Conns: r.Conns, Accepted: r.Accepted, Work: work})
	}
	return out
}

// RingWatch asks a server for its rings. A nil one asks nobody.
type RingWatch struct{ *watch }

// WatchRings takes Ready.Rings.
func WatchRings(addr string) (*RingWatch, error) {
	w, err := watchAt(addr)
	if w == nil {
		return nil, err
	}
	return &RingWatch{w}, nil
}

// Begin asks without waiting for the answer: the generator must not pause.
func (w *RingWatch) Begin() error {
	if w == nil {
		return nil
	}
	return w.begin()
}

// End returns what the rings did since Begin.
func (w *RingWatch) End() ([]Ring, error) {
	if w == nil {
		return nil, nil
	}
	var before, after []Ring
	if err := w.end(&before, &after); err != nil {
		return nil, fmt.Errorf("asking for the rings: %w", err)
	}
	if len(before) != len(after) {
		return nil, fmt.Errorf("there were %d rings and are %d", len(before), len(after))
	}
	for i := range after {
		after[i].Accepted -= before[i].Accepted
		after[i].Work -= min(after[i].Work, before[i].Work)
	}
	return after, nil
}

func (w *RingWatch) Close() {
	if w != nil {
		w.close()
	}
}
