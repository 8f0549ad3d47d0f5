//go:build linux

package engine

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/engine/internal/gear"
)

// A Read in GearAuto looks only when that was found to pay, and not for long. What it
// does in vain ends that.
func TestAutoLooks(t *testing.T) {
	e := smallEngine(t, gear.Auto, 0)
	client, c := servedPair(t, e)
	answer := func(after time.Duration) {
		t.Helper()
		done := make(chan error, 1)
		go func() {
			_, err := c.Read(make([]byte, 10))
			done <- err
		}()
		time.Sleep(after)
		if _, err := unix.Write(client, []byte("x")); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	answer(time.Millisecond)
	if n := e.Stats().BusyReads; n != 0 {
		t.Fatalf("%d Reads looked before anything was found out", n)
	}
	e.gear.Look(true)
	for n := 0; e.Stats().BusyReads == 0; n++ {
		if n > 10_000 {
			t.Fatal("no Read found anything by looking")
		}
		e.gear.Look(true)
		answer(0)
	}
	e.gear.Look(true)
	for n := 0; e.gear.Looks(); n++ {
		if n > 1000 {
			t.Fatal("still looks, in vain")
		}
		answer(time.Millisecond)
	}
}

// TestBusyRead ends Reads that would look for an hour.
func TestBusyRead(t *testing.T) {
	e := smallEngine(t, gear.Poll, time.Hour)
	type result struct {
		n   int
		err error
	}
	read := func(c *Conn) chan result {
		ch := make(chan result, 1)
		go func() {
			n, err := c.Read(make([]byte, 10))
			ch <- result{n, err}
		}()
		return ch
	}
	for _, tt := range []struct {
		name string
		do   func(c *Conn, client int) error
		want result
	}{
		{"bytes", func(_ *Conn, client int) error { _, err := unix.Write(client, []byte("abc")); return err }, result{3, nil}},
		{"end", func(_ *Conn, client int) error { return unix.Shutdown(client, unix.SHUT_WR) }, result{0, io.EOF}},
		{"deadline", func(c *Conn, _ int) error { return c.SetDeadlines(time.Now().Add(time.Millisecond), true, false) }, result{0, os.ErrDeadlineExceeded}},
		{"deadline in the past", func(c *Conn, _ int) error { return c.SetDeadlines(time.Unix(1, 0), true, false) }, result{0, os.ErrDeadlineExceeded}},
		{"close", func(c *Conn, _ int) error { return c.Close() }, result{0, net.ErrClosed}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client, c := servedPair(t, e)
			busy := read(c)
			for !e.busy.Load() {
				runtime.Gosched()
			}
			// Meanwhile another waits as ever.
			otherClient, other := servedPair(t, e)
			waits := read(other)
			if _, err := unix.Write(otherClient, []byte("x")); err != nil {
				t.Fatal(err)
			}
			if got := <-waits; got != (result{1, nil}) {
				t.Errorf("the other read %d, %v", got.n, got.err)
			}
			if !e.busy.Load() {
				t.Error("looks no longer")
			}
			if err := tt.do(c, client); err != nil {
				t.Fatal(err)
			}
			if got := <-busy; got.n != tt.want.n || !errors.Is(got.err, tt.want.err) {
				t.Errorf("%d, %v, want %d, %v", got.n, got.err, tt.want.n, tt.want.err)
			}
			if e.busy.Load() {
				t.Error("nobody looks, and nobody else may")
			}
		})
	}
}
