package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/quoit-go/quoit/bench/internal/hist"
	"github.com/quoit-go/quoit/bench/internal/proc"
	"github.com/quoit-go/quoit/bench/internal/workload"
)

// jsonReport is the file. What can be worked out from the rest is there for
// other readers: name, unit, summary and notes of a case, and the metrics.
type jsonReport struct {
	Date    time.Time    `json:"date"`
	Machine proc.Machine `json:"machine"`
	Go      string       `json:"go"`
	Command string       `json:"command"`
	Base    string       `json:"base"`
	Length  float64      `json:"length_s"`
	Warmup  float64      `json:"warmup_s"`
	Settle  float64      `json:"settle_s"`
	Elapsed float64      `json:"elapsed_s"`
	Metrics []jsonMetric `json:"metrics"`
	Skipped []string     `json:"skipped,omitempty"`
	Checks  []string     `json:"checks,omitempty"`
	Stopped string       `json:"stopped,omitempty"`
	Cases   []jsonCase   `json:"cases"`
}

type jsonMetric struct {
	Key   string `json:"key"`
	Title string `json:"title"`
	Unit  string `json:"unit"`
}

type jsonCase struct {
	Name       string                `json:"name"`
	Workload   workload.Workload     `json:"workload"`
	Unit       string                `json:"unit"`
	Versus     string                `json:"versus"`
	Procs      int                   `json:"procs"`
	GOMAXPROCS int                   `json:"gomaxprocs"`
	Pin        string                `json:"pin"`
	Summary    map[string]Comparison `json:"summary"`
	Pairs      []Pair                `json:"pairs"` // base, other
	Base       *hist.Hist            `json:"base_latency"`
	Other      *hist.Hist            `json:"other_latency"`
	Errors     []string              `json:"errors,omitempty"`
	Fallback   string                `json:"fallback,omitempty"`
	Notes      []string              `json:"notes,omitempty"`
}

// JSON writes the whole report, single runs included. Read reads it.
func (r *Report) JSON(w io.Writer) error {
	out := jsonReport{
		Date: r.Date, Machine: r.Machine, Go: r.Go, Command: r.Command, Base: r.Base,
		Length: r.Length.Seconds(), Warmup: r.Warmup.Seconds(), Settle: r.Settle.Seconds(), Elapsed: r.Elapsed.Seconds(),
		Skipped: r.Skipped, Checks: r.Checks, Stopped: r.Stopped, Cases: []jsonCase{},
	}
	for _, m := range Metrics {
		out.Metrics = append(out.Metrics, jsonMetric{m.Key, m.Title, m.Unit})
	}
	for _, c := range r.Cases {
		j := jsonCase{
			Name: c.Label(), Workload: c.Workload, Unit: c.Workload.Unit(), Versus: c.Versus,
			Procs: c.Procs, GOMAXPROCS: c.GOMAXPROCS, Pin: c.Pin,
			Summary: map[string]Comparison{}, Pairs: append([]Pair{}, c.Pairs...), Base: &c.base, Other: &c.other,
			Errors: c.Errors, Fallback: c.Fallback, Notes: c.Notes(r.Base),
		}
		for _, m := range Metrics {
			j.Summary[m.Key] = c.Compare(m)
		}
		out.Cases = append(out.Cases, j)
	}
	return json.NewEncoder(w).Encode(out) // indented, it would be several times as long
}

// Read returns the report that JSON wrote.
func Read(from io.Reader) (*Report, error) {
	var in jsonReport
	if err := json.NewDecoder(from).Decode(&in); err != nil {
		return nil, err
	}
	if len(in.Cases) == 0 {
		return nil, errors.New("there are no results in it")
	}
	r := &Report{
		Date: in.Date, Machine: in.Machine, Go: in.Go, Command: in.Command, Base: in.Base,
		Length: seconds(in.Length), Warmup: seconds(in.Warmup), Settle: seconds(in.Settle), Elapsed: seconds(in.Elapsed),
		Skipped: in.Skipped, Checks: in.Checks, Stopped: in.Stopped,
	}
	for _, j := range in.Cases {
		if j.Base == nil || j.Other == nil {
			return nil, fmt.Errorf("%s has no latencies", j.Name)
		}
		r.Cases = append(r.Cases, &Case{
			Workload: j.Workload, Versus: j.Versus, Procs: j.Procs, GOMAXPROCS: j.GOMAXPROCS, Pin: j.Pin,
			Pairs: j.Pairs, Errors: j.Errors, Fallback: j.Fallback, base: *j.Base, other: *j.Other,
		})
	}
	return r, nil
}

func seconds(s float64) time.Duration { return time.Duration(math.Round(s * 1e9)) }
