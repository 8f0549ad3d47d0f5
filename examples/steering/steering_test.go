package main

import (
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/quoit-go/quoit/internal/testenv/enginetest"
)

// quick has a lot of conns come and go in a short time.
var quick = []string{"-conns=200", "-life=150ms", "-rate=10", "-busy=0", "-every=50ms"}

// result of one part of a tour, as printed.
type printed struct {
	conns, requests float64
	sent            []int
}

var resultPattern = regexp.MustCompile(`(?m)^(\S.*?) +(\d+\.\d+) +(\d+\.\d+) +\[([ \d]+)\]$`)

func results(t *testing.T, out string) map[string]printed {
	t.Helper()
	all := map[string]printed{}
	for _, m := range resultPattern.FindAllStringSubmatch(out, -1) {
		var r printed
		r.conns, _ = strconv.ParseFloat(m[2], 64)
		r.requests, _ = strconv.ParseFloat(m[3], 64)
		for f := range strings.FieldsSeq(m[4]) {
			n, err := strconv.Atoi(f)
			if err != nil {
				t.Fatal(err)
			}
			r.sent = append(r.sent, n)
		}
		all[m[1]] = r
	}
	return all
}

// uneven is the greatest by the mean.
func uneven(sent []int) float64 {
	total := 0
	for _, n := range sent {
		total += n
	}
	return float64(slices.Max(sent)*len(sent)) / float64(max(total, 1))
}

// The tour shows of each policy what it is for.
func TestTour(t *testing.T) {
	needProgram(t)
	out, code := launch(t, append(quick, "-tour", "-phase=1500ms", "-rings=4")...).wait()
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	all := results(t, out)
	for _, name := range []string{"least loaded", "round robin", "by source", "by CPU", "least loaded, ring 3 drained"} {
		r := all[name]
		if len(r.sent) != 4 {
			t.Fatalf("%s is not there:\n%s", name, out)
		}
		t.Logf("%-30s conns %.2f requests %.2f sent %v", name, r.conns, r.requests, r.sent)
		if !strings.Contains(out, "policy: "+strings.TrimSuffix(name, ", ring 3 drained")+" (eBPF)\n") {
			t.Errorf("no table says that %s is in force", name)
		}
		if slices.Max(r.sent) < 20 {
			t.Errorf("%s: %v new conns tell nothing", name, r.sent)
		}
	}
	source := all["by source"]
	for _, name := range []string{"least loaded", "round robin", "least loaded, ring 3 drained"} {
		r := all[name]
		if strings.HasSuffix(name, "drained") {
			if r.sent[3] > 2 { // a SYN may have been under way
				t.Errorf("with ring 3 drained: sent %v", r.sent)
			}
			r.sent = r.sent[:3]
		}
		// How even conns are depends on how busy the machine is, too.
		if r.conns < 1 || r.conns >= source.conns || r.requests >= source.requests || uneven(r.sent) >= uneven(source.sent) {
			t.Errorf("%s is no more even than by source, although sources are not: %+v, %+v", name, r, source)
		}
	}
	if r := all["round robin"]; slices.Max(r.sent)-slices.Min(r.sent) > 3 {
		t.Errorf("round robin: sent %v", r.sent)
	}
	if uneven(source.sent) > 3 {
		t.Errorf("by source has one source: %+v", source)
	}
	checkTotals(t, out)
}

var totals = regexp.MustCompile(`in all: (\d+) conns opened, the rings had (\d+); (\d+) requests answered, the rings received (\d+)\n`)

// checkTotals compares what the rings count with what the load does.
func checkTotals(t *testing.T, out string) {
	t.Helper()
	m := totals.FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("no totals:\n%s", out)
	}
	if m[1] != m[2] || m[3] != m[4] || m[1] == "0" {
		t.Error(m[0])
	}
}

