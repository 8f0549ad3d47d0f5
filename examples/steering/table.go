package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/quoit-go/quoit"
)

const barWidth = 16

// render returns the table: conns are x's, requests those since an earlier
// sample.
func render(x, since *sample, addr fmt.Stringer) string {
	var b strings.Builder
	secs := max(x.at.Sub(since.at).Seconds(), 1e-3)
	if x.stats.Transport != "io_uring" {
		fmt.Fprintf(&b, "%v: package net serves, there are no rings and nothing to steer\n", addr)
		fmt.Fprintf(&b, "  why: %v\n", x.stats.Reason)
		fmt.Fprintf(&b, "  %.0f requests/s\n", float64(x.answered-since.answered)/secs)
		return b.String() + failures(x)
	}
	fmt.Fprintf(&b, "%v: %d rings, policy: %s\n", addr, len(x.stats.Rings), x.policy)
	if len(x.stats.Rings) < x.asked {
		fmt.Fprintf(&b, "  %d were asked for, the memory limit (ulimit -l) leaves no room\n", x.asked)
	}
	if x.err != nil {
		fmt.Fprintf(&b, "  a fallback serves: %v\n", x.err)
	}
	fmt.Fprintf(&b, "ring  cpu gear state   conns share %*s  req/s share %*s   sent\n", barWidth, "", barWidth/2, "")
	conns, requests := x.conns(), x.requests(since)
	for i, r := range x.stats.Rings {
		c, q := share(conns[i], sum(conns)), share(requests[i], sum(requests))
		fmt.Fprintf(&b, "%4d %4s %-4s %-7s %5d %4.0f%% %s %6.0f %4.0f%% %s %6s\n",
			i, cpu(r), r.Gear, state(x, i), r.Conns, 100*c, bar(c, barWidth),
			requests[i]/secs, 100*q, bar(q, barWidth/2), sent(x, i))
	}
	fmt.Fprintf(&b, "all %23.0f %27s %6.0f\n", sum(conns), "", sum(requests)/secs)
	fmt.Fprintf(&b, "worst ring by the mean: conns %.2f, requests %.2f\n", x.worst(conns), x.worst(requests))
	return b.String() + failures(x)
}

func failures(x *sample) string {
	if x.failed == 0 {
		return ""
	}
	return fmt.Sprintf("%d conns failed, the last: %v\n", x.failed, x.failure)
}

func cpu(r quoit.RingStats) string {
	if r.CPU < 0 {
		return "any"
	}
	return fmt.Sprint(r.CPU)
}

func state(x *sample, ring int) string {
	switch {
	case x.drained[ring]:
		return "drained"
	case x.stats.Rings[ring].Held:
		return "held"
	}
	return "open"
}

func sent(x *sample, ring int) string {
	if x.sent == nil {
		return "-"
	}
	return fmt.Sprint(x.sent[ring])
}

func bar(share float64, width int) string {
	n := min(int(share*float64(width)+0.5), width)
	return strings.Repeat("#", n) + strings.Repeat(".", width-n)
}

// screen shows one text after the other, on a terminal in the same place.
type screen struct {
	w        io.Writer
	terminal bool
	begun    bool
}

func newScreen(w io.Writer) *screen {
	s := &screen{w: w}
	if f, ok := w.(*os.File); ok && os.Getenv("TERM") != "dumb" {
		st, err := f.Stat()
		s.terminal = err == nil && st.Mode()&os.ModeCharDevice != 0
	}
	return s
}

// show replaces what was shown.
func (s *screen) show(text string) {
	switch {
	case !s.terminal:
		text += "\n"
	case s.begun:
		text = "\x1b[H" + clean(text)
	default:
		text = "\x1b[2J\x1b[H" + clean(text)
	}
	s.begun = true
	io.WriteString(s.w, text)
}

// clean has each line erase what it is written over.
func clean(text string) string { return strings.ReplaceAll(text, "\n", "\x1b[K\n") + "\x1b[J" }

// print adds to what is shown.
func (s *screen) print(text string) { io.WriteString(s.w, text) }
