// Package programs shows quoit build on other people's programs: each one is taken
// from the module proxy at a fixed version, unmodified, and built twice, by go and
// by quoit. The tests that it brings along have to give the same results, and its
// servers the same answers to the same client. It has tests only, in a module of
// its own. docs/compatibility.md has the results; a run with -update writes them.
package programs
