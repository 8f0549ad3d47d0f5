//go:build linux

package quoit

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quoit-go/quoit/engine"
	"github.com/quoit-go/quoit/internal/testenv"
)

// number returns a counter's value.
func number(v reflect.Value) uint64 {
	switch {
	case v.CanInt():
		return uint64(v.Int())
	case v.Kind() == reflect.Array:
		return number(v.Index(v.Len() - 1))
	}
	return v.Uint()
}

// Every number that a ring has is in Stats, and added up there; RingStats has
// all that Stats says of it.
func TestStatsAddUp(t *testing.T) {
	var es engine.Snapshot
	ring := reflect.ValueOf(&es).Elem()
	var names []string
	for _, f := range reflect.VisibleFields(ring.Type()) {
		v := ring.FieldByIndex(f.Index)
		switch {
		case f.Anonymous:
			continue
		case v.CanInt():
			v.SetInt(int64(1000 + len(names)))
		case v.Kind() == reflect.Array:
			v.Index(v.Len() - 1).SetUint(uint64(1000 + len(names)))
		default:
			v.SetUint(uint64(1000 + len(names)))
		}
		names = append(names, f.Name)
	}
	var s Stats
	var r RingStats
	addCounters(&s, &es)
	addCounters(&r, &es)
	addCounters(&s, &es)

	sum, part := reflect.ValueOf(s), reflect.ValueOf(r)
	for i, name := range names {
		want := uint64(1000 + i)
		total := 2 * want
		if strings.HasPrefix(name, "Worst") {
			total = want
		}
		if v := sum.FieldByName(name); !v.IsValid() || number(v) != total {
			t.Errorf("Stats.%s = %v, want %d", name, v, total)
		}
		if v := part.FieldByName(name); !v.IsValid() {
			if name != "Listeners" && name != "AcceptFailures" { // of the engine as a whole
				t.Errorf("RingStats has no %s", name)
			}
		} else if number(v) != want {
			t.Errorf("RingStats.%s = %v, want %d", name, v, want)
		}
	}
	for i := range part.NumField() {
		name := part.Type().Field(i).Name
		if !slices.Contains(names, name) && !slices.Contains([]string{"CPU", "Held", "Gear"}, name) {
			t.Errorf("RingStats.%s comes from nowhere", name)
		}
	}
	for i := range sum.NumField() {
		name := sum.Type().Field(i).Name
		if !slices.Contains(names, name) && !slices.Contains([]string{
			"Transport", "Reason", "Gear", "Comparisons", "RingCost", "Rings", "Listening", "Steering", "RingsLost", "SetupRetries", "SetupError",
		}, name) {
			t.Errorf("Stats.%s comes from nowhere", name)
		}
	}
}

// sum adds up a histogram.
func sum(buckets [engine.Buckets]uint64) (n uint64) {
	for _, b := range buckets {
		n += b
	}
	return n
}

// Who waits in the queue of a listener is seen there, and what became of the others.
func TestListening(t *testing.T) {
	for _, tt := range []struct {
		name, network string
		lc            ListenConfig
	}{
		{"tcp", "tcp", ListenConfig{}},
		{"tcp4", "tcp4", ListenConfig{}},
		{"steered", "tcp", ListenConfig{Steering: SteerByHash()}},
		{"unix", "unix", ListenConfig{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := gearEngine(t, Config{Rings: 2})
			addr := "127.0.0.1:0"
			if tt.network == "unix" {
				addr = filepath.Join(t.TempDir(), "s")
			}
			tt.lc.Engine = e
			ln, err := tt.lc.Listen(t.Context(), tt.network, addr)
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			want := ListenerStats{Addr: ln.Addr(), Queue: 3, Backlog: -1}
			for range want.Queue {
				c, err := net.Dial(ln.Addr().Network(), ln.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
			}
			check := func() {
				t.Helper()
				got := e.Stats().Listening
				if len(got) != 1 {
					t.Fatalf("%+v, want one", got)
				}
				w := want
				if tt.network == "unix" {
					w.Queue = -1
				} else if w.Backlog = got[0].Backlog; w.Backlog < 3 {
					t.Errorf("a backlog of %d", w.Backlog)
				}
				if !reflect.DeepEqual(got[0], w) {
					t.Errorf("%+v, want %+v", got[0], w)
				}
			}
			check()
			for want.Queue > 0 {
				c, err := ln.Accept()
				if err != nil {
					t.Fatal(err)
				}
				c.Close()
				want.Queue--
				want.Accepted++
				check()
			}
			ln.Close()
			if got := e.Stats().Listening; len(got) != 0 {
				t.Errorf("after Close: %+v", got)
			}
		})
	}
}

// A snapshot asks no socket that Close has given back, whose number may be a
// stranger's by then.
func TestListeningWhileClosing(t *testing.T) {
	e := gearEngine(t, Config{})
	stop := make(chan struct{})
	var met atomic.Uint64 // snapshots that had the listener
	done := testenv.Go(func() error {
		for {
			select {
			case <-stop:
				return nil
			default:
			}
			for _, l := range e.Stats().Listening {
				met.Add(1)
				if a := l.Addr.(*net.TCPAddr); a.Port == 0 || l.Queue != 0 {
					return fmt.Errorf("%+v", l)
				}
			}
		}
	})
	end := time.Now().Add(testenv.Bound)
	for i := 0; i < 500 || met.Load() == 0 && time.Now().Before(end); i++ {
		ln, err := e.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ln.Close()
	}
	close(stop)
	testenv.Wait(t, done, "Stats")
	if met.Load() == 0 {
		t.Error("no snapshot had a listener")
	}
}

// enginePair returns two ends of a conn, both on e.
func enginePair(t *testing.T, e *Engine) (a, b *Conn) {
	t.Helper()
	ln, err := e.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := e.Dialer().Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); s.Close() })
	return c.(*Conn), s.(*Conn)
}

