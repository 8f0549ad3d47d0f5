package serve

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quoit-go/quoit"
	"github.com/quoit-go/quoit/engine/steering"
)

// Transports that a server can be asked for.
var Transports = []string{"net", "quoit"}

// Gears that a server on quoit can be asked for.
var Gears = []string{"auto", "ring", "poll"}

var gears = map[string]quoit.Gear{"": quoit.GearAuto, "auto": quoit.GearAuto, "ring": quoit.GearRing, "poll": quoit.GearPoll}

// direct is the option for Config.DirectWrites.
const direct = "direct"

// maxRings is quoit's limit.
const maxRings = 256

// steerings are what may spread the conns over the rings. Those of package
// steering fail where they cannot be had, rather than let something else serve.
var steerings = []struct {
	name, about string
	make        func() (quoit.Steering, error)
}{
	{"hash", "by the kernel's hash of addresses and ports", plain(quoit.SteerByHash)},
	{"random", "at random (classic BPF)", plain(quoit.SteerAtRandom)},
	{"classic-cpu", "by the CPU that took the SYN in (classic BPF)", plain(quoit.SteerByCPU)},
	{"incoming", "the same by SO_INCOMING_CPU", plain(quoit.SteerByIncomingCPU)},
	{"cpu", "the same by eBPF, as the next three", ebpf(steering.ByCPU)},
	{"least", "the ring with the fewest of two drawn at random", ebpf(steering.LeastLoaded)},
	{"roundrobin", "one ring after the other", ebpf(steering.RoundRobin)},
	{"source", "by the client's address: one generator's all come to one ring", ebpf(steering.BySource)},
}

func plain(f func() quoit.Steering) func() (quoit.Steering, error) {
	return func() (quoit.Steering, error) { return f(), nil }
}

func ebpf(p steering.Policy) func() (quoit.Steering, error) {
	return func() (quoit.Steering, error) { return steering.New(&steering.Config{Policy: p}) }
}

// variant is what stands behind the colon of a quoit: options with a plus
// between, at most one of each kind.
type variant struct {
	gear     string // "" is auto, and may be given otherwise
	rings    int    // 0 is quoit's default
	busy     time.Duration
	direct   bool
	steering string // "" is one listening socket, whose conns the rings share out
}

func parseVariant(text string) (variant, error) {
	var v variant
	if text == "" {
		return v, nil
	}
	for o := range strings.SplitSeq(text, "+") {
		if err := v.add(o); err != nil {
			return v, err
		}
	}
	if v.steering != "" && v.rings == 0 {
		return v, fmt.Errorf("%q has no number of rings, as in 2rings+%s", text, v.steering)
	}
	return v, nil
}

func (v *variant) add(option string) error {
	window, isBusy := strings.CutPrefix(option, "busy")
	number, isRings := strings.CutSuffix(strings.TrimSuffix(option, "s"), "ring")
	switch {
	case slices.Contains(Gears, option):
		if v.gear != "" {
			return fmt.Errorf("%q and %q are both gears", v.gear, option)
		}
		v.gear = option
	case slices.Contains(steeringNames(), option):
		if v.steering != "" {
			return fmt.Errorf("%q and %q are both steering", v.steering, option)
		}
		v.steering = option
	case isRings:
		n, err := strconv.Atoi(number)
		if err != nil || n < 1 || n > maxRings || option != ringsOption(n) {
			return fmt.Errorf("%q is not 1ring, or 2rings to %s", option, ringsOption(maxRings))
		}
		if v.rings != 0 {
			return fmt.Errorf("%q and %q are both numbers of rings", ringsOption(v.rings), option)
		}
		v.rings = n
	case isBusy:
		d, err := time.ParseDuration(window)
		if err != nil || d <= 0 {
			return fmt.Errorf("%q has no time, as in busy30us", option)
		}
		if v.busy != 0 {
			return fmt.Errorf("%q comes after busy%v", option, v.busy)
		}
		v.busy = d
	case option == direct:
		if v.direct {
			return fmt.Errorf("%q comes twice", option)
		}
		v.direct = true
	default:
		return fmt.Errorf("%q is none of %s, 1ring, 2rings and so on, busy30us and so on, direct, %s", option,
			strings.Join(Gears, ", "), strings.Join(steeringNames(), ", "))
	}
	return nil
}

func ringsOption(n int) string {
	if n == 1 {
		return "1ring"
	}
	return strconv.Itoa(n) + "rings"
}

func steeringNames() []string {
	var out []string
	for _, s := range steerings {
		out = append(out, s.name)
	}
	return out
}

// steer returns nil for the variant without steering.
func (v variant) steer() (quoit.Steering, error) {
	for _, s := range steerings {
		if s.name == v.steering {
			return s.make()
		}
	}
	return nil, nil
}

func (v variant) engine() (*quoit.Engine, error) {
	e, err := quoit.New(&quoit.Config{Gear: gears[v.gear], Rings: v.rings, BusyPoll: v.busy, DirectWrites: v.direct})
	if err != nil {
		return nil, err
	}
	st := e.Stats()
	if n := len(st.Rings); st.Transport == "io_uring" && v.rings > 0 && n != v.rings {
		return nil, errors.Join(fmt.Errorf("the memory limit (ulimit -l) leaves room for %d of %s", n, ringsOption(v.rings)), e.Close())
	}
	return e, nil
}

// Check reports whether this build can serve that variant of the transport.
// Only quoit has variants; none stands for the default.
func Check(transport, variant string) error {
	if !slices.Contains(Transports, transport) {
		return fmt.Errorf("%q is none of %s", transport, strings.Join(Transports, ", "))
	}
	if transport == "net" && variant != "" {
		return fmt.Errorf("net has no variants, such as %q", variant)
	}
	_, err := parseVariant(variant)
	return err
}

// WithGear adds gear to a variant of quoit that names none. A variant that
// only another build knows stays as it is.
func WithGear(variant, gear string) string {
	v, err := parseVariant(variant)
	switch {
	case gear == "" || err != nil || v.gear != "":
		return variant
	case variant == "":
		return gear
	}
	return gear + "+" + variant
}

// Help explains the variants of quoit, in lines.
func Help() string {
	var b strings.Builder
	line := func(name, about string) { fmt.Fprintf(&b, "  %-20s %s\n", name, about) }
	line(strings.Join(Gears, ", "), "gear, see -gear")
	line("1ring, 2rings, ...", "number of rings; without, quoit's default")
	line("busy30us and so on", "Config.BusyPoll")
	line(direct, "Config.DirectWrites, as in ring+direct")
	b.WriteString("One socket accepts, and each conn goes to the ring with the fewest. With a number\n" +
		"of rings, these have a listening socket for each ring and steer to them:\n")
	for _, s := range steerings {
		line(s.name, s.about)
	}
	return b.String()
}
