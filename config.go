package quoit

import (
	"cmp"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"time"

	"github.com/quoit-go/quoit/internal/environ"
	"github.com/quoit-go/quoit/internal/forced"
)

// Config sizes an [Engine]. The zero value, and nil, mean the defaults.
//
// The environment of the process, read once, when the first engine starts, sets what
// a Config leaves open, without another build:
//
//	QUOIT=off        package net serves, whatever a Config says
//	QUOIT=poll, ring is the Gear of engines that have GearAuto
//	QUOIT=auto       is as if it were not set
//	QUOIT_RINGS=2    is the number of Rings, 1 to 256, of engines that have 0, and
//	                 no Affinity
//	QUOIT_DEBUG=1    has engines without a Logger log to standard error: in one line
//	                 what serves, and why, and then what changes
//
// What else they hold is ignored, after a line on standard error.
type Config struct {
	// Require makes [New] fail with an [*UnsupportedError] where io_uring is
	// not available, or QUOIT=off. Default: false, package net serves instead.
	Require bool

	// AnyArch makes [New] use io_uring on every architecture that it finds
	// it on, at your own risk: the ring was tried on amd64 and arm64 only, and
	// does not work on big-endian machines. Default: false, package net serves
	// on the others.
	AnyArch bool

	// Rings is the number of rings. Each has a thread and connections of its
	// own, and a connection stays on its ring. Fewer are set up where the limit on
	// memory leaves room for fewer, or that on descriptors: one for each 32 of
	// RLIMIT_NOFILE.
	// Default: as many as Affinity names, or QUOIT_RINGS has, or a third of
	// GOMAXPROCS, rounded up; 1 to 256.
	Rings int

	// Affinity pins the threads of the rings to CPUs: that of ring i to
	// Affinity[i], starting again at its end. Only the rings' threads are
	// pinned, not who reads and writes. Default: none.
	Affinity []int

	// Entries is the length of a ring's submission queue, in requests.
	// Default 1024; 16 to 32768, rounded up to a power of two.
	Entries int

	// Gear says how connections wait for their peers. Default [GearAuto], or
	// what QUOIT has.
	Gear Gear

	// BusyPoll is how long a ring's thread in [GearRing], or one Read at a time
	// in [GearPoll], looks for work before it sleeps. It trades CPU time, of one
	// CPU a ring at most, for latency: that of a single busy connection, where
	// CPUs are idle. Several have to share what it leaves. Default 0: not at all,
	// but in [GearAuto] for 30 µs while that is found to pay. Up to 1 ms.
	BusyPoll time.Duration

	// Logger is told when an engine starts and what serves it, when a set-up is tried
	// again, when a ring fails or is replaced, when Accept fails, and what a comparison
	// of the gears has found, with its figures. Calls come from any goroutine; a panic in
	// one loses the record, and standard error has a line. Default: none is told, or,
	// with QUOIT_DEBUG=1, standard error is.
	Logger *slog.Logger

	// DirectWrites has each Write hand its bytes to the kernel before it returns, in
	// GearRing too: nothing that was written is lost when the process ends, and no Write
	// waits for a ring's thread. It costs what GearRing gains with pipelines.
	// Default: false.
	DirectWrites bool
}

// Gear is a way for connections to wait for their peers. What a caller sees
// does not depend on it.
type Gear int

const (
	// GearAuto is GearPoll, and GearRing while that saves CPU time, or costs at most
	// a tenth more and the slowest goroutines wait much less for a processor: when many
	// connections become ready at once. It finds out by trying both, for one or two
	// seconds, and again after ten seconds to a minute. As it is the
	// zero value, a Config cannot ask for it where QUOIT has another one.
	GearAuto Gear = iota

	// GearRing waits for many connections in one system call, by io_uring, and
	// sends in one what a connection writes in a row.
	GearRing

	// GearPoll waits in Go's netpoller, as package net does. Unix sockets
	// always do. What io.Copy forwards between two conns goes by the ring in
	// every gear.
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
	defaultEntries = 1024
	maxBusyPoll    = time.Millisecond
	maxRings       = environ.MaxRings
	maxCPU         = 1023 // sched_setaffinity's in x/sys
)

// ConfigError reports a [Config] field that is out of its range.
type ConfigError struct {
	Field    string // name of the field
	Value    int    // what it held
	Min, Max int    // what it may hold; zero stands for the default
	Err      error  // what the system said to a Value in between; nil otherwise
}

func (e *ConfigError) Error() string {
	switch {
	case e.Err != nil:
		return fmt.Sprintf("quoit: Config.%s has CPU %d: %v", e.Field, e.Value, e.Err)
	case e.Field == "Affinity":
		return fmt.Sprintf("quoit: Config.Affinity has CPU %d, want %d to %d", e.Value, e.Min, e.Max)
	case e.Field == "BusyPoll":
		return fmt.Sprintf("quoit: Config.BusyPoll is %v, want 0 (default) to %v", time.Duration(e.Value), time.Duration(e.Max))
	}
	return fmt.Sprintf("quoit: Config.%s is %d, want 0 (default) or %d to %d", e.Field, e.Value, e.Min, e.Max)
}

func (e *ConfigError) Unwrap() error { return e.Err }

// resolved returns c with defaults filled in, or a *ConfigError.
func (c *Config) resolved() (Config, error) {
	var out Config
	if c != nil {
		out = *c
	}
	if out.Gear == GearAuto {
		out.Gear = defaultGear()
	}
	out.AnyArch = out.AnyArch || forced.AnyArch
	for _, f := range []struct {
		name            string
		value, min, max int64 // as BusyPoll is, which an int may not hold
	}{
		{"Gear", int64(out.Gear), int64(GearRing), int64(GearPoll)},
		{"BusyPoll", int64(out.BusyPoll), 1, int64(maxBusyPoll)},
		{"Rings", int64(out.Rings), 1, maxRings},
		{"Entries", int64(out.Entries), 16, 32768},
	} {
		if f.value != 0 && (f.value < f.min || f.value > f.max) { // 0 is the default
			return Config{}, &ConfigError{Field: f.name, Value: int(f.value), Min: int(f.min), Max: int(f.max)}
		}
	}
	for _, cpu := range out.Affinity {
		if cpu < 0 || cpu > maxCPU {
			return Config{}, &ConfigError{Field: "Affinity", Value: cpu, Max: maxCPU}
		}
	}
	out.Affinity = slices.Clone(out.Affinity)
	out.Rings = cmp.Or(out.Rings, ringsFor(&out))
	out.Entries = ceilPow2(cmp.Or(out.Entries, defaultEntries))
	return out, nil
}

// defaultGear is what tests force, else what the environment has.
func defaultGear() Gear {
	if forced.Gear != 0 {
		return Gear(forced.Gear)
	}
	switch environ.Get().Mode {
	case "ring":
		return GearRing
	case "poll":
		return GearPoll
	}
	return GearAuto
}

// ringsFor is the default of c.Rings. In GearRing the thread of a ring was seen
// to take a third of a busy server's CPU time.
func ringsFor(c *Config) int {
	n := (runtime.GOMAXPROCS(0) + 2) / 3
	switch {
	case len(c.Affinity) > 0:
		n = len(c.Affinity)
	case forced.Rings > 0:
		n = forced.Rings
	case environ.Get().Rings > 0:
		n = environ.Get().Rings
	}
	return min(n, maxRings)
}

func ceilPow2(n int) int {
	p := 1
	for p < n {
		p <<= 1
	}
	return p
}
