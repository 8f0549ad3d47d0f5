// Package environ is what the environment says about engines, so that a program
// can be told without building it again: QUOIT, QUOIT_RINGS and QUOIT_DEBUG.
package environ

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
)

// Settings is what the environment says. The zero value says nothing.
type Settings struct {
	Mode  string // of QUOIT: "off", "poll", "ring", "auto", or "" if it is not set
	Rings int    // of QUOIT_RINGS: 1 to MaxRings, or 0
	Debug bool   // of QUOIT_DEBUG
}

// MaxRings is how many rings an engine can have.
const MaxRings = 256

// Off reports whether package net is to serve.
func (s Settings) Off() bool { return s.Mode == "off" }

// String is what s forces on engines, as it would be set: "QUOIT=ring", or "".
func (s Settings) String() string {
	var out []string
	if s.Mode != "" && s.Mode != "auto" {
		out = append(out, "QUOIT="+s.Mode)
	}
	if s.Rings != 0 && !s.Off() {
		out = append(out, "QUOIT_RINGS="+strconv.Itoa(s.Rings))
	}
	return strings.Join(out, " ")
}

// Get returns what the environment said when it was first called. What it does
// not understand it then says on standard error, and ignores: a program must not
// fail for it.
func Get() Settings { return get() }

var get = sync.OnceValue(func() Settings {
	s, bad := Parse(os.Getenv)
	for _, b := range bad {
		fmt.Fprintln(os.Stderr, b)
	}
	return s
})

// Parse reads the settings by getenv, and returns a line for each value that is
// not understood, which counts as if it were not set.
func Parse(getenv func(string) string) (s Settings, bad []string) {
	ignore := func(name, want string) {
		bad = append(bad, fmt.Sprintf("quoit: %s=%.40q is ignored, want %s", name, getenv(name), want))
	}
	switch v := getenv("QUOIT"); v {
	case "", "off", "poll", "ring", "auto":
		s.Mode = v
	default:
		ignore("QUOIT", "off, poll, ring or auto")
	}
	if v := getenv("QUOIT_RINGS"); v != "" {
		n, err := strconv.Atoi(v)
		if err == nil && n >= 1 && n <= MaxRings {
			s.Rings = n
		} else {
			ignore("QUOIT_RINGS", fmt.Sprintf("1 to %d", MaxRings))
		}
	}
	switch getenv("QUOIT_DEBUG") {
	case "", "0":
	case "1":
		s.Debug = true
	default:
		ignore("QUOIT_DEBUG", "0 or 1")
	}
	return s, bad
}
