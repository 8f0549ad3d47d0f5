package quoit

import (
	"log/slog"
	"os"
	"sync"

	"github.com/quoit-go/quoit/internal/environ"
)

// debugLog is where engines log to whose Config has no Logger, with QUOIT_DEBUG=1.
var debugLog = sync.OnceValue(func() *slog.Logger { return slog.New(slog.NewTextHandler(os.Stderr, nil)) })

// logger is never nil.
func (c *Config) logger() *slog.Logger {
	switch {
	case c.Logger != nil:
		return c.Logger
	case environ.Get().Debug:
		return debugLog()
	}
	return silent
}

var silent = slog.New(slog.DiscardHandler)

// logStart says what serves a new engine: so many rings, or package net for a reason.
func (c *Config) logStart(rings int, reason error) {
	var env []any
	if forces := environ.Get().String(); forces != "" {
		env = []any{"environment", forces}
	}
	if reason != nil {
		c.logger().Info("quoit: an engine started: package net serves", append(env, "reason", reason)...)
		return
	}
	c.logger().Info("quoit: an engine started: io_uring serves", append([]any{"rings", rings, "gear", c.Gear.String()}, env...)...)
}
