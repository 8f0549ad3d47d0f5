//go:build linux

package pitfalls

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
)

// attackHeld is what a stalled conn may make the server's process hold, in bytes: what
// docs/rings.md says, the handler's buffer of 4 KB, and stacks. What waits in its
// socket is the kernel's, up to the window.
const attackHeld = 32 << 10

// Peers that never read, never stop, send byte by byte, reset at once or leave one
// half open cost no memory beyond a bound for each, and stall nobody else.
func TestAttack(t *testing.T) {
	each := 100
	if pfLong() {
		each = 2000
	}
	for _, server := range pfServers {
		t.Run(server, func(t *testing.T) {
			if server != "net" {
				enginetest.NeedRing(t)
			}
			testenv.Watch(t, 4*testenv.Bound)
			a := startAttacked(t, server)
			idle := a.ask("memory")
			calm := a.worst()
			end := a.attack(each)
			a.worst() // until those that stall do
			attacked := a.worst()
			held := a.ask("memory") - idle
			end()
			stalled := int64(5 * each)
			t.Logf("%d stalled conns: %d bytes each; p99 %v alone, %v under attack", stalled, held/stalled, calm, attacked)
			if held > stalled*attackHeld && !testenv.Race { // whose shadow is as large again
				t.Errorf("%d conns hold %d bytes, which is %d each", stalled, held, held/stalled)
			}
			// The attackers have the same processors, and so has whatever else the
			// machine does: hence the floor. Who waits for a stalled conn never returns.
			if limit := 20 * max(calm, 100*time.Millisecond); attacked > limit {
				t.Errorf("p99 of healthy conns: %v alone, %v under attack, over %v", calm, attacked, limit)
			}
			testenv.Poll(t, "the attackers' conns gone", func() bool { return a.ask("conns") <= 8 })
		})
	}
}

// attacked is a server in another process.
type attacked struct {
	*testing.T
	addr    string
	healthy []net.Conn

	mu    sync.Mutex
	stdin io.Writer
	out   *bufio.Reader
}

func startAttacked(t *testing.T, server string) *attacked {
	a := startQuestioned(t, "attacked", server)
	for range 8 {
		a.healthy = append(a.healthy, a.open("e"))
	}
	return a
}

// startQuestioned starts a child that prints its address, and a number for each line
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
	a := &attacked{T: t, stdin: stdin, out: bufio.NewReader(stdout)}
	if _, err := fmt.Fscanln(a.out, &a.addr); err != nil {
		t.Fatal(err, stderr)
	}
	return a
}

// open dials, and says what the server is to do with the conn.
func (a *attacked) open(kind string) *net.TCPConn {
	c, err := net.DialTimeout("tcp", a.addr, testenv.Bound)
	if err == nil {
		_, err = io.WriteString(c, kind)
	}
	if err != nil {
		a.Fatal(err)
	}
	a.Cleanup(func() { c.Close() })
	c.(*net.TCPConn).SetReadBuffer(32 << 10)
	return c.(*net.TCPConn)
}

func (a *attacked) ask(what string) (n int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	fmt.Fprintln(a.stdin, what)
	if _, err := fmt.Fscanln(a.out, &n); err != nil {
		a.Fatal(what, err)
	}
	return n
}

