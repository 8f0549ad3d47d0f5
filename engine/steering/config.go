package steering

import "fmt"

// Config says how connections are spread. The zero value, and nil, mean the
// defaults.
type Config struct {
	// Policy is what the program does at first. Default [LeastLoaded].
	Policy Policy

	// Fallback is what serves where the program cannot be loaded. Default
	// [NoFallback]: Attach fails, with an [*UnsupportedError].
	Fallback Fallback

	// NoMigration has the kernel reset connections that nobody has accepted
	// when their socket closes, instead of moving them to another socket. There
	// is no reason for that but to see the difference. Default false.
	NoMigration bool

	// Seed changes which ring a source comes to under [BySource]. Processes
	// with the same Seed and as many rings agree about it. Default 0; any.
	Seed uint64
}

// Policy says which ring a new connection comes to. All policies skip rings
// that are held, have weight 0 or whose socket has closed, as long as there is
// another.
type Policy int

const (
	// LeastLoaded draws two rings at random, by weight, and takes the one with
	// fewer open and announced connections for its weight.
	LeastLoaded Policy = iota

	// RoundRobin takes one ring after the other; a ring of twice the weight
	// comes up twice as often.
	RoundRobin

	// BySource takes the same ring for the same IP address, and shares the
	// addresses out by weight. A change to one ring moves, apart from what comes
	// to that ring, no source of another.
	BySource

	// ByCPU takes a ring that is pinned to the CPU which the kernel handles the
	// connection's first packet on; if none is, CPUs are dealt out to all rings.
	// Weights other than 0 make no difference to it.
	ByCPU
)

var policyNames = [...]string{LeastLoaded: "least loaded", RoundRobin: "round robin", BySource: "by source", ByCPU: "by CPU"}

func (p Policy) String() string {
	if p < 0 || int(p) >= len(policyNames) {
		return fmt.Sprintf("Policy(%d)", int(p))
	}
	return policyNames[p]
}

func (p Policy) check() error {
	return check("Config.Policy", int(p), 0, len(policyNames)-1)
}

// Fallback is a way to spread connections that needs no privilege. None of
// them knows of weights and held rings, nor can they move connections: those
// that nobody has accepted when their socket closes are reset, unless
// net.ipv4.tcp_migrate_req is set.
type Fallback int

const (
	NoFallback       Fallback = iota
	FallbackByCPU             // classic BPF: the CPU's number modulo the number of rings
	FallbackAtRandom          // classic BPF
	FallbackHash              // the kernel's own choice, by addresses and ports
)

var fallbackNames = [...]string{
	NoFallback: "none", FallbackByCPU: "by CPU (classic BPF)", FallbackAtRandom: "at random (classic BPF)", FallbackHash: "hash",
}

func (f Fallback) String() string {
	if f < 0 || int(f) >= len(fallbackNames) {
		return fmt.Sprintf("Fallback(%d)", int(f))
	}
	return fallbackNames[f]
}

const (
	// MaxRings is how many rings one listener may have.
	MaxRings = 256

	// DefaultWeight is the weight of a ring that [Steering.SetWeight] was not
	// called for, and MaxWeight the highest.
	DefaultWeight = 100
	MaxWeight     = 1000
)

// resolved returns a copy of c, or a *ConfigError.
func (c *Config) resolved() (Config, error) {
	var out Config
	if c != nil {
		out = *c
	}
	if err := out.Policy.check(); err != nil {
		return Config{}, err
	}
	if err := check("Config.Fallback", int(out.Fallback), 0, len(fallbackNames)-1); err != nil {
		return Config{}, err
	}
	return out, nil
}

func check(field string, value, low, high int) error {
	if value < low || value > high {
		return &ConfigError{Field: field, Value: value, Min: low, Max: high}
	}
	return nil
}
