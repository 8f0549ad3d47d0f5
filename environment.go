package quoit

import (
	"errors"
	"fmt"
	"os"

	"github.com/quoit-go/quoit/internal/environ"
)

// errOff is why package net serves where the environment asks for that.
var errOff = &UnsupportedError{Feature: "io_uring", Err: errors.New("the environment has QUOIT=off")}

// announced returns e after a line on standard error, if the environment asks for
// one, that says what serves, and why.
func (e *Engine) announced(c *Config) *Engine {
	if environ.Get().Debug {
		fmt.Fprintln(os.Stderr, e.serves(c, environ.Get()))
	}
	return e
}

func (e *Engine) serves(c *Config, env environ.Settings) string {
	if e.t == nil {
		return fmt.Sprintf("quoit: an engine started: package net serves: %v", e.reason)
	}
	s := fmt.Sprintf("quoit: an engine started: io_uring serves: rings: %d, gear: %v", len(e.Stats().Rings), c.Gear)
	if forces := env.String(); forces != "" {
		s += "; the environment has " + forces
	}
	return s
}
