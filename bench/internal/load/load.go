// Package load makes the requests. Plain TCP is driven by one thread with
// epoll, so that the generator takes as little of the machine as it can; TLS,
// HTTP/2 and gRPC by Go's own clients.
package load

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"time"

	"github.com/quoit-go/quoit/bench/internal/counters"
	"github.com/quoit-go/quoit/bench/internal/hist"
	"github.com/quoit-go/quoit/bench/internal/proc"
	"github.com/quoit-go/quoit/bench/internal/serve"
	"github.com/quoit-go/quoit/bench/internal/workload"
)

// Spec says what load to make. It comes to the child process as JSON.
type Spec struct {
	Workload workload.Workload `json:"workload"`
	Addr     string            `json:"addr"`
	PID      int               `json:"pid"`              // of the server
	Rings    string            `json:"rings,omitempty"`  // for serve.WatchRings
	Stats    string            `json:"stats,omitempty"`  // for serve.WatchStats
	Events   []string          `json:"events,omitempty"` // of package counters, to count in the server
	Even     bool              `json:"even,omitempty"`   // take down how evenly the conns of an echo or plain HTTP load are served
	Seed     uint64            `json:"seed"`             // of what is drawn by lot
	Warmup   time.Duration     `json:"warmup_ns"`
	Length   time.Duration     `json:"length_ns"` // of what is measured
}

// Result is one run. Latencies are those of requests answered in the measured
// time.
type Result struct {
	Units   uint64        `json:"units"` // requests, or what the workload counts
	Elapsed time.Duration `json:"elapsed_ns"`
	Latency *hist.Hist    `json:"latency"`
	Server  proc.Sample   `json:"server"` // used in the measured time
	LoadCPU time.Duration `json:"load_cpu_ns"`
	Starved int           `json:"starved"` // conns without any answer in the measured time
	Behind  int           `json:"behind"`  // of a skewed load: turns that came and were not answered by the end
	Rings   []serve.Ring  `json:"rings,omitempty"`

	Stats  *serve.EngineStats `json:"stats,omitempty"`  // nil: not asked for, or no engine
	Counts map[string]uint64  `json:"counts,omitempty"` // of Spec.Events, those that the machine has
	Even   *Evenness          `json:"even,omitempty"`

	Err string `json:"err,omitempty"`
}

// Main is the child process: a Spec on in, a Result on out.
func Main(in io.Reader, out io.Writer) error {
	var spec Spec
	if err := json.NewDecoder(in).Decode(&spec); err != nil {
		return fmt.Errorf("load: reading the spec: %w", err)
	}
	r, err := Run(spec)
	if err != nil {
		r = &Result{Latency: new(hist.Hist), Err: err.Error()}
	}
	return json.NewEncoder(out).Encode(r)
}

// Run makes the load and returns when the measured time is over.
func Run(spec Spec) (*Result, error) {
	switch spec.Workload.Load {
	case workload.LoadHTTPS, workload.LoadH2, workload.LoadGRPCUnary, workload.LoadGRPCStream:
		return runClients(spec)
	}
	// The loop allocates nothing: a collection would only be in its way.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	return runEpoll(spec)
}

var errNothing = errors.New("load: not one request was answered in the measured time")

// window is the course of a run: warm-up, measured time, over.
type window struct {
	spec         Spec
	start        time.Time
	measuring    bool
	began        time.Duration
	server, self proc.Sample // when it began
	rings        *serve.RingWatch
	stats        *serve.StatsWatch
	counters     *counters.Set
	counted      map[string]uint64 // when it began
}

// newWindow starts the course of a run, which the caller must close.
func newWindow(spec Spec) (*window, error) {
	w := &window{spec: spec, start: time.Now()}
	if err := w.open(); err != nil {
		w.close()
		return nil, fmt.Errorf("load: %w", err)
	}
	return w, nil
}

func (w *window) open() (err error) {
	if w.rings, err = serve.WatchRings(w.spec.Rings); err != nil {
		return err
	}
	if w.stats, err = serve.WatchStats(w.spec.Stats); err != nil {
		return err
	}
	// Before the load, for it takes a while.
	if len(w.spec.Events) > 0 {
		w.counters, err = counters.Open(w.spec.PID, w.spec.Events)
	}
	return err
}

func (w *window) close() {
	w.rings.Close()
	w.stats.Close()
	w.counters.Close()
}

// now is the time since the run's start.
func (w *window) now() time.Duration { return time.Since(w.start) }

// begin takes the samples that finish compares with.
func (w *window) begin() error {
	var err error
	if w.server, err = proc.Read(w.spec.PID); err != nil {
		return err
	}
	if w.self, err = proc.Read(os.Getpid()); err != nil {
		return err
	}
	if err := w.rings.Begin(); err != nil {
		return fmt.Errorf("load: %w", err)
	}
	if err := w.stats.Begin(); err != nil {
		return fmt.Errorf("load: %w", err)
	}
	if w.counted, err = w.counters.Read(); err != nil {
		return fmt.Errorf("load: %w", err)
	}
	w.measuring, w.began = true, w.now()
	return nil
}

func (w *window) finish(lat *hist.Hist, units uint64, starved int) (*Result, error) {
	elapsed := w.now() - w.began
	counted, err := w.counters.Read()
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	server, err := proc.Read(w.spec.PID)
	if err != nil {
		return nil, err
	}
	self, err := proc.Read(os.Getpid())
	if err != nil {
		return nil, err
	}
	rings, err := w.rings.End()
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	stats, err := w.stats.End()
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	if units == 0 {
		return nil, errNothing
	}
	return &Result{
		Units:   units,
		Elapsed: elapsed,
		Latency: lat,
		Server:  server.Since(w.server),
		LoadCPU: self.Since(w.self).CPU,
		Starved: starved,
		Rings:   rings,
		Stats:   stats,
		Counts:  counters.Since(counted, w.counted),
	}, nil
}
