package serve

import (
	"fmt"
	"slices"
	"strings"

	"github.com/quoit-go/quoit"
)

// Transports that a server can be asked for.
var Transports = []string{"net", "quoit"}

// Check reports whether this build can serve that variant of the transport.
// Only quoit has variants; none stands for the default.
func Check(transport, variant string) error {
	if !slices.Contains(Transports, transport) {
		return fmt.Errorf("%q is none of %s", transport, strings.Join(Transports, ", "))
	}
	if transport == "net" && variant != "" {
		return fmt.Errorf("net has no variants, such as %q", variant)
	}
	_, err := config(variant)
	return err
}

// config is the one place that knows what the variants of quoit are.
func config(variant string) (*quoit.Config, error) {
	cfg := &quoit.Config{}
	switch variant {
	case "", "auto":
	case "ring":
		cfg.Gear = quoit.GearRing
	case "poll":
		cfg.Gear = quoit.GearPoll
	default:
		return nil, fmt.Errorf("%q is none of auto, ring, poll", variant)
	}
	return cfg, nil
}

func engine(variant string) (*quoit.Engine, error) {
	cfg, err := config(variant)
	if err != nil {
		return nil, err
	}
	return quoit.New(cfg)
}
