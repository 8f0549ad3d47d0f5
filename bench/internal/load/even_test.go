package load

import (
	"io"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quoit-go/quoit/bench/internal/workload"
)

func TestEvenness(t *testing.T) {
	e := new(evenness)
	e.begin(3, 5*time.Second)
	at := func(ms int) time.Duration { return 5*time.Second + time.Duration(ms)*time.Millisecond }
	for ms := 100; ms <= 900; ms += 100 {
		e.answered(0, 2, at(ms))
		if ms%200 == 0 {
			e.answered(1, 1, at(ms))
		}
	}
	e.answered(2, 1, at(950))
	e.answered(0, 1, at(1100)) // of the second second
	e.answered(1, 1, at(1200))
	got := e.end(at(2150))
	if want := []Second{{1, 4, 18}, {0, 1, 1}}; !slices.Equal(got.Seconds, want) {
		t.Errorf("seconds %v, want %v", got.Seconds, want)
	}
	if got.Gap != 1200*time.Millisecond {
		t.Errorf("gap %v", got.Gap)
	}
	if s := got.Seconds[0].Share(); s != 0.25 {
		t.Errorf("share %v", s)
	}
}

// One conn of the server is answered a tenth as often as the others.
func TestSeesUnfairness(t *testing.T) {
	var conns atomic.Int64
	addr := serveConns(t, func(c net.Conn) {
		pause := 2 * time.Millisecond
		if conns.Add(1) == 2 {
			pause *= 20
		}
		for b := make([]byte, 64); ; {
			if _, err := io.ReadFull(c, b); err != nil {
				return
			}
			time.Sleep(pause) // the server's work: it is what is measured
			c.Write(b)
		}
	})
	s := spec(workload.Workload{Load: workload.LoadEcho, Conns: 5, Size: 64}, addr)
	s.Even, s.Length = true, 1100*time.Millisecond
	r, err := Run(s)
	if err != nil {
		t.Fatal(err)
	}
	if r.Even == nil || len(r.Even.Seconds) != 1 || r.Even.Seconds[0].Share() > 0.5 || r.Even.Gap < 40*time.Millisecond {
		t.Errorf("%+v", r.Even)
	}
}
