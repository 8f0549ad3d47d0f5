// Package serve has the servers that are measured. They are what a user would
// write: nothing in them knows which transport carries them.
package serve

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime/pprof"
	"time"

	"github.com/quoit-go/quoit/bench/internal/workload"
)

// Spec says what to serve. It comes to the child process as JSON.
type Spec struct {
	Kind      string `json:"kind"`
	Path      string `json:"path"` // that will be asked for
	Transport string `json:"transport"`
	Variant   string `json:"variant,omitempty"` // of quoit, see Check
	Timeouts  bool   `json:"timeouts"`
	Backend   string `json:"backend,omitempty"` // address of the server behind this one
	Profile   string `json:"profile,omitempty"` // file for a CPU profile
	Stats     bool   `json:"stats,omitempty"`   // there will be a WatchStats
}

// Ready is the child's first line of output.
type Ready struct {
	Addr       string `json:"addr"`
	Variant    string `json:"variant,omitempty"`  // the Spec's: a build that knows of none leaves it out
	Fallback   string `json:"fallback,omitempty"` // why net serves in quoit's place
	GOMAXPROCS int    `json:"gomaxprocs"`
	Rings      string `json:"rings,omitempty"` // address for WatchRings, if there are several
	Stats      string `json:"stats,omitempty"` // address for WatchStats, if that was asked for and an engine serves
}

// server runs until its listener is closed.
type server func(net.Listener) error

func (s Spec) server(st stack) (server, error) {
	switch s.Kind {
	case workload.ServeHTTP, workload.ServeHTTPS, workload.ServeH2:
		return s.http()
	case workload.ServeEcho:
		return acceptEach(echo), nil
	case workload.ServeAnswer:
		return acceptEach(answer), nil
	case workload.ServeFlush:
		workload.ComputeFor(time.Millisecond) // finds out how fast it is before anyone measures
		return acceptEach(flush), nil
	case workload.ServeBroadcast:
		h := &hub{}
		return acceptEach(h.serve), nil
	case workload.ServeGRPC:
		return serveGRPC, nil
	case workload.ServeProxy:
		return acceptEach(proxy{st, s.Backend}.serve), nil
	case workload.ServeTunnel:
		return s.tunnel(st), nil
	case workload.ServeUpgrade:
		return (&http.Server{Handler: http.HandlerFunc(upgrade)}).Serve, nil
	}
	return nil, fmt.Errorf("serve: unknown kind %q", s.Kind)
}

// Main is the child process: a Spec on in, one line with Ready on out, then
// it serves until in ends. The parent's death ends it, too.
func Main(in io.Reader, out io.Writer) error {
	dec := json.NewDecoder(in)
	var spec Spec
	if err := dec.Decode(&spec); err != nil {
		return fmt.Errorf("serve: reading the spec: %w", err)
	}
	st, err := spec.stack()
	if err != nil {
		return err
	}
	serve, err := spec.server(st)
	if err != nil {
		return err
	}
	if spec.Profile != "" {
		f, err := os.Create(spec.Profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	ln, ready, err := spec.listen(st)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(out).Encode(ready); err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- serve(ln) }()
	told := make(chan struct{})
	go func() {
		defer close(told)
		io.Copy(io.Discard, in) // its end is all that matters
	}()
	select {
	case err := <-served:
		return fmt.Errorf("serve: the server ended: %w", err)
	case <-told:
		return nil
	}
}

// acceptEach serves each conn in a goroutine of its own.
func acceptEach(serve func(net.Conn)) server {
	return func(ln net.Listener) error {
		for {
			c, err := ln.Accept()
			if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
				continue
			}
			if err != nil {
				return err
			}
			go serve(c)
		}
	}
}

func echo(c net.Conn) {
	defer c.Close()
	buf := make([]byte, 4096)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		if _, err := c.Write(buf[:n]); err != nil {
			return
		}
	}
}
