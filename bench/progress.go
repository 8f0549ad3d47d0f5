package main

import (
	"fmt"
	"io"
	"os"
	"time"
)

// progress says how far a run is: on a terminal in one line that is written
// over, elsewhere in a line now and then.
type progress struct {
	w        io.Writer
	terminal bool
	last     time.Time
}

// quietFor is the time between two lines where there is no terminal.
const quietFor = 15 * time.Second

func newProgress(w io.Writer) *progress {
	p := &progress{w: w}
	if f, ok := w.(*os.File); ok {
		if st, err := f.Stat(); err == nil {
			p.terminal = st.Mode()&os.ModeCharDevice != 0
		}
	}
	return p
}

func (p *progress) show(label string, round, rounds int, left time.Duration) {
	line := fmt.Sprintf("round %d of %d, about %v left: %s", round, rounds, left.Round(time.Second), label)
	switch {
	case p.terminal:
		fmt.Fprintf(p.w, "\r\x1b[K%s", line)
	case time.Since(p.last) >= quietFor:
		fmt.Fprintln(p.w, line)
		p.last = time.Now()
	}
}

func (p *progress) done() {
	if p.terminal {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
