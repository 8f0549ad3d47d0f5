package quoit

import (
	"errors"
	"fmt"
	"os"

	"github.com/quoit-go/quoit/internal/environ"
)

// errOff is why package net serves where the environment asks for that.
var errOff = &UnsupportedError{Feature: "io_uring", Err: errors.New("the environment has QUOIT=off")}

// announce says on standard error, if the environment asks for it, that an engine
// has started and what serves it: so many rings, or package net for a reason.
func announce(c *Config, rings int, reason error) {
	env := environ.Get()
	if !env.Debug {
		return
	}
	says := fmt.Sprintf("io_uring serves: rings: %d, gear: %v", rings, c.Gear)
	if reason != nil {
		says = fmt.Sprintf("package net serves: %v", reason)
	} else if forces := env.String(); forces != "" {
		says += "; the environment has " + forces
	}
	fmt.Fprintln(os.Stderr, "quoit: an engine started: "+says)
}