// worst is the 99th percentile of round trips on the healthy conns.
func (a *attacked) worst() time.Duration {
	took := make([][]time.Duration, len(a.healthy))
	var wg sync.WaitGroup
	for i, c := range a.healthy {
		wg.Go(func() {
			b := make([]byte, 100)
			for range 100 {
				begin := time.Now()
				c.SetDeadline(begin.Add(testenv.Bound))
				_, err := c.Write(b)
				if err == nil {
					_, err = io.ReadFull(c, b)
				}
				if err != nil {
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

// attack begins with so many conns of each kind, which wait for the server or have it
// wait until end.
func (a *attacked) attack(each int) (end func()) {
	var conns []*net.TCPConn
	open := func(kind string) *net.TCPConn {
		c := a.open(kind)
		conns = append(conns, c)
		return c
	}
	full := make([]byte, 4096)
	for range each {
		open("w")                             // never reads what the server sends
		open("n").Write(full)                 // is never read from
		open("e").CloseWrite()                // leaves the other half
		open("l").Write([]byte("GET / HTTP")) // ends no line
		open("e")                             // and keeps silent
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	loop := func(f func() error) {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := f(); err != nil {
					return
				}
			}
		})
	}
	for i := range 20 { // these go on: byte by byte, and in large pieces
		slow := open("l")
		slow.SetNoDelay(true)
		loop(func() error { testenv.Pace(time.Millisecond); _, err := slow.Write([]byte("x")); return err })
		if i < 2 {
			flood := open("d")
			loop(func() error { testenv.Pace(200 * time.Microsecond); _, err := flood.Write(full); return err })
		}
	}
	loop(func() error { // and resets; without the pauses the processors were all that is measured
		testenv.Pace(200 * time.Microsecond)
		c, err := net.DialTimeout("tcp", a.addr, testenv.Bound)
		if err != nil {
			return err
		}
		io.WriteString(c, "w")
		c.(*net.TCPConn).SetLinger(0)
		return c.Close()
	})
	return func() {
		close(stop)
		for _, c := range conns {
			c.Close()
		}
		wg.Wait()
	}
}

// pfChildAttacked does what the first byte of a conn says.
func pfChildAttacked(args []string) error {
	tr, err := pfServe(args[0])
	if err != nil {
		return err
	}
	ln, err := tr.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(ln.Addr())
	var conns atomic.Int64
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				panic(err)
			}
			conns.Add(1)
			go func() {
				defer conns.Add(-1)
				defer c.Close()
				attackedServe(c)
			}()
		}
	}()
	for s := bufio.NewScanner(os.Stdin); s.Scan(); {
		if s.Text() == "conns" {
			fmt.Println(conns.Load())
			continue
		}
		debug.FreeOSMemory()
		n, err := residentMemory()
		if err != nil {
			return err
		}
		fmt.Println(n)
	}
	return nil
}

func attackedServe(c net.Conn) {
	b := make([]byte, 4096)
	if _, err := io.ReadFull(c, b[:1]); err != nil {
		return
	}
	switch b[0] {
	case 'e': // echoes
		io.CopyBuffer(struct{ io.Writer }{c}, struct{ io.Reader }{c}, b)
	case 'w': // writes
		c.(pfStream).SetWriteBuffer(32 << 10) // the kernel's memory is not what is measured
		for {
			if _, err := c.Write(b); err != nil {
				return
			}
		}
	case 'n': // neither; its end comes with a deadline
		for {
			c.SetWriteDeadline(time.Now().Add(testenv.Bound))
			if _, err := c.Write([]byte("x")); err != nil {
				return
			}
			testenv.Pace(50 * time.Millisecond)
		}
	case 'l': // reads a line
		for {
			n, err := c.Read(b)
			if err != nil || strings.Contains(string(b[:n]), "\n") {
				return
			}
		}
	case 'd': // reads all there is
		io.CopyBuffer(io.Discard, struct{ io.Reader }{c}, b)
	}
}

// residentMemory is RssAnon, in bytes.
func residentMemory() (n int64, err error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	_, rest, ok := strings.Cut(string(status), "RssAnon:")
	if !ok {
		return 0, errors.New("no RssAnon")
	}
	_, err = fmt.Sscan(rest, &n)
	return n << 10, err
}

// A link that loses, delays and reorders changes nothing but the time.
func TestAttackLossyLink(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can make a network namespace")
	}
	why, skipped := "", false
	for _, server := range pfServers {
		t.Run(server, func(t *testing.T) {
			testenv.Watch(t, 2*testenv.Bound)
			cmd, stderr := pfChild(t, "lossy", server)
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
			out, err := cmd.Output()
			if err != nil {
				t.Errorf("%v\n%s", err, stderr)
			}
			if why, skipped = strings.CutPrefix(string(out), "no netem: "); skipped {
				t.SkipNow()
			}
		})
	}
	if skipped {
		t.Skip("no netem here: " + strings.TrimSpace(why))
	}
}

// pfChildLossy has streams cross loopback, which loses.
func pfChildLossy(args []string) error {
	if err := pfLoopbackUp(); err != nil {
		return err
	}
	out, err := exec.Command("tc", strings.Fields("qdisc add dev lo root netem delay 2ms 2ms loss 2% duplicate 1% reorder 10%")...).CombinedOutput()
	if err != nil {
		fmt.Printf("no netem: %v: %s", err, out)
		return nil
	}
	tr, err := pfServe(args[0])
	if err != nil {
		return err
	}
	ln, err := tr.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	return pfExchange(tr.Transport, ln)
}