// Bytes are counted both ways, whoever moves them.
func TestStatsBytes(t *testing.T) {
	const n = 3<<20 + 5
	file, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, gear := range []Gear{GearPoll, GearRing} {
		for _, tt := range []struct {
			name     string
			send     func(to *Conn) error
			forwards bool
		}{
			{"Write", func(to *Conn) error { _, err := io.Copy(struct{ io.Writer }{to}, testenv.Stream(1, n)); return err }, false},
			{"file", func(to *Conn) error {
				if err := file.Truncate(n); err != nil {
					return err
				}
				if _, err := file.Seek(0, io.SeekStart); err != nil {
					return err
				}
				_, err := to.ReadFrom(file)
				return err
			}, false},
			{"forward", nil, true},
		} {
			t.Run(gear.String()+"/"+tt.name, func(t *testing.T) {
				e := gearEngine(t, Config{Gear: gear})
				from, to := enginePair(t, e)
				moved := uint64(n)
				done := testenv.Go(func() error {
					m, err := io.Copy(io.Discard, struct{ io.Reader }{to})
					if err == nil && m != n {
						err = fmt.Errorf("%d bytes", m)
					}
					return err
				})
				sent := from
				if tt.forwards {
					in, out := enginePair(t, e)
					forward := testenv.Go(func() error { _, err := from.ReadFrom(out); return errors.Join(err, from.CloseWrite()) })
					defer testenv.Wait(t, forward, "forward")
					sent, moved = in, 2*n
					tt.send = func(to *Conn) error { // small ones first, which the ring's thread forwards
						for i := range 5 {
							if _, err := to.Write([]byte{byte(i)}); err != nil {
								return err
							}
						}
						_, err := io.Copy(struct{ io.Writer }{to}, testenv.Stream(1, n-5))
						return err
					}
				}
				if err := errors.Join(tt.send(sent), sent.CloseWrite()); err != nil {
					t.Fatal(err)
				}
				testenv.Wait(t, done, "reader")
				testenv.Poll(t, "all is counted", func() bool { // what forwards counts when the caller runs
					s := e.Stats()
					return s.BytesReceived >= moved && s.BytesSent >= moved
				})
				if s := e.Stats(); s.BytesReceived != moved || s.BytesSent != moved {
					t.Errorf("%d received, %d sent, want %d", s.BytesReceived, s.BytesSent, moved)
				}
			})
		}
	}
}

// A ring's turns, and how long those whom it wakes take to run, are counted.
func TestStatsTurns(t *testing.T) {
	e := ringEngine(t)
	a, b := enginePair(t, e)
	done := testenv.Go(func() error { _, err := io.Copy(struct{ io.Writer }{b}, struct{ io.Reader }{b}); return err })
	buf := make([]byte, 1)
	testenv.Poll(t, "callers that were woken", func() bool {
		for range 100 {
			if _, err := a.Write(buf); err != nil {
				t.Fatal(err)
			}
			if _, err := a.Read(buf); err != nil {
				t.Fatal(err)
			}
		}
		s := e.Stats()
		return sum(s.WakeDelays) > 0 && s.WakeDelaySum > 0 && sum(s.TurnSizes) > 100 && s.TurnSizes[1] > 0
	})
	a.Close()
	testenv.Wait(t, done, "echo")
	if s := e.Stats(); sum(s.WakeDelays) > s.RingReads/8 { // of one in 64
		t.Errorf("%d measured, of %d Reads that waited", sum(s.WakeDelays), s.RingReads)
	}
}
