package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/quoit-go/quoit/bench/internal/serve"
)

// side is one of the two servers that are compared: TRANSPORT[:VARIANT][@BINARY].
type side struct {
	transport string
	variant   string // of quoit; only the server knows what it means
	binary    string // "" is this one
}

func (s side) String() string {
	out := s.transport
	if s.variant != "" {
		out += ":" + s.variant
	}
	if s.binary != "" {
		out += "@" + s.binary
	}
	return out
}

// servers is the part of the help about -base and -versus.
var servers = `
A server is net, quoit or quoit:OPTION+OPTION, such as quoit:ring+2rings+least,
or any of them @BINARY of another build. The options of quoit:
` + serve.Help()

func (o *options) selectSides(sel selection) error {
	if !slices.Contains(serve.Gears, sel.gear) {
		return fmt.Errorf("-gear: %q is none of %s", sel.gear, strings.Join(serve.Gears, ", "))
	}
	if sel.gear == "auto" { // the default needs no mention in names
		sel.gear = ""
	}
	var err error
	if o.base, err = parseSide(sel.base, sel.gear); err != nil {
		return fmt.Errorf("-base: %w", err)
	}
	for s := range strings.SplitSeq(sel.versus, ",") {
		v, err := parseSide(s, sel.gear)
		if err != nil {
			return fmt.Errorf("-versus: %w", err)
		}
		o.versus = append(o.versus, v)
	}
	return nil
}

// parseSide reads TRANSPORT[:VARIANT][@BINARY]; gear is that of a quoit
// whose variant names none.
func parseSide(text, gear string) (side, error) {
	var s side
	name, binary, other := strings.Cut(text, "@")
	var named bool
	if s.transport, s.variant, named = strings.Cut(name, ":"); named && s.variant == "" {
		return s, fmt.Errorf("%q lacks what the colon announces", text)
	}
	if s.transport == "quoit" {
		s.variant = serve.WithGear(s.variant, gear)
	}
	if !other {
		return s, serve.Check(s.transport, s.variant)
	}
	// What variants another build has, only that build knows.
	s.binary = binary
	if err := serve.Check(s.transport, ""); err != nil {
		return s, err
	}
	_, err := os.Stat(binary)
	return s, err
}
