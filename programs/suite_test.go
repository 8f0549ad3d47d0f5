//go:build linux

package programs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// A suite is some of a module's tests, which go test runs.
type suite struct {
	pkgs []string
	run  string // go test's -run and -skip, "" for all and none
	skip string
}

// suiteBound is go test's -timeout.
const suiteBound = 8 * time.Minute

// tries is how often a test that does not pass is run in all.
const tries = 3

// name is the suite's for go test and the report.
func (s *suite) name() string {
	name := strings.Join(s.pkgs, " ")
	if s.run != "" {
		name += " -run " + s.run
	}
	if s.skip != "" {
		name += " -skip " + s.skip
	}
	return name
}

// outcome is what became of tests, by package and name: "pass", "fail", "skip".
type outcome map[testID]string

type testID struct{ pkg, name string }

func (id testID) String() string { return id.pkg + " " + id.name }

// top is the test function.
func (id testID) top() string {
	name, _, _ := strings.Cut(id.name, "/")
	return name
}

// event is part of a line that go test -json prints.
type event struct{ Action, Package, Test, Output string }

// try compares the outcome of the tests by go and by quoit.
func (s *suite) try(t *testing.T, p *program, dir string) {
	want := s.all(t, plain, dir)
	got := s.all(t, ours, dir)
	r := &result{Program: p.name, Modules: p.names(), What: "go test " + s.name()}
	r.Plain, r.Quoit = want.count(), got.count()
	r.Differences = s.compare(t, dir, want, got)
	if r.Plain.Passed == 0 {
		t.Error("no test passes by go test")
	}
	t.Logf("plain: %v; quoit: %v", r.Plain, r.Quoit)
	for _, d := range r.Differences {
		t.Log(d)
	}
	record(t, r)
}

// all runs the suite.
func (s *suite) all(t *testing.T, k kind, dir string) outcome {
	t.Helper()
	var args []string
	if s.run != "" {
		args = append(args, "-run", s.run)
	}
	if s.skip != "" {
		args = append(args, "-skip", s.skip)
	}
	got, says := goTest(t, k, dir, append(args, s.pkgs...))
	if k.quoit && rings(t) && !says {
		t.Errorf("no test binary built by quoit says %q", k.says)
	}
	return got
}

// goTest runs go test with args. says is whether a test binary has said what k has
// it say.
func goTest(t *testing.T, k kind, dir string, args []string) (got outcome, says bool) {
	t.Helper()
	c := command{dir: dir, env: append([]string{noWorkspace}, k.env...), bound: buildBound + suiteBound}
	start := time.Now()
	out, err := c.run(k.goTool(t), append([]string{"test", "-json", "-count=1", "-timeout", suiteBound.String()}, args...)...)
	t.Logf("%s: %v", k.name, time.Since(start).Round(time.Second))
	got = outcome{}
	text := map[string]*bytes.Buffer{} // of packages
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var e event
		if derr := d.Decode(&e); errors.Is(derr, io.EOF) {
			break
		} else if derr != nil {
			t.Fatalf("what go test -json prints: %v\n%v", derr, err)
		}
		if text[e.Package] == nil {
			text[e.Package] = new(bytes.Buffer)
		}
		text[e.Package].WriteString(e.Output)
		says = says || k.says != "" && strings.Contains(e.Output, k.says)
		switch e.Action {
		case "pass", "fail", "skip":
			id := testID{e.Package, e.Test}
			if got[id] != "fail" { // a package and its external tests may have the same names
				got[id] = e.Action
			}
		}
	}
	for pkg, b := range text { // one that has failed without a test
		if got[testID{pkg, ""}] == "fail" && !got.fails(pkg) {
			t.Errorf("%s: %s fails\n%s", k.name, pkg, tail(b.Bytes()))
		}
		delete(got, testID{pkg, ""})
	}
	if len(got) == 0 {
		t.Fatalf("%s: no test has run: %v", k.name, err)
	}
	return got, says
}

// fails reports whether a test of pkg has failed.
func (o outcome) fails(pkg string) bool {
	for id, action := range o {
		if id.pkg == pkg && id.name != "" && action == "fail" {
			return true
		}
	}
	return false
}

func (o outcome) count() (c count) {
	for _, action := range o {
		switch action {
		case "pass":
			c.Passed++
		case "fail":
			c.Failed++
		case "skip":
			c.Skipped++
		}
	}
	return c
}

// compare says of each test that has failed, or has another outcome, what it is.
// It is an error if a test passes as it is built by go, and does not by quoit.
func (s *suite) compare(t *testing.T, dir string, want, got outcome) (differences []string) {
	t.Helper()
	odd := map[testID]bool{}
	for _, o := range []outcome{want, got} {
		for id := range o {
			if want[id] != got[id] || want[id] == "fail" {
				odd[id] = true
			}
		}
	}
	ids := slices.SortedFunc(maps.Keys(odd), func(a, b testID) int { return strings.Compare(a.String(), b.String()) })
	again := map[string][2]outcome{} // by package and test function
	for _, id := range ids {
		key := id.pkg + " " + id.top()
		if _, ok := again[key]; !ok {
			again[key] = [2]outcome{retry(t, plain, dir, id, want), retry(t, ours, dir, id, got)}
		}
		w, g := again[key][0][id], again[key][1][id]
		says := fmt.Sprintf("%v: plain %s, with quoit %s", id, told(want[id], w), told(got[id], g))
		if w == "pass" && g != "pass" {
			t.Error(says)
		}
		differences = append(differences, says)
	}
	return differences
}

// told is an outcome, and what it was the first time.
func told(first, last string) string {
	names := map[string]string{"": "has not run", "pass": "passes", "fail": "fails", "skip": "is skipped"}
	if first == last {
		return names[last]
	}
	return names[last] + " when run again (" + names[first] + " at first)"
}

// retry runs the function of a test that is not as expected until it passes, at most
// tries times in all, and returns what became of it and its subtests.
func retry(t *testing.T, k kind, dir string, id testID, first outcome) outcome {
	t.Helper()
	got := first
	for range tries - 1 {
		if got[testID{id.pkg, id.top()}] == "pass" && got[id] == "pass" {
			break
		}
		got, _ = goTest(t, k, dir, []string{"-run", "^" + regexp.QuoteMeta(id.top()) + "$", id.pkg})
	}
	return got
}
