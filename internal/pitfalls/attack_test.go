//go:build linux

package pitfalls

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
)

const (
	// attackHeld is what a conn may make the server's process hold, in bytes: what
	// docs/rings.md says, the handler's buffer of 4 KB, and stacks.
	attackHeld = 32 << 10
	// attackWindow is the size of both buffers of the server's sockets, in bytes, of
	// which the kernel uses twice as much for what it keeps with the bytes.
	attackWindow = 32 << 10
	// attackQueued is what may be queued in the server's end of a conn, in bytes: both
	// buffers, and a packet in each beyond that.
	attackQueued = 2 * (2*attackWindow + 64<<10)
	// attackHealthy is the number of conns that mean well, and come first.
	attackHealthy = 8
	// attackFloor is a delay that a busy machine causes without any attack.
	attackFloor = 100 * time.Millisecond
)

// Whatever peers do costs a bounded amount of memory for each of their conns, stalls
// nobody else, no more than with package net, and leaves nothing behind.
func TestAttack(t *testing.T) {
	for _, peer := range pfAttacks {
		n := peer.few
		switch {
		case pfLong():
			n = peer.many
		case testing.Short():
			n /= 4
		}
		t.Run(peer.name, func(t *testing.T) {
			var others attackCost
			for _, server := range pfServers {
				t.Run(server, func(t *testing.T) {
					if server != "net" {
						enginetest.NeedRing(t)
					}
					testenv.Watch(t, 4*testenv.Bound)
					cost := startAttacked(t, server, "").suffer(peer, n)
					cost.report(t, others)
					if server == "net" {
						others = cost
					}
				})
			}
		})
	}
}

// attackCost is what an attack cost the server, and those of its peers that meant well.
type attackCost struct {
	conns  int64         // at once
	calls  int64         // what the peers did besides, which is theirs to define
	held   int64         // by the process, in bytes, beyond what it held before
	queued int64         // by the kernel in the sockets, in bytes
	used   time.Duration // of the processors, for the healthy conns too
	calm   time.Duration // 99th percentile of round trips without the attack
	p99    time.Duration // and with it
	left   string        // behind, when the peers have gone
}

// suffer has so many peers attack the server, and wants everything to be gone in the end.
func (a *attacked) suffer(peer attack, n int) attackCost {
	var before, now struct{ conns, goroutines, descriptors int64 }
	cost := attackCost{calm: a.worst()}
	a.answer("left", &before.conns, &before.goroutines, &before.descriptors)
	held, queued, used := a.cost()
	peers := &attackers{attacked: a, stop: make(chan struct{})}
	peer.begin(peers, n)
	for range 2 { // as it comes, and when those that stall do
		cost.p99 = max(cost.p99, a.worst())
		nowHeld, nowQueued, nowUsed := a.cost()
		a.answer("left", &now.conns, &now.goroutines, &now.descriptors)
		cost.conns = max(cost.conns, now.conns-before.conns, int64(len(peers.conns)))
		cost.held, cost.queued = max(cost.held, nowHeld-held), max(cost.queued, nowQueued-queued)
		cost.used = time.Duration(nowUsed - used)
		peers.settle()
	}
	peers.end()
	cost.calls = peers.calls.Load()
	if !testenv.Within(a.patience, func() bool {
		a.answer("left", &now.conns, &now.goroutines, &now.descriptors)
		return now.conns <= before.conns && now.goroutines <= before.goroutines && now.descriptors <= before.descriptors
	}) {
		cost.left = fmt.Sprintf("left behind: %+v, before the attack %+v", now, before)
	}
	a.healthy = append(a.healthy, a.newcomer())
	a.worst()
	return cost
}

func (a *attacked) cost() (held, queued, used int64) {
	a.answer("cost", &held, &queued, &used)
	return held, queued, used
}

// report logs the cost, and compares it with what is allowed.
func (c attackCost) report(t *testing.T, others attackCost) {
	t.Logf("%d conns, %d calls; %d bytes held, %d queued for each; %v of CPU time; p99 %v alone, %v under attack",
		c.conns, c.calls, c.held/max(c.conns, 1), c.queued/max(c.conns, 1),
		c.used.Round(time.Millisecond), c.calm.Round(time.Microsecond), c.p99.Round(time.Microsecond))
	if err := c.check(others); err != nil {
		t.Error(err)
	}
}

