//go:build linux

package pitfalls

import (
	"bufio"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
	"github.com/quoit-go/quoit/internal/testenv/webtest"
)

// Clients that send a header byte by byte, or none, or do not read the answer, are
// dropped by http.Server's timeouts as with package net, and disturb nobody until then.
func TestAttackSlowHTTP(t *testing.T) {
	n := 60
	if pfLong() {
		n = 3000
	}
	var others attackCost
	var othersLate time.Duration
	for _, server := range pfServers {
		t.Run(server, func(t *testing.T) {
			if server != "net" {
				enginetest.NeedRing(t)
			}
			testenv.Watch(t, 4*testenv.Bound)
			slow := &slowClients{}
			cost := startSlowHTTP(t, server).suffer(attack{begin: slow.begin}, n)
			cost.report(t, others)
			t.Logf("dropped between %v and %v after the dial, and the last %v after that of all", slow.first.Round(time.Millisecond), slow.last.Round(time.Millisecond), slow.all.Round(time.Millisecond))
			if slow.first < slowTimeout {
				t.Errorf("dropped after %v, before its time", slow.first)
			}
			late := max(slow.last, slow.all)
			if limit := slowTimeout + 20*max(othersLate-slowTimeout, attackFloor); late > limit && server != "net" {
				t.Errorf("dropped up to %v after the dial, with package net %v", late, othersLate)
			}
			if server == "net" {
				others, othersLate = cost, late
			}
		})
	}
}

// slowTimeout is for a header, and for an answer.
const slowTimeout = 500 * time.Millisecond

// slowClients say how long their conns lived.
type slowClients struct {
	mu          sync.Mutex
	first, last time.Duration // of those that can see it
	all         time.Duration // from the last dial on, as the server sees it
}

func (s *slowClients) begin(p *attackers, n int) {
	var alive atomic.Int64
	drop := func(opened time.Time, f func() error) {
		alive.Add(1)
		p.wg.Go(func() {
			defer alive.Add(-1)
			var err error
			for err == nil {
				err = f()
			}
			if !errors.Is(err, io.EOF) && !errors.Is(err, unix.ECONNRESET) && !errors.Is(err, unix.EPIPE) {
				p.Error(err)
			}
			p.calls.Add(1)
			s.mu.Lock()
			defer s.mu.Unlock()
			s.last = max(s.last, time.Since(opened))
			if s.first == 0 || s.first > time.Since(opened) {
				s.first = time.Since(opened)
			}
		})
	}
	for i := range n {
		before := time.Now()
		switch i % 3 {
		case 0: // a header that does not end
			c := p.open("GET / HTTP/1.1\r\nHost: x\r\nX: ")
			drop(before, func() error { testenv.Pace(20 * time.Millisecond); _, err := c.Write([]byte("x")); return err })
		case 1: // silence
			c := p.open("")
			drop(before, func() error { _, err := c.Read(make([]byte, 1)); return err })
		case 2: // an answer that is not read
			p.open("GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
		}
	}
	opened := time.Now()
	healthy := int64(len(p.healthy))
	p.until = func() bool {
		var conns, goroutines, descriptors int64
		p.answer("left", &conns, &goroutines, &descriptors)
		s.all = time.Since(opened)
		return conns <= healthy && alive.Load() == 0
	}
}

func startSlowHTTP(t *testing.T, server string) *attacked {
	a := startQuestioned(t, "slow-http", server)
	a.newcomer = func() net.Conn { return a.open("") }
	for range attackHealthy {
		a.healthy = append(a.healthy, a.newcomer())
	}
	a.trip = func(c net.Conn, br *bufio.Reader) error {
		return webtest.RoundTrip(c, br, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	}
	return a
}

// pfChildSlowHTTP serves with timeouts.
func pfChildSlowHTTP(args []string) error {
	ln, err := pfServeOn(args[0])
	if err != nil {
		return err
	}
	var conns atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("/", webtest.Hello)
	mux.HandleFunc("/endless", func(w http.ResponseWriter, _ *http.Request) {
		for b := make([]byte, 4096); ; {
			if _, err := w.Write(b); err != nil {
				return
			}
		}
	})
	srv := &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: slowTimeout,
		WriteTimeout:      slowTimeout,
		IdleTimeout:       2 * testenv.Bound,
		ErrorLog:          log.New(io.Discard, "", 0),
		ConnState: func(c net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				conns.Add(1)
				c.(pfStream).SetReadBuffer(attackWindow)
				c.(pfStream).SetWriteBuffer(attackWindow)
			case http.StateClosed:
				conns.Add(-1)
			}
		},
	}
	go func() { panic(srv.Serve(ln)) }()
	return attackedAnswer(conns.Load)
}
