//go:build linux

package pitfalls

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quoit-go/quoit/internal/testenv"
)

// The test of attacks sees what it is for: a server of package net's that does wrong.
func TestAttackSeen(t *testing.T) {
	if testing.Short() {
		t.Skip("package net alone, on which a kernel changes nothing")
	}
	others := map[string]attackCost{}
	for _, tt := range []struct {
		fault, peers, want string
	}{
		{"", "idle", ""},
		{"hoards", "idle", "bytes"},
		{"leaves", "idle", "left behind"},
		{"spins", "idle", "of CPU time, with package net"},
		{"stalls", "idle", "p99 of healthy conns"},
		{"", "both stalled", ""},
		{"takes", "both stalled", "are queued in the sockets of"},
	} {
		t.Run(tt.fault+" "+tt.peers, func(t *testing.T) {
			if tt.fault == "hoards" && testenv.Race {
				t.Skip("the race detector's shadow is as large")
			}
			testenv.Watch(t, 4*testenv.Bound)
			a := startAttacked(t, "net", tt.fault)
			a.patience = time.Second
			for _, peer := range pfAttacks {
				if peer.name == tt.peers {
					cost := a.suffer(peer, 80)
					err := cost.check(others[tt.peers])
					if tt.fault == "" {
						others[tt.peers] = cost
					}
					if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
						t.Errorf("%v, want %q", err, tt.want)
					}
				}
			}
		})
	}
}

// pfFaults are what a server can do wrong with the conns that attack it. They return the
// conn for the handler.
var pfFaults = map[string]func(c pfStream, attacks bool) pfStream{
	"hoards": func(c pfStream, attacks bool) pfStream {
		if attacks {
			return hoarding{c, []byte(strings.Repeat("x", 256<<10))}
		}
		return c
	},
	"takes": func(c pfStream, attacks bool) pfStream { return greedy{c} },
	"leaves": func(c pfStream, attacks bool) pfStream {
		go func() { select {} }()
		return c
	},
	"spins": func(c pfStream, attacks bool) pfStream {
		stalling.Lock()
		defer stalling.Unlock()
		// Where all takes longer it is more.
		for end := pfCPU() + testenv.Bound/1000; attacks && pfCPU() < end; {
		}
		return c
	},
	"stalls": func(c pfStream, attacks bool) pfStream {
		if attacks {
			stalling.Lock()
			defer stalling.Unlock()
			testenv.Pace(50 * time.Millisecond)
		}
		return stallable{c}
	},
}

// hoarding is a conn with memory of its own.
type hoarding struct {
	pfStream
	memory []byte
}

// greedy is a conn whose socket takes more than it is told to.
type greedy struct{ pfStream }

func (c greedy) SetReadBuffer(int) error  { return c.pfStream.SetReadBuffer(1 << 20) }
func (c greedy) SetWriteBuffer(int) error { return c.pfStream.SetWriteBuffer(1 << 20) }

// stallable is a conn that waits for others.
type stallable struct{ pfStream }

var stalling sync.Mutex // held by who has others wait

func (c stallable) Write(b []byte) (int, error) {
	stalling.Lock()
	defer stalling.Unlock()
	return c.pfStream.Write(b)
}