// check compares with what is allowed, and with what package net has under the same
// attack, if that was asked.
func (c attackCost) check(others attackCost) error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.left != "" {
		wrong("%s", c.left)
	}
	const small = 4 << 20                                        // what a runtime keeps of a load that is gone
	if c.held > small+(c.conns+64)*attackHeld && !testenv.Race { // whose shadow is as large again
		wrong("%d conns hold %d bytes", c.conns, c.held)
	}
	if c.queued > small+c.conns*attackQueued {
		wrong("%d bytes are queued in the sockets of %d conns", c.queued, c.conns)
	}
	// The attackers have the same processors, and so has whatever else the machine
	// does: hence the floor. Who waits for a stalled conn never returns.
	if limit := 20 * max(c.calm, attackFloor); c.p99 > limit {
		wrong("p99 of healthy conns: %v alone, %v under attack, over %v", c.calm, c.p99, limit)
	}
	if others.conns == 0 {
		return errors.Join(errs...)
	}
	if limit := 20 * max(others.p99, attackFloor); c.p99 > limit {
		wrong("p99 of healthy conns: %v, with package net %v", c.p99, others.p99)
	}
	if limit := 16<<20 + 2*others.queued; c.queued > limit {
		wrong("%d bytes are queued in the sockets, with package net %d", c.queued, others.queued)
	}
	if limit := 5 * max(others.used, 300*time.Millisecond); c.used > limit {
		wrong("%v of CPU time, with package net %v", c.used, others.used)
	}
	return errors.Join(errs...)
}

// attacked is a server in another process.
type attacked struct {
	*testing.T
	addr     string
	healthy  []net.Conn
	newcomer func() net.Conn                          // dials a healthy conn
	trip     func(c net.Conn, br *bufio.Reader) error // a round trip on one
	patience time.Duration                            // until everything is gone

	mu    sync.Mutex
	stdin io.Writer
	out   *bufio.Reader
}

// startAttacked starts a server with one of pfFaults, or none.
func startAttacked(t *testing.T, server, fault string) *attacked {
	a := startQuestioned(t, "attacked", server, fault)
	a.newcomer = func() net.Conn { return a.open("e") }
	for range attackHealthy {
		a.healthy = append(a.healthy, a.newcomer())
	}
	b := make([]byte, 100)
	a.trip = func(c net.Conn, br *bufio.Reader) error {
		if _, err := c.Write(b); err != nil {
			return err
		}
		_, err := io.CopyN(io.Discard, br, int64(len(b)))
		return err
	}
	return a
}

// startQuestioned starts a child that prints its address, and numbers for each line
// that it reads.
func startQuestioned(t *testing.T, args ...string) *attacked {
	cmd, stderr := pfChild(t, args...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v\n%s", err, stderr)
		}
	})
	a := &attacked{T: t, patience: testenv.Bound, stdin: stdin, out: bufio.NewReader(stdout)}
	if _, err := fmt.Fscanln(a.out, &a.addr); err != nil {
		t.Fatal(err, stderr)
	}
	return a
}

// open dials, and says what the server is to do with the conn.
func (a *attacked) open(kind string) *net.TCPConn {
	c, err := a.dial(kind, net.Dialer{})
	if err != nil {
		a.Fatal(err)
	}
	a.Cleanup(func() { c.Close() })
	c.SetReadBuffer(32 << 10)
	return c
}

func (a *attacked) dial(kind string, d net.Dialer) (*net.TCPConn, error) {
	d.Timeout = testenv.Bound
	c, err := d.Dial("tcp", a.addr)
	if err != nil {
		return nil, err
	}
	if _, err = io.WriteString(c, kind); err != nil && !errors.Is(err, unix.ECONNRESET) && !errors.Is(err, unix.EPIPE) {
		c.Close()
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

// ask wants one number for an answer.
func (a *attacked) ask(what string) (n int64) {
	a.answer(what, &n)
	return n
}

func (a *attacked) answer(what string, answer ...*int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	fmt.Fprintln(a.stdin, what)
	to := make([]any, len(answer))
	for i, n := range answer {
		to[i] = n
	}
	if _, err := fmt.Fscanln(a.out, to...); err != nil {
		a.Fatal(what, err)
	}
}

// worst is the 99th percentile of round trips on the healthy conns.
func (a *attacked) worst() time.Duration {
	took := make([][]time.Duration, len(a.healthy))
	trips := 100
	if testing.Short() {
		trips = 25
	}
	var wg sync.WaitGroup
	for i, c := range a.healthy {
		wg.Go(func() {
			br := bufio.NewReader(c)
			for range trips {
				begin := time.Now()
				c.SetDeadline(begin.Add(testenv.Bound))
				if err := a.trip(c, br); err != nil {
					a.Errorf("a healthy conn: %v", err)
					return
				}
				took[i] = append(took[i], time.Since(begin))
			}
		})
	}
	wg.Wait()
	all := slices.Sorted(slices.Values(slices.Concat(took...)))
	if len(all) == 0 {
		a.Fatal("no round trip")
	}
	return all[len(all)*99/100]
}
