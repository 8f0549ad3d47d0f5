package load

import (
	"bufio"
	"io"
	"maps"
	"net"
	nethttp "net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/bench/internal/serve"
	"github.com/quoit-go/quoit/bench/internal/workload"
)

// asked counts requests: of each conn that lasts, and of all others.
type asked struct {
	mu      sync.Mutex
	lasting map[net.Conn]int
	closed  int
}

func newAsked() *asked { return &asked{lasting: map[net.Conn]int{}} }

func (a *asked) serve(c net.Conn) {
	for b := bufio.NewReader(c); ; {
		req, err := nethttp.ReadRequest(b)
		if err != nil {
			return
		}
		a.mu.Lock()
		if req.Close {
			a.closed++
		} else {
			a.lasting[c]++
		}
		a.mu.Unlock()
		if req.Close {
			io.WriteString(c, strings.Replace(good, "\r\n", "\r\nConnection: close\r\n", 1))
			return
		}
		io.WriteString(c, good)
	}
}

func TestSkew(t *testing.T) {
	const conns = 10 // one of them busy
	for _, kind := range []string{workload.LoadSkew, workload.LoadSkewClose} {
		t.Run(kind, func(t *testing.T) {
			var a *asked
			var r *Result
			for d := length; r == nil || r.Units < 20*workload.SkewTimes && d < time.Minute; d *= 4 {
				a = newAsked()
				s := spec(workload.Workload{Load: kind, Path: "/", Conns: conns, Depth: 1}, serveConns(t, a.serve))
				s.Length = d // until others than the busy one have asked, too
				var err error
				if r, err = Run(s); err != nil {
					t.Fatal(err)
				}
			}
			a.mu.Lock()
			defer a.mu.Unlock()
			busy, others, most := 0, a.closed, 0
			for _, n := range a.lasting {
				others, busy = others+n, max(busy, n)
			}
			others -= busy
			// A machine that pauses leaves paced conns behind. What is under way
			// may have been counted as asked and as behind.
			want := busy * (conns - 1) / workload.SkewTimes
			if off := others + r.Behind - want; off < -1 || off > conns {
				t.Errorf("%d requests of the busy conn, %d of the others, %d behind, want %d", busy, others, r.Behind, want)
			}
			for _, n := range a.lasting {
				if n != busy {
					most = max(most, n)
				}
			}
			if most > busy/workload.SkewTimes+1 {
				t.Errorf("one conn has %d of the others' %d requests", most, others)
			}
			if n := r.Latency.Count(); n == 0 || n > uint64(others) || r.Units <= n {
				t.Errorf("%d requests, latencies of %d, %d asked by others", r.Units, n, others)
			}
			if r.Starved > 0 {
				t.Errorf("%d starved", r.Starved)
			}
		})
	}
}

func TestBusyConns(t *testing.T) {
	for n, want := range map[int]int{1: 1, 64: 1, 65: 2, 256: 4, 1024: 16} {
		a, b, again := busyConns(n, 1), busyConns(n, 2), busyConns(n, 1)
		if len(a) != want || !maps.Equal(a, again) {
			t.Errorf("%d of %d, then %d", len(a), n, len(again))
		}
		if n > 100 && maps.Equal(a, b) {
			t.Errorf("the same of %d with another seed: %v", n, a)
		}
	}
}

// A turn that comes too early is made up for, and its wait counts.
func TestLateTurns(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	defer unix.Close(fds[1])
	c := &conn{fd: fds[0], script: &echo{msg: []byte("x")}}
	g := &generator{conns: []*conn{c}}
	g.pace(c)
	for i := range 3 {
		if err := g.ask(0, time.Duration(10+i)); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range []time.Duration{10, 11, 12} {
		if n, err := unix.Read(fds[1], make([]byte, 10)); n != 1 || err != nil || c.since != want {
			t.Errorf("turn %d: %d requests since %v, want 1 since %v: %v", i, n, c.since, want, err)
		}
		if err := g.completed(0, 100); err != nil {
			t.Fatal(err)
		}
	}
	if c.paced.asking || len(c.paced.due) != 0 {
		t.Errorf("there is more to ask: %+v", c.paced)
	}
}

// What rings did comes with the result.
func TestRingsInResult(t *testing.T) {
	want := [2]string{`[{"conns":1,"accepted":7,"work":5},{"conns":0}]`, `[{"conns":3,"accepted":9,"work":25},{"conns":2,"work":1}]`}
	rings := serveConns(t, func(c net.Conn) {
		for _, s := range want {
			io.ReadFull(c, make([]byte, 1))
			io.WriteString(c, s+"\n")
		}
		io.Copy(io.Discard, c)
	})
	s := spec(workload.Workload{Load: workload.LoadEcho, Conns: 1, Size: 64}, serveConns(t, func(c net.Conn) { io.Copy(c, c) }))
	s.Rings = rings.String()
	r, err := Run(s)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Rings) != 2 || r.Rings[0] != (serve.Ring{Conns: 3, Accepted: 2, Work: 20}) || r.Rings[1] != (serve.Ring{Conns: 2, Work: 1}) {
		t.Errorf("%+v", r.Rings)
	}
	s.Rings = serveConns(t, func(net.Conn) {}).String()
	if _, err := Run(s); err == nil {
		t.Error("the rings could not be asked for, and there is no error")
	}
}
