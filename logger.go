package quoit

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"github.com/quoit-go/quoit/internal/environ"
)

// debugLog is where engines log to whose Config has no Logger, with QUOIT_DEBUG=1.
var debugLog = sync.OnceValue(func() *slog.Logger { return slog.New(slog.NewTextHandler(os.Stderr, nil)) })

// logger is never nil. A panic of the Logger's handler goes no further.
func (c *Config) logger() *slog.Logger {
	switch {
	case c.Logger != nil:
		return slog.New(guarded{c.Logger.Handler()})
	case environ.Get().Debug:
		return debugLog()
	}
	return silent
}

// loud is logger for what must not go unheard.
func (c *Config) loud() *slog.Logger {
	if c.Logger == nil {
		return debugLog()
	}
	return c.logger()
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

// guarded is a Handler whose panics end neither a call nor the process, for what is
// logged may be on a goroutine of an engine's: only the record is lost.
type guarded struct{ slog.Handler }

// lost is deferred; what names the method.
func (guarded) lost(what string) {
	if v := recover(); v != nil {
		fmt.Fprintf(os.Stderr, "quoit: Config.Logger: %s panicked: %v\n", what, v)
	}
}

func (g guarded) Enabled(ctx context.Context, level slog.Level) bool {
	defer g.lost("Enabled")
	return g.Handler.Enabled(ctx, level)
}

func (g guarded) Handle(ctx context.Context, r slog.Record) error {
	defer g.lost("Handle")
	return g.Handler.Handle(ctx, r)
}

func (g guarded) WithAttrs(attrs []slog.Attr) (out slog.Handler) {
	out = g // unless the next line returns
	defer g.lost("WithAttrs")
	return guarded{g.Handler.WithAttrs(attrs)}
}

func (g guarded) WithGroup(name string) (out slog.Handler) {
	out = g
	defer g.lost("WithGroup")
	return guarded{g.Handler.WithGroup(name)}
}
