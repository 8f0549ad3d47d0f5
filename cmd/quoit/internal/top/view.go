package top

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"
)

// view is what top draws: the last two samples, and how the rates went.
type view struct {
	last, now *sample
	history   [][]float64 // of each line of rates, oldest first
	trouble   error       // why there is no newer sample
}

// add takes a sample.
func (v *view) add(p *sample) {
	if v.now != nil && (v.now.PID != p.PID || p.ClockNS <= v.now.ClockNS) {
		*v = view{} // another process
	}
	v.last, v.now = v.now, p
	if v.last == nil {
		return
	}
	if v.history == nil {
		v.history = make([][]float64, len(rates))
	}
	for i, r := range rates {
		h := append(v.history[i], r.value(v.last, v.now))
		v.history[i] = h[max(0, len(h)-maxHistory):]
	}
}

const maxHistory = 60

// rate is a line with a number and its course.
type rate struct {
	name  string
	value func(a, b *sample) float64
	form  func(float64) string
}

var rates = []rate{
	{"Reads/s", per(func(s *counters) uint64 { return s.RingReads + s.DirectReads }), count},
	{"received/s", per(func(s *counters) uint64 { return s.BytesReceived }), size},
	{"sent/s", per(func(s *counters) uint64 { return s.BytesSent }), size},
	{"new conns/s", per(func(s *counters) uint64 { return s.Accepted + s.Adopted }), count},
	{"enters/s", per(func(s *counters) uint64 { return s.Enters }), count},
	{"per turn", func(a, b *sample) float64 {
		return ratio(b.Stats.Completions-a.Stats.Completions, sum(b.Stats.TurnSizes)-sum(a.Stats.TurnSizes))
	}, count},
	{"gear ring", func(a, b *sample) float64 {
		ring, poll := b.Stats.RingTime-a.Stats.RingTime, b.Stats.PollTime-a.Stats.PollTime
		return ratio(uint64(ring), uint64(ring+poll))
	}, percent},
	{"slow readers", per(func(s *counters) uint64 { return s.SendsParked }), count},
	{"CPU", func(a, b *sample) float64 { return float64(b.CPUNS-a.CPUNS) / float64(b.ClockNS-a.ClockNS) }, percent},
}

func per(counter func(*counters) uint64) func(a, b *sample) float64 {
	return func(a, b *sample) float64 {
		d := int64(counter(&b.Stats.counters) - counter(&a.Stats.counters))
		return float64(max(d, 0)) / time.Duration(b.ClockNS-a.ClockNS).Seconds()
	}
}

func ratio(a, b uint64) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}

func sum(buckets [20]uint64) (n uint64) {
	for _, b := range buckets {
		n += b
	}
	return n
}

// lines draws at most height lines of at most width characters.
func (v *view) lines(width, height int) []string {
	p := v.now
	out := []string{v.title()}
	if v.trouble != nil {
		out = append(out, "! no answer: "+v.trouble.Error())
	}
	for _, f := range p.Findings {
		if f.Level != "good" {
			out = append(out, mark(f.Level)+f.Text)
		}
	}
	if p.Stats.Transport != "io_uring" && len(p.Findings) == 0 { // expvar has no findings
		out = append(out, mark("problem")+"Package net serves: "+p.Stats.Reason)
	}
	if p.Stats.Transport == "io_uring" {
		out = append(out, "")
		out = append(out, v.rateLines(width)...)
		out = append(out, delayLines(v.last, p)...)
		out = append(out, "")
		out = append(out, v.rings(height-len(out)-2-min(len(p.Stats.Listening), 3))...)
		out = append(out, v.listeners(height-len(out))...)
	}
	for i := range out {
		out[i] = cut(plain(out[i]), width)
	}
	return out[:min(len(out), max(height, 1))]
}

func (v *view) title() string {
	p := v.now
	parts := []string{"quoit: " + cmp.Or(p.Program, "?")}
	if p.PID != 0 {
		parts[0] += fmt.Sprintf(" %d", p.PID)
	}
	if p.Stats.Transport == "io_uring" {
		parts = append(parts, "io_uring, gear "+p.Stats.Gear, plural(len(p.Stats.Rings), "ring"), plural(p.Stats.Conns, "conn"))
	} else {
		parts = append(parts, "package net")
	}
	if p.MemoryBytes > 0 {
		parts = append(parts, size(float64(p.MemoryBytes)))
	}
	if p.Kernel != "" {
		parts = append(parts, "Linux "+p.Kernel)
	}
	return strings.Join(parts, " · ")
}

func mark(level string) string {
	if level == "problem" {
		return "! "
	}
	return "- "
}

func (v *view) rateLines(width int) (out []string) {
	for i, r := range rates {
		if v.last == nil {
			out = append(out, fmt.Sprintf("%-13s%9s", r.name, "..."))
			continue
		}
		if r.name == "CPU" && v.now.CPUNS == 0 {
			continue
		}
		h := v.history[i]
		out = append(out, fmt.Sprintf("%-13s%9s  %s", r.name, r.form(h[len(h)-1]), spark(h[max(0, len(h)-max(width-25, 0)):])))
	}
	return out
}

