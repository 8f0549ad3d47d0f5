package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// window is how many samples the rates are taken over.
const window = 4

type showOptions struct {
	every time.Duration
	tour  bool
	phase time.Duration
}

// show is the loop that prints.
type show struct {
	o    showOptions
	s    *server
	load *load
	out  *screen
	keys <-chan string // nil in a tour

	recent  []sample // the last window and one
	message string   // what was done last
	tour    tour
}

// loop goes on until ctx ends, q, or the end of the tour.
func (sh *show) loop(ctx context.Context) error {
	tick := time.NewTicker(sh.o.every)
	defer tick.Stop()
	var next <-chan time.Time
	if sh.o.tour {
		t := time.NewTicker(sh.o.phase)
		defer t.Stop()
		next = t.C
		sh.tour.steps = stepsFor(sh.s)
		if err := sh.step(); err != nil {
			return err
		}
	}
	for {
		sh.note()
		sh.draw()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-next:
			sh.note()
			if sh.tour.last() {
				return nil
			}
			if err := sh.step(); err != nil {
				return err
			}
		case key := <-sh.keys:
			if key = strings.TrimSpace(key); key == "q" {
				return nil
			}
			sh.press(key)
		}
	}
}

func (sh *show) press(key string) {
	if key == "" {
		return
	}
	said, err := sh.s.press(key)
	if err != nil {
		said = fmt.Sprintf("not done: %v", err)
	}
	sh.message = said
}

// step goes on to the next part of the tour.
func (sh *show) step() error {
	said, err := sh.tour.next(sh.s, sh.load)
	sh.message = said
	return err
}

// note takes a sample.
func (sh *show) note() {
	x := sh.s.sample(sh.load)
	sh.recent = append(sh.recent, x)
	if n := len(sh.recent) - 1 - window; n > 0 {
		sh.recent = sh.recent[n:]
	}
	sh.tour.note(x)
}

// draw shows the latest sample.
func (sh *show) draw() {
	x := sh.recent[len(sh.recent)-1]
	text := render(&x, &sh.recent[0], sh.s.ln.Addr())
	if sh.keys != nil {
		text += sh.s.help(len(x.stats.Rings)) + "\n"
	}
	if sh.message != "" {
		text += "> " + sh.message + "\n"
	}
	sh.out.show(text)
}

// end compares the parts of the tour, and the rings' counts with the load's.
func (sh *show) end() {
	x := sh.s.sample(sh.load)
	sh.out.print(sh.tour.summary())
	if x.stats.Transport != "io_uring" {
		sh.out.print(fmt.Sprintf("in all: %d conns opened, %d requests answered\n", sh.load.opened.Load(), x.answered))
		return
	}
	var came, requests uint64
	for _, r := range x.stats.Rings {
		came += r.Accepted
		requests += received(r)
	}
	sh.out.print(fmt.Sprintf("in all: %d conns opened, the rings had %d; %d requests answered, the rings received %d\n",
		sh.load.opened.Load(), came, x.answered, requests))
}
