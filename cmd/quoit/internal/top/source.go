package top

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// sample is what top knows about a process at one time.
type sample struct {
	ClockNS     int64  `json:"clock_ns"`
	Program     string `json:"program"`
	PID         int    `json:"pid"`
	Kernel      string `json:"kernel"`
	CPUNS       int64  `json:"cpu_ns"`       // 0: not known
	MemoryBytes uint64 `json:"memory_bytes"` // 0: not known
	Findings    []struct {
		Level, Text string
	}
	Stats *stats
}

// stats is what top shows of a quoit.Stats, of whatever version the process has.
type stats struct {
	counters
	Transport, Reason string
	Rings             []ringStats
	Listening         []listening
}

type ringStats struct {
	counters
	Held bool
}

// counters are of an engine, or of one of its rings.
type counters struct {
	Conns         int
	Gear          string
	Accepted      uint64
	Adopted       uint64
	Enters        uint64
	Completions   uint64
	RingTime      int64      `json:"ring_time_ns"`
	PollTime      int64      `json:"poll_time_ns"`
	BytesReceived uint64     `json:"bytes_received"`
	BytesSent     uint64     `json:"bytes_sent"`
	RingReads     uint64     `json:"ring_reads"`
	DirectReads   uint64     `json:"direct_reads"`
	SendsParked   uint64     `json:"sends_parked"`
	TurnSizes     [20]uint64 `json:"turn_sizes"`
	WakeDelays    [20]uint64 `json:"wake_delays"`
	WriteDelays   [20]uint64 `json:"write_delays"`
}

type listening struct {
	Network, Addr  string
	Accepted       uint64
	AcceptFailures uint64 `json:"accept_failures"`
	Queue, Backlog int
}

const (
	pagePath = "/debug/quoit" // where a page of package debug is, if nothing else is said
	varsPath = "/debug/vars"  // expvar's
	maxBody  = 16 << 20
)

// source is where samples come from.
type source struct {
	client *http.Client
	urls   []string // the first that has something
	since  time.Time
}

// newSource takes host:port, or a URL.
func newSource(address string) (*source, error) {
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return nil, err
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, fmt.Errorf("%q is neither HOST:PORT nor a URL", address)
	}
	s := &source{client: &http.Client{Timeout: 5 * time.Second}, since: time.Now()}
	if u.Path == "" || u.Path == "/" {
		s.urls = []string{u.JoinPath(pagePath).String(), u.JoinPath(varsPath).String()}
	} else {
		s.urls = []string{u.String()}
	}
	return s, nil
}

var errNotFound = errors.New("not found")

// next takes a sample.
func (s *source) next(ctx context.Context) (*sample, error) {
	for _, u := range s.urls {
		p, err := s.get(ctx, u)
		if errors.Is(err, errNotFound) {
			continue
		}
		if err == nil {
			s.urls = []string{u}
		}
		return p, err
	}
	return nil, fmt.Errorf("there is nothing at %s: the program has to mount debug.Handler there, or import debug/vars, see https://pkg.go.dev/github.com/quoit-go/quoit/debug",
		strings.Join(s.urls, " and "))
}

func (s *source) get(ctx context.Context, u string) (*sample, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return nil, errNotFound
	default:
		return nil, fmt.Errorf("%s: %s", u, resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", u, err)
	}
	p, err := parse(body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", u, err)
	}
	if p.ClockNS == 0 {
		p.ClockNS = int64(time.Since(s.since))
	}
	return p, nil
}

// parse reads what package debug writes, or expvar.
func parse(body []byte) (*sample, error) {
	var p sample
	if err := json.Unmarshal(body, &p); err != nil {
		return nil, fmt.Errorf("this is not the JSON of package debug, nor expvar's: %w", err)
	}
	if p.Stats != nil && p.Stats.Transport != "" {
		return &p, nil
	}
	var vars map[string]json.RawMessage
	if err := json.Unmarshal(body, &vars); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		var st stats
		if json.Unmarshal(vars[name], &st) == nil && st.Transport != "" {
			p.Stats = &st
			var cmdline []string
			if json.Unmarshal(vars["cmdline"], &cmdline) == nil && len(cmdline) > 0 {
				p.Program = filepath.Base(cmdline[0])
			}
			return &p, nil
		}
	}
	return nil, errors.New("no variable of expvar's is quoit's: the program has to call vars.Publish")
}