// spark draws numbers as bars, the largest as a full one.
func spark(h []float64) string {
	if len(h) < 2 {
		return ""
	}
	const bars = "▁▂▃▄▅▆▇█"
	steps := []rune(bars)
	top := slices.Max(append([]float64{0}, h...))
	var b strings.Builder
	for _, n := range h {
		i := 0
		if top > 0 {
			i = int(math.Round(n / top * float64(len(steps)-1)))
		}
		b.WriteRune(steps[min(max(i, 0), len(steps)-1)])
	}
	return b.String()
}

// delayLines are of what came between two samples, or of all without an older one.
func delayLines(a, b *sample) (out []string) {
	for _, d := range []struct {
		name string
		of   func(*counters) *[20]uint64
	}{
		{"wake delay", func(s *counters) *[20]uint64 { return &s.WakeDelays }},
		{"Write delay", func(s *counters) *[20]uint64 { return &s.WriteDelays }},
	} {
		counts := *d.of(&b.Stats.counters)
		if a != nil {
			for i, n := range d.of(&a.Stats.counters) {
				counts[i] -= n
			}
		}
		text := "none"
		if sum(counts) > 0 {
			text = fmt.Sprintf("half under %s, 99 %% under %s", quantile(counts, .5), quantile(counts, .99))
		}
		out = append(out, fmt.Sprintf("%-13s%s", d.name, text))
	}
	return out
}

// quantile is the bound of the bucket that it is in.
func quantile(counts [20]uint64, q float64) string {
	left, i := q*float64(sum(counts)), 0
	for left -= float64(counts[0]); left > 0 && i < len(counts)-1; left -= float64(counts[i]) {
		i++
	}
	if i == len(counts)-1 {
		return "a second or more"
	}
	return (time.Duration(1<<i) * time.Microsecond).String()
}

func (v *view) rings(height int) []string {
	rows := make([]string, 0, len(v.now.Stats.Rings)+1)
	rows = append(rows, fmt.Sprintf("%-5s%5s%9s%10s%11s%11s%10s%9s", "RING", "GEAR", "CONNS", "READS/S", "RECV/S", "SENT/S", "ENTERS/S", "PER TURN"))
	for i, r := range v.now.Stats.Rings {
		row := fmt.Sprintf("%-5d%5s%9s", i, r.Gear, count(float64(r.Conns)))
		if v.last != nil && i < len(v.last.Stats.Rings) {
			x, t := v.last.Stats.Rings[i], time.Duration(v.now.ClockNS-v.last.ClockNS).Seconds()
			speed := func(a, b uint64) float64 { return float64(b-a) / t }
			row += fmt.Sprintf("%10s%11s%11s%10s%9s", count(speed(x.RingReads+x.DirectReads, r.RingReads+r.DirectReads)),
				size(speed(x.BytesReceived, r.BytesReceived)), size(speed(x.BytesSent, r.BytesSent)), count(speed(x.Enters, r.Enters)),
				count(ratio(r.Completions-x.Completions, sum(r.TurnSizes)-sum(x.TurnSizes))))
		}
		if r.Held {
			row += " held"
		}
		rows = append(rows, row)
	}
	return short(rows, height)
}

func (v *view) listeners(height int) []string {
	rows := []string{fmt.Sprintf("%-34s%12s%11s%9s%12s", "LISTENER", "ACCEPTED/S", "ACCEPTED", "FAILED", "WAITING")}
	for _, l := range v.now.Stats.Listening {
		waiting := "?"
		if l.Backlog >= 0 {
			waiting = fmt.Sprintf("%d of %d", l.Queue, l.Backlog)
		}
		speed := "..."
		if v.last != nil {
			i := slices.IndexFunc(v.last.Stats.Listening, func(x listening) bool { return x.Network == l.Network && x.Addr == l.Addr })
			if i >= 0 {
				speed = count(float64(l.Accepted-v.last.Stats.Listening[i].Accepted) / time.Duration(v.now.ClockNS-v.last.ClockNS).Seconds())
			}
		}
		rows = append(rows, fmt.Sprintf("%-34s%12s%11s%9s%12s", cut(plain(l.Network+" "+l.Addr), 33), speed,
			count(float64(l.Accepted)), count(float64(l.AcceptFailures)), waiting))
	}
	return short(rows, height)
}

// short leaves out what has no room, and says so.
func short(rows []string, height int) []string {
	if len(rows) <= max(height, 0) {
		return rows
	}
	if height < 2 {
		return nil
	}
	return append(rows[:height-1:height-1], fmt.Sprintf("and %d more", len(rows)-height+1))
}

// plain replaces what a terminal might obey: the text is another process's.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}

// cut shortens s to width characters.
func cut(s string, width int) string {
	if r := []rune(s); len(r) > width {
		return string(r[:max(width-1, 0)]) + "…"
	}
	return s
}

func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

func count(n float64) string {
	for _, u := range []struct {
		size float64
		name string
	}{{1e12, " T"}, {1e9, " G"}, {1e6, " M"}, {1e3, " k"}} {
		if n >= u.size {
			return digits(n/u.size) + u.name
		}
	}
	return digits(n)
}

func digits(n float64) string {
	switch {
	case n == math.Trunc(n) || n >= 100:
		return fmt.Sprintf("%.0f", n)
	case n >= 10:
		return fmt.Sprintf("%.1f", n)
	}
	return fmt.Sprintf("%.2f", n)
}

func size(n float64) string {
	if n < 1e3 {
		return count(n) + " B"
	}
	return count(n) + "B"
}

func percent(n float64) string { return fmt.Sprintf("%.0f %%", 100*n) }
