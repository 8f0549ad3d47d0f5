//go:build linux

package quoit

import (
	"sync"
	"sync/atomic"
	"time"
)

// A ring is held, and gets no new conns where there is a choice, when it does
// much more than the mean. Below holdAbove no ring is short of CPU time,
// whatever the others do: a start looks uneven after a few conns.
const (
	holdAt    = 1.25
	resumeAt  = 1.1
	holdAbove = 20_000 // receives a second
	lookEvery = 100 * time.Millisecond
)

// watch compares what rings do.
type watch struct {
	above float64 // holdAbove, but for tests
	held  []atomic.Bool
	next  atomic.Int64 // Unix nanoseconds; not to be looked at before
	mu    sync.Mutex
	last  time.Time
	work  []uint64  // at last
	rates []float64 // per second, smoothed
}

func (w *watch) init(rings int) { w.above, w.held = holdAbove, make([]atomic.Bool, rings) }

func (w *watch) isHeld(ring int) bool { return w.held[ring].Load() }

// due reports, to one caller, that it is time for note.
func (w *watch) due(now time.Time) bool {
	next := w.next.Load()
	t := now.UnixNano()
	return t >= next && w.next.CompareAndSwap(next, t+int64(lookEvery))
}

// note takes the rings' counters of work and returns the rings that are now
// held and were not, or the reverse.
func (w *watch) note(now time.Time, work []uint64) (changed []int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := now.Sub(w.last).Seconds()
	old := w.work
	w.last, w.work = now, work
	if old == nil || d <= 0 {
		w.rates = make([]float64, len(work))
		return nil
	}
	var sum float64
	for i := range work {
		// What happened long ago counts less: the mean of the last second or so.
		keep := max(0, 1-d)
		done := int64(work[i] - old[i]) // below 0 if nothing but sends were begun
		w.rates[i] = keep*w.rates[i] + (1-keep)*float64(done)/d
		sum += w.rates[i]
	}
	mean := sum / float64(len(work))
	for i, rate := range w.rates {
		held := w.isHeld(i)
		busy := rate > holdAt*mean && rate > w.above
		if held {
			busy = rate > resumeAt*mean && rate > w.above/2
		}
		if busy != held {
			w.held[i].Store(busy)
			changed = append(changed, i)
		}
	}
	return changed
}
