package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"

	"github.com/quoit-go/quoit"
	"github.com/quoit-go/quoit/engine/steering"
)

// A request has requestBytes, and is answered with a copy. One that begins
// with farewell is answered by the end of the conn, so that rings receive
// requests and nothing else.
const (
	requestBytes = 64
	farewell     = 'x'
)

type serverOptions struct {
	rings    int
	pin      bool
	steering string
}

// server echoes on the rings of an engine.
type server struct {
	e        *quoit.Engine
	rings    int
	asked    int // rings
	ln       net.Listener
	steering quoit.Steering     // nil if there is none
	program  *steering.Steering // the same, if it can be switched
	fixed    error              // why it cannot
	served   sync.WaitGroup
}

// newSteering returns what -steering names.
func newSteering(name string) (quoit.Steering, error) {
	switch name {
	case "ebpf":
		return steering.New(&steering.Config{Fallback: steering.FallbackHash})
	case "hash":
		return quoit.SteerByHash(), nil
	case "cpu":
		return quoit.SteerByCPU(), nil
	case "random":
		return quoit.SteerAtRandom(), nil
	case "none":
		return nil, nil
	}
	return nil, fmt.Errorf("-steering=%s: want ebpf, hash, cpu, random or none", name)
}

func start(o serverOptions) (*server, error) {
	st, err := newSteering(o.steering)
	if err != nil {
		return nil, err
	}
	e, err := newEngine(o)
	if err != nil {
		return nil, err
	}
	lc := quoit.ListenConfig{Engine: e, Steering: st}
	ln, err := lc.Listen(context.Background(), "tcp4", "127.0.0.1:0")
	if err != nil {
		e.Close()
		return nil, err
	}
	s := &server{e: e, rings: len(e.Stats().Rings), asked: o.rings, ln: ln, steering: st}
	s.program, s.fixed = s.findProgram()
	s.served.Go(s.serve)
	return s, nil
}

func newEngine(o serverOptions) (*quoit.Engine, error) {
	cfg := quoit.Config{Rings: o.rings}
	if o.pin {
		for cpu := range min(runtime.NumCPU(), o.rings) {
			cfg.Affinity = append(cfg.Affinity, cpu)
		}
	}
	e, err := quoit.New(&cfg)
	if ce, ok := errors.AsType[*quoit.ConfigError](err); ok && ce.Field == "Affinity" {
		cfg.Affinity = nil // ours are other CPUs than the first
		e, err = quoit.New(&cfg)
	}
	return e, err
}

func (s *server) serve() {
	for {
		c, err := s.ln.Accept()
		if err != nil {
			return
		}
		s.served.Go(func() { echo(c) })
	}
}

func echo(c net.Conn) {
	defer c.Close()
	buf := make([]byte, requestBytes)
	for {
		if _, err := io.ReadFull(c, buf); err != nil || buf[0] == farewell {
			return
		}
		if _, err := c.Write(buf); err != nil {
			return
		}
	}
}

// close ends the listener, then what conns there are.
func (s *server) close() error {
	err := errors.Join(s.ln.Close(), s.e.Close())
	s.served.Wait()
	return err
}

// findProgram returns the eBPF program's Steering, or why there is none to
// switch.
func (s *server) findProgram() (*steering.Steering, error) {
	if s.e.Stats().Transport != "io_uring" {
		return nil, errors.New("package net serves, there are no rings to choose from")
	}
	st, ok := s.steering.(*steering.Steering)
	if !ok {
		return nil, errors.New("that takes the eBPF program: -steering=ebpf")
	}
	if err := st.Err(); err != nil {
		return nil, fmt.Errorf("that takes the eBPF program: %w", err)
	}
	return st, nil
}
