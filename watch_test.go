//go:build linux

package quoit

import (
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/quoit-go/quoit/internal/testenv"
)

func TestWatch(t *testing.T) {
	w := new(watch)
	w.init(4)
	now := time.Unix(1000, 0)
	work := make([]uint64, 4)
	run := func(d time.Duration, rates ...uint64) {
		for range d / lookEvery {
			for i, r := range rates {
				work[i] += r / uint64(time.Second/lookEvery)
			}
			now = now.Add(lookEvery)
			if !w.due(now) || w.due(now) {
				t.Fatal("not due once")
			}
			before := w.heldOnes()
			changed := w.note(now, slices.Clone(work))
			for i, was := range before {
				if slices.Contains(changed, i) != (was != w.isHeld(i)) {
					t.Errorf("ring %d: held %v, then %v; changed: %v", i, was, w.isHeld(i), changed)
				}
			}
		}
	}
	for _, tt := range []struct {
		name  string
		d     time.Duration
		rates []uint64
		held  []bool
	}{
		{"start", time.Second, []uint64{100_000, 100_000, 100_000, 100_000}, []bool{false, false, false, false}},
		{"one is busy", 2 * time.Second, []uint64{100_000, 200_000, 100_000, 100_000}, []bool{false, true, false, false}},
		{"less so", 2 * time.Second, []uint64{100_000, 120_000, 100_000, 100_000}, []bool{false, true, false, false}},
		{"no more", 5 * time.Second, []uint64{100_000, 100_000, 100_000, 100_000}, []bool{false, false, false, false}},
		{"not for a moment", lookEvery, []uint64{100_000, 200_000, 100_000, 100_000}, []bool{false, false, false, false}},
		{"two of four", 5 * time.Second, []uint64{300_000, 300_000, 100_000, 100_000}, []bool{true, true, false, false}},
		{"idle", 10 * time.Second, []uint64{0, 0, 0, 0}, []bool{false, false, false, false}},
		{"uneven, but no load", 10 * time.Second, []uint64{5000, 50, 0, 0}, []bool{false, false, false, false}},
	} {
		if run(tt.d, tt.rates...); !slices.Equal(w.heldOnes(), tt.held) {
			t.Errorf("%s: held %v, want %v (rates %.0f)", tt.name, w.heldOnes(), tt.held, w.rates)
		}
	}
}

// A ring that has only begun to send has done a little less than nothing, not
// 1<<64 of it.
func TestWatchSends(t *testing.T) {
	w := new(watch)
	w.init(2)
	now := time.Unix(1000, 0)
	for _, work := range [][]uint64{{1000, 1000}, {990, 1000}, {1000, 1000}} {
		now = now.Add(lookEvery)
		if changed := w.note(now, work); len(changed) != 0 {
			t.Errorf("work %d: changed %v, rates %.0f", work, changed, w.rates)
		}
	}
}

func (w *watch) heldOnes() (held []bool) {
	for i := range w.held {
		held = append(held, w.isHeld(i))
	}
	return held
}

// holdTest is a server of two rings that echoes, and its conns.
type holdTest struct {
	t     *testing.T
	e     *Engine
	addr  string
	conns []net.Conn
}

func newHoldTest(t *testing.T) *holdTest {
	e, err := New(&Config{Rings: 2, Entries: 64})
	if err != nil {
		t.Fatal(err)
	}
	h := &holdTest{t: t, e: e}
	t.Cleanup(func() {
		for _, c := range h.conns {
			c.Close()
		}
		e.Close()
	})
	if e.t.Load() == nil {
		testenv.NoRing(t, e.Stats().Reason)
	}
	e.t.Load().watch.above = 100 // as fast as the race detector allows
	ln, err := e.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.addr = ln.Addr().String()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	return h
}

func (h *holdTest) echo(c net.Conn) {
	if _, err := c.Write([]byte{1}); err != nil {
		h.t.Error(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		h.t.Error(err)
	}
}

func (h *holdTest) dial() net.Conn {
	h.t.Helper()
	c, err := net.Dial("tcp", h.addr)
	if err != nil {
		h.t.Fatal(err)
	}
	h.conns = append(h.conns, c)
	h.echo(c)
	return c
}

// held waits until ring is held, or is not; somebody has to come for that to
// be looked at.
func (h *holdTest) held(ring int, want bool) {
	h.t.Helper()
	for end := time.Now().Add(30 * time.Second); h.e.Stats().Rings[ring].Held != want; {
		if time.Now().After(end) {
			h.t.Fatalf("not held=%v: %+v", want, h.e.Stats().Rings)
		}
		time.Sleep(10 * time.Millisecond)
		h.dial().Close()
	}
}

// toRing returns how many of n new conns ring gets.
func (h *holdTest) toRing(ring, n int) uint64 {
	h.t.Helper()
	before := h.e.Stats().Rings[ring].Accepted
	for range n {
		h.dial()
	}
	return h.e.Stats().Rings[ring].Accepted - before
}

// A ring with a busy conn gets no more conns until it is done.
func TestRingsHold(t *testing.T) {
	h := newHoldTest(t)
	busy := h.dial()
	ring := 0
	if h.e.Stats().Rings[1].Conns == 1 {
		ring = 1
	}
	stop := make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				h.echo(busy)
			}
		}
	})
	h.held(ring, true)
	if got := h.toRing(ring, 20); got != 0 {
		t.Errorf("%d of 20 conns went to the held ring", got)
	}
	close(stop)
	work.Wait()
	h.held(ring, false)
	if got := h.toRing(ring, 20); got < 15 {
		t.Errorf("%d of 20 conns went to the ring with fewer conns", got)
	}
}
