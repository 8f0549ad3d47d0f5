package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/quoit-go/quoit/bench/internal/serve"
)

// side is one of the two servers that are compared: TRANSPORT[:VARIANT][@BINARY]
// or cmd:COMMAND.
type side struct {
	transport string
	variant   string // of quoit; only the server knows what it means
	binary    string // "" is this one
	command   string // of a server that is not ours, in place of all that
}

// String leaves the arguments of a command out.
func (s side) String() string {
	if s.command != "" {
		return commandPrefix + filepath.Base(strings.Fields(s.command)[0])
	}
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
` + serve.Help() + commandHelp

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
	if err := o.base.canServe(o.workloads); err != nil {
		return fmt.Errorf("-base: %w", err)
	}
	for _, s := range splitSides(sel.versus) {
		v, err := parseSide(s, sel.gear)
		if err == nil {
			err = v.canServe(o.workloads)
		}
		if err == nil && v != o.base && v.String() == o.base.String() {
			err = fmt.Errorf("%s is what the base is called, too; start one of them by a path that ends in another name", v)
		}
		if err != nil {
			return fmt.Errorf("-versus: %w", err)
		}
		o.versus = append(o.versus, v)
	}
	return nil
}

// splitSides splits at commas. A command is the last, since it may have some.
func splitSides(list string) []string {
	var out []string
	for {
		first, rest, more := strings.Cut(list, ",")
		if !more || strings.HasPrefix(list, commandPrefix) {
			return append(out, list)
		}
		out, list = append(out, first), rest
	}
}

// parseSide reads TRANSPORT[:VARIANT][@BINARY] or cmd:COMMAND; gear is that of
// a quoit whose variant names none.
func parseSide(text, gear string) (side, error) {
	if command, ok := strings.CutPrefix(text, commandPrefix); ok {
		return side{command: command}, checkCommand(command)
	}
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
