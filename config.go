package quoit

import (
	"fmt"
	"time"
)

// Config sizes an [Engine]. The zero value, and nil, mean the defaults.
type Config struct {
	// Require makes [New] fail with an [*UnsupportedError] where io_uring is
	// not available. Default: false, package net serves instead.
	Require bool

	// Entries is the length of the submission queue, in requests.
	// Default 1024; 16 to 32768, rounded up to a power of two.
	Entries int

	// Buffers is the number of receive buffers that all connections of the
	// engine share. Default 1024; 16 to 32768, rounded up to a power of two.
	Buffers int

	// BufferBytes is the size of one receive buffer, in bytes.
	// Default 4096; 256 to 1048576.
	BufferBytes int

	// ReadWindow bounds what one connection holds received but unread, in
	// bytes; the rest waits in its socket and TCP slows the peer down.
	// Default 65536; 4096 to 67108864.
	ReadWindow int

	// Gear says how connections wait for their peers. Default [GearAuto].
	Gear Gear

	// BusyPoll is how long the engine's thread, in [GearRing], looks for
	// further work before it sleeps. It trades CPU time, of one CPU at most,
	// for latency. Default 0; up to 1 ms.
	BusyPoll time.Duration
}

// Gear is a way for connections to wait for their peers. What a caller sees
// does not depend on it.
type Gear int

const (
	// GearAuto is GearPoll, and GearRing while that saves work: when many
	// connections become ready at once. It finds out by trying.
	GearAuto Gear = iota

	// GearRing has the kernel receive and accept by io_uring into the
	// engine's buffers, and sends small writes of many connections in one
	// system call.
	GearRing

	// GearPoll waits in Go's netpoller, as package net does. Unix sockets
	// always do.
	GearPoll
)

func (g Gear) String() string {
	switch g {
	case GearAuto:
		return "auto"
	case GearRing:
		return "ring"
	case GearPoll:
		return "poll"
	}
	return fmt.Sprintf("Gear(%d)", int(g))
}

const (
	defaultEntries     = 1024
	defaultBuffers     = 1024
	defaultBufferBytes = 4096
	defaultReadWindow  = 64 << 10

	maxBusyPoll = time.Millisecond
)

// defaultGear is what tests change to force a gear on every engine.
var defaultGear = GearAuto

// ConfigError reports a [Config] field that is out of its range.
type ConfigError struct {
	Field    string // name of the field
	Value    int    // what it held
	Min, Max int    // what it may hold; zero stands for the default
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("quoit: Config.%s is %d, want 0 (default) or %d to %d", e.Field, e.Value, e.Min, e.Max)
}

// resolved returns c with defaults filled in, or a *ConfigError.
func (c *Config) resolved() (Config, error) {
	var out Config
	if c != nil {
		out = *c
	}
	fields := []struct {
		name          string
		p             *int
		def, min, max int
		pow2          bool
	}{
		{"Entries", &out.Entries, defaultEntries, 16, 32768, true},
		{"Buffers", &out.Buffers, defaultBuffers, 16, 32768, true},
		{"BufferBytes", &out.BufferBytes, defaultBufferBytes, 256, 1 << 20, false},
		{"ReadWindow", &out.ReadWindow, defaultReadWindow, 4096, 64 << 20, false},
	}
	if out.Gear == GearAuto {
		out.Gear = defaultGear
	}
	switch {
	case out.Gear < GearAuto || out.Gear > GearPoll:
		return Config{}, &ConfigError{Field: "Gear", Value: int(out.Gear), Min: int(GearRing), Max: int(GearPoll)}
	case out.BusyPoll < 0 || out.BusyPoll > maxBusyPoll:
		return Config{}, &ConfigError{Field: "BusyPoll", Value: int(out.BusyPoll), Min: 1, Max: int(maxBusyPoll)}
	}
	for _, f := range fields {
		switch {
		case *f.p == 0:
			*f.p = f.def
		case *f.p < f.min || *f.p > f.max:
			return Config{}, &ConfigError{Field: f.name, Value: *f.p, Min: f.min, Max: f.max}
		}
		if f.pow2 {
			*f.p = ceilPow2(*f.p)
		}
	}
	return out, nil
}

func ceilPow2(n int) int {
	p := 1
	for p < n {
		p <<= 1
	}
	return p
}
