//go:build linux

package quoit

import (
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"
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

func (w *watch) heldOnes() (held []bool) {
	for i := range w.held {
		held = append(held, w.isHeld(i))
	}
	return held
}

// A ring with a busy conn gets no more conns until it is done.
func TestRingsHold(t *testing.T) {
	e, err := New(&Config{Rings: 2, Entries: 64, Buffers: 64})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if e.t == nil {
		t.Skip(e.reason)
	}
	e.t.watch.above = 100 // as fast as the race detector allows
	ln, err := e.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
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
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	echo := func(c net.Conn) {
		if _, err := c.Write([]byte{1}); err != nil {
			t.Error(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			t.Error(err)
		}
	}
	dial := func() net.Conn {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
		echo(c)
		return c
	}
	busy := dial()
	ring := 0
	if e.Stats().Rings[1].Conns == 1 {
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
				echo(busy)
			}
		}
	})
	held := func(want bool) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); e.Stats().Rings[ring].Held != want; {
			if time.Now().After(end) {
				t.Fatalf("not held=%v: %+v", want, e.Stats().Rings)
			}
			time.Sleep(10 * time.Millisecond)
			dial().Close()
		}
	}
	held(true)
	before := e.Stats().Rings[ring].Accepted
	for range 20 {
		dial()
	}
	if got := e.Stats().Rings[ring].Accepted - before; got != 0 {
		t.Errorf("%d of 20 conns went to the held ring", got)
	}
	close(stop)
	work.Wait()
	held(false)
	before = e.Stats().Rings[ring].Accepted
	for range 20 {
		dial()
	}
	if got := e.Stats().Rings[ring].Accepted - before; got < 15 {
		t.Errorf("%d of 20 conns went to the ring with fewer conns", got)
	}
}