// One source has one ring, until that is drained. Keys do it.
func TestKeys(t *testing.T) {
	needProgram(t)
	p := launch(t, append(quick, "-rings=3", "-sources=1")...)
	p.block("the first policy", func(b block) bool { return b.has("policy: least loaded (eBPF)") })

	home := only(t, p, "s", "> new conns go by source")
	away := only(t, p, strconv.Itoa(home), "> ring "+strconv.Itoa(home)+" gets no new conns")
	if away == home {
		t.Errorf("ring %d is drained and the source stays there", home)
	}
	empty := p.block("the drained ring empty", func(b block) bool { return b.rows(t)[home].conns == 0 })
	if r := empty.rows(t)[home]; r.state != "drained" {
		t.Errorf("ring %d: %+v", home, r)
	}
	if back := only(t, p, strconv.Itoa(home), "> ring "+strconv.Itoa(home)+" gets new conns again"); back != home {
		t.Errorf("the source was at ring %d and returned to ring %d", home, back)
	}

	p.press("r")
	first := p.block("round robin", func(b block) bool { return b.has("> new conns go to one ring after the other") }).rows(t)
	p.block("conns at all rings", func(b block) bool {
		for i, r := range b.rows(t) {
			if r.sent < first[i].sent+20 {
				return false
			}
		}
		return b.has("policy: round robin (eBPF)")
	})
	for _, k := range []struct{ key, want, state string }{
		{"c", "policy: by CPU (eBPF)", "open"},
		{"l", "policy: least loaded (eBPF)", "open"},
		{"0", "> ring 0 gets no new conns", "drained"},
		{"1", "> ring 1 gets no new conns", "drained"},
		{"2", "> all rings are drained, which is as if none was", "open"},
		{"0", "> ring 0 gets new conns again", "open"},
		{"7", "> not done: steering: the ring is 7, want 0 to 2", "open"},
		{"w", `> not done: "w" is no key`, "open"},
	} {
		p.press(k.key)
		b := p.block(k.want, func(b block) bool { return b.has(k.want) })
		if got := b.rows(t)[0].state; got != k.state && got != "held" {
			t.Errorf("after %s ring 0 is %s, want %s", k.key, got, k.state)
		}
	}
	p.press("q")
	if out, code := p.wait(); code != 0 {
		t.Errorf("exit code %d:\n%s", code, out)
	} else {
		checkTotals(t, out)
	}
}

// only presses key and returns the one ring that conns are sent to from then
// on.
func only(t *testing.T, p *program, key, said string) int {
	t.Helper()
	p.press(key)
	before := p.block(said, func(b block) bool { return b.has(said) }).rows(t)
	at := -1
	p.block("200 new conns", func(b block) bool {
		for i, r := range b.rows(t) {
			if r.sent-before[i].sent >= 200 {
				at = i
			}
		}
		if at >= 0 {
			for i, r := range b.rows(t) {
				if i != at && r.sent > before[i].sent+runtime.NumCPU() { // which may have been under way
					t.Errorf("%s: %d conns came to ring %d, and %d to ring %d", said,
						r.sent-before[i].sent, i, b.rows(t)[at].sent-before[at].sent, at)
				}
			}
		}
		return at >= 0
	})
	return at
}

// What needs no privilege serves, too, and says that it is fixed.
func TestPlain(t *testing.T) {
	enginetest.NeedRing(t)
	for name, policy := range map[string]string{
		"hash": "hash", "cpu": "by CPU (classic BPF)", "random": "at random (classic BPF)", "none": "none: one socket, ",
	} {
		t.Run(name, func(t *testing.T) {
			p := launch(t, append(quick, "-steering="+name)...)
			b := p.block("conns at two rings", func(b block) bool {
				busy := 0
				for _, r := range b.rows(t) {
					if r.conns > 0 && r.rate > 0 {
						busy++
					}
				}
				return busy > 1 || busy == 1 && name == "cpu" // whose clients may run on one CPU
			})
			if !b.has("policy: "+policy) || !b.has("the policy is fixed") || b.has("fallback") {
				t.Errorf("with %s:\n%s", name, b.text)
			}
			for _, key := range []string{"s", "0"} {
				p.press(key)
				p.block("a refusal", func(b block) bool { return b.has("> not done: that takes the eBPF program: -steering=ebpf") })
			}
			p.press("q")
			out, code := p.wait()
			if code != 0 {
				t.Errorf("exit code %d", code)
			}
			checkTotals(t, out)
		})
	}
}
