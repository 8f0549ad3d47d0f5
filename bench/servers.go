package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/quoit-go/quoit/bench/internal/serve"
)

// serverSet is the servers of a round. Some may be missing where one did not start.
type serverSet struct {
	measured map[bool]*serverProcess // the base's is true's
	backend  *serverProcess          // of both; nil without one
}

// startServers returns what it has started with an error, too.
func (b *bench) startServers(ctx context.Context, j *job, round int) (serverSet, error) {
	all := serverSet{measured: map[bool]*serverProcess{}}
	backend := ""
	if kind := j.Workload.Backend; kind != "" {
		// It belongs to the load: the servers' CPUs and GOMAXPROCS are not for it.
		s, err := startServer(ctx, side{transport: "net"}, serve.Spec{Kind: kind}, 0, j.pin.load)
		if err != nil {
			return all, fmt.Errorf("backend: %w", err)
		}
		all.backend, backend = s, s.Addr
	}
	for _, isBase := range []bool{true, false} {
		s, err := b.start(ctx, j, isBase, backend, round)
		if err != nil {
			return all, err
		}
		all.measured[isBase] = s
		if s.Fallback != "" {
			j.Fallback = s.Fallback
		}
		if s.GOMAXPROCS > 0 {
			j.GOMAXPROCS = s.GOMAXPROCS
		}
	}
	return all, nil
}

// stop ends the backend last: a server may not like to lose it.
func (s serverSet) stop() error {
	var errs []error
	for _, p := range s.measured {
		errs = append(errs, p.stop())
	}
	if s.backend != nil {
		errs = append(errs, s.backend.stop())
	}
	return errors.Join(errs...)
}

func (b *bench) side(j *job, isBase bool) side {
	if isBase {
		return b.base
	}
	return j.versus
}

func (b *bench) start(ctx context.Context, j *job, isBase bool, backend string, round int) (*serverProcess, error) {
	s := b.side(j, isBase)
	spec := serve.Spec{Kind: j.Workload.Server, Path: j.Workload.Path, Timeouts: j.Workload.Timeouts, Backend: backend}
	if b.profile != "" {
		which := "versus"
		if isBase {
			which = "base"
		}
		name := fmt.Sprintf("%s.%s.%s.%d.pprof", j.Label(), which, side{transport: s.transport, variant: s.variant}, round+1)
		spec.Profile = filepath.Join(b.profile, strings.NewReplacer("/", "-", " ", "-", ":", "-").Replace(name))
	}
	return startServer(ctx, s, spec, j.Procs, j.pin.server)
}
