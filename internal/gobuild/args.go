package gobuild

import (
	"fmt"
	"slices"
	"strings"
)

// command is a command line of the go command, taken apart.
type command struct {
	verb  string   // build, run, test or install
	chdir string   // -C
	args  []string // what follows the verb, without -C, -mod and -overlay
	tail  int      // args[:tail] are flags and packages, the rest is the program's

	overlay string            // -overlay
	flags   map[string]string // those that say what is built, by name
	pkgs    []string          // packages, or files
}

// A usageError is about the command line.
type usageError string

func (e usageError) Error() string { return string(e) }

// Flags of the go command by whether a value follows, as its own parser has it.
var (
	boolFlags = strings.Fields("a n x v race msan asan cover work trimpath modcacherw linkshared buildvcs json i")
	boolTest  = strings.Fields("c benchmem failfast short fullpath artifacts")
	valFlags  = strings.Fields("C p covermode coverpkg asmflags buildmode compiler gccgoflags gcflags installsuffix " +
		"ldflags mod modfile overlay pgo pkgdir tags toolexec debug-actiongraph debug-runtime-trace debug-trace")
	valVerb = map[string][]string{
		"build":   {"o"},
		"install": {},
		"run":     {"exec"},
		"test": strings.Fields("o exec bench benchtime blockprofile blockprofilerate count coverprofile cpu cpuprofile fuzz " +
			"fuzzminimizetime fuzztime list memprofile memprofilerate mutexprofile mutexprofilefraction " +
			"outputdir parallel run shuffle skip testlogfile timeout trace vet"),
	}
)

// listed are the flags that decide which files a package has.
var listed = strings.Fields("tags mod modfile race msan asan compiler installsuffix")

// parse takes apart what follows the verb, as cmd/go does. It knows all of that
// command's flags; only a test binary may have others.
func parse(verb string, args []string) (*command, error) {
	p := parser{cmd: &command{verb: verb, flags: map[string]string{}}, rest: args}
	if err := p.run(); err != nil {
		return nil, err
	}
	c := p.cmd
	c.tail = len(c.args)
	c.args = append(c.args, p.rest...)
	if len(c.pkgs) == 0 {
		c.pkgs = []string{"."}
		if verb == "run" {
			return nil, usageError("quoit run: no packages, nor files")
		}
	}
	return c, nil
}

// parser is the state of parse.
type parser struct {
	cmd    *command
	rest   []string
	inPkgs bool // the last argument was a package
	noPkgs bool // what looks like one is the test binary's
}

func (p *parser) run() error {
	for len(p.rest) > 0 {
		arg := p.rest[0]
		if len(arg) < 2 || arg[0] != '-' {
			if !p.operand(arg) {
				return nil
			}
			continue
		}
		p.noPkgs = p.noPkgs || p.inPkgs
		if p.cmd.verb != "test" && p.inPkgs || arg == "--" || arg == "-args" || arg == "--args" {
			return p.end(arg)
		}
		if err := p.flag(arg); err != nil {
			return err
		}
	}
	return nil
}

// operand takes an argument that is no flag. It reports whether there may be more.
func (p *parser) operand(arg string) bool {
	c := p.cmd
	if p.noPkgs || c.verb == "run" && p.inPkgs && !(isFile(c.pkgs[0]) && isFile(arg)) {
		return false
	}
	c.pkgs = append(c.pkgs, arg)
	c.args = append(c.args, arg)
	p.rest, p.inPkgs = p.rest[1:], true
	return true
}

// isFile reports whether go run takes arg for a file. The other verbs look whether there
// is a file: the name of a package may end like one, too.
func isFile(arg string) bool { return strings.HasSuffix(arg, ".go") }

// end handles what ends flags.
func (p *parser) end(arg string) error {
	c := p.cmd
	switch {
	case c.verb == "run" && p.inPkgs: // the program's arguments
	case c.verb == "test": // the test binary's: go test takes no package after "--"
	case arg == "--" && !p.inPkgs:
		c.args, p.rest = append(c.args, arg), p.rest[1:]
		for len(p.rest) > 0 && p.operand(p.rest[0]) {
		}
	default:
		return usageError(fmt.Sprintf("quoit %s: %s comes after a package; flags go before them", c.verb, arg))
	}
	return nil
}

// flag takes a flag, with its value.
func (p *parser) flag(arg string) error {
	c := p.cmd
	name, value, hasValue := strings.Cut(strings.TrimPrefix(arg[1:], "-"), "=")
	name = strings.TrimPrefix(name, "test.")
	taken := 1
	switch {
	case slices.Contains(boolFlags, name), c.verb == "test" && slices.Contains(boolTest, name):
		if !hasValue {
			value = "true"
		}
	case slices.Contains(valFlags, name), slices.Contains(valVerb[c.verb], name):
		if !hasValue {
			if len(p.rest) < 2 {
				return usageError(fmt.Sprintf("quoit %s: flag needs an argument: %s", c.verb, arg))
			}
			value, taken = p.rest[1], 2
		}
	case c.verb == "test": // the test binary's, and what follows may be its value
		p.noPkgs = p.noPkgs || !hasValue
	default:
		return usageError(fmt.Sprintf("quoit %[1]s: go %[1]s has no flag %[2]s; go help %[1]s lists those it has", c.verb, arg))
	}
	p.keep(name, value, p.rest[:taken])
	p.rest = p.rest[taken:]
	return nil
}

func (p *parser) keep(name, value string, args []string) {
	c := p.cmd
	switch name {
	case "C":
		c.chdir = value
		return
	case "overlay":
		c.overlay = value
		return
	case "mod":
		c.flags[name] = value // which may become another one
		return
	}
	if slices.Contains(listed, name) {
		c.flags[name] = value
	}
	c.args = append(c.args, args...)
}

// listFlags are the flags for go list.
func (c *command) listFlags() []string {
	var out []string
	for _, name := range listed {
		if v, ok := c.flags[name]; ok && name != "mod" {
			out = append(out, "-"+name+"="+v)
		}
	}
	return out
}
