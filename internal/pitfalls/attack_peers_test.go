//go:build linux

package pitfalls

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/internal/testenv"
)

// attack is what peers do, until end: so many few in CI, and many for the figures.
type attack struct {
	name      string
	few, many int
	begin     func(p *attackers, n int)
}

var pfAttacks = []attack{
	{"idle", 200, 10000, attackIdle},
	{"mixed", 250, 10000, attackMixed},
	{"half closed", 100, 3000, attackHalfClosed},
	{"both stalled", 100, 1000, attackBothStalled},
	{"endless", 20, 200, attackEndless},
	{"small windows", 50, 500, attackSmallWindows},
	{"byte by byte", 100, 1000, attackBytes},
	{"urgent", 50, 500, attackUrgent},
	{"resets", 500, 20000, attackResets},
	{"churn", 500, 50000, attackChurn},
	{"no descriptors", 200, 2000, attackDescriptors},
}

// attackers are an attack on its way.
type attackers struct {
	*attacked
	conns []*net.TCPConn
	calls atomic.Int64 // of the loops
	stop  chan struct{}
	wg    sync.WaitGroup
	until func() bool // what the attack has to have come to; nil: it has
	after func()      // what undoes it, beyond closing the conns; may be nil
}

func (p *attackers) open(kind string) *net.TCPConn {
	c := p.attacked.open(kind)
	p.conns = append(p.conns, c)
	return c
}

// loop calls f over and over on a goroutine, until end or an error, which is the
// server's answer to an attack.
func (p *attackers) loop(f func() error) {
	p.wg.Go(func() {
		for {
			select {
			case <-p.stop:
				return
			default:
			}
			if err := f(); err != nil {
				return
			}
			p.calls.Add(1)
		}
	})
}

// storm opens conns and closes them, on four goroutines: n at least. An error that is
// not the conn's end is one of the test.
func (p *attackers) storm(n int, f func(i int64, c *net.TCPConn) error, kinds string) {
	for g := range 4 {
		i := int64(g)
		p.loop(func() error {
			i += 4
			// Addresses of its own leave each conn ports enough.
			from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+i%200))}}
			c, err := p.dial(string(kinds[i/4%int64(len(kinds))]), from)
			if err == nil {
				err = errors.Join(c.SetDeadline(time.Now().Add(testenv.Bound)), f(i, c))
				c.Close()
			}
			if err != nil && !errors.Is(err, unix.ECONNRESET) && !errors.Is(err, unix.EPIPE) {
				p.Errorf("conn %d: %v", i, err)
				return err
			}
			return nil
		})
	}
	p.called(n)
}

// called has settle wait for so many calls.
func (p *attackers) called(n int) {
	p.until = func() bool { return p.calls.Load() >= int64(n) || p.Failed() }
}

// settle waits, once, until the attack has come to what it is about.
func (p *attackers) settle() {
	if p.until != nil && !testenv.Eventually(p.until) {
		p.Errorf("the attack has not come far: %d calls", p.calls.Load())
	}
	p.until = nil
}

func (p *attackers) end() {
	close(p.stop)
	for _, c := range p.conns {
		c.Close()
	}
	p.wg.Wait()
	if p.after != nil {
		p.after()
	}
}

// attackIdle has conns that say nothing, and are still there when they do.
func attackIdle(p *attackers, n int) {
	for range n {
		p.open("e")
	}
	p.until = func() bool {
		for i, c := range p.conns {
			c.SetDeadline(time.Now().Add(testenv.Bound))
			_, err := c.Write([]byte{byte(i)})
			b := make([]byte, 1)
			if err == nil {
				_, err = io.ReadFull(c, b)
			}
			if err != nil || b[0] != byte(i) {
				p.Errorf("idle conn %d: %v, %d", i, err, b[0])
				break
			}
			p.calls.Add(1)
		}
		return true
	}
}

// attackMixed has each kind of stalled conn, some that go on, and resets.
func attackMixed(p *attackers, n int) {
	full := make([]byte, 4096)
	for range n / 5 {
		p.open("w")                             // never reads what the server sends
		p.open("n").Write(full)                 // is never read from
		p.open("e").CloseWrite()                // leaves the other half
		p.open("l").Write([]byte("GET / HTTP")) // ends no line
		p.open("e")                             // and keeps silent
	}
	for i := range 20 { // these go on: byte by byte, and in large pieces
		slow := p.open("l")
		p.loop(func() error { testenv.Pace(time.Millisecond); _, err := slow.Write([]byte("x")); return err })
		if i < 2 {
			flood := p.open("d")
			p.loop(func() error { testenv.Pace(200 * time.Microsecond); _, err := flood.Write(full); return err })
		}
	}
	p.loop(func() error { // and resets; without the pauses the processors were all that is measured
		testenv.Pace(200 * time.Microsecond)
		c, err := p.dial("w", net.Dialer{})
		if err != nil {
			return err
		}
		return errors.Join(c.SetLinger(0), c.Close())
	})
}

// attackHalfClosed has conns of which the peer closes a half, or the server, or both.
func attackHalfClosed(p *attackers, n int) {
	for i := range n {
		switch i % 4 {
		case 0:
			p.open("n").CloseWrite() // the server does not read, and does not see it
		case 1:
			p.open("w").CloseWrite() // nobody reads
		case 2:
			p.open("h") // the server's FIN comes, and no answer
		case 3:
			c := p.open("h") // which cross
			c.CloseWrite()
			c.CloseRead()
		}
	}
	for range 10 {
		c := p.open("h")
		p.loop(func() error { testenv.Pace(time.Millisecond); _, err := c.Write([]byte("x")); return err })
	}
}

// attackBothStalled has conns whose two ends wait for the other to read.
func attackBothStalled(p *attackers, n int) {
	for i := range n {
		c := p.open([]string{"e", "w"}[i%2])
		c.SetWriteBuffer(32 << 10)
		p.loop(func() error { _, err := c.Write(make([]byte, 4096)); return err })
	}
}

// attackEndless has senders that never stop, and a server that reads slowly.
func attackEndless(p *attackers, n int) {
	block := make([]byte, 64<<10)
	for range n {
		c := p.open("s")
		c.SetWriteBuffer(32 << 10)
		c.SetLinger(0) // or the server would read on for long
		p.loop(func() error { _, err := c.Write(block); return err })
	}
	p.called(3 * n)
}

// attackSmallWindows has readers whose windows are as small as the kernel makes them, and
// open and close for a byte or some.
func attackSmallWindows(p *attackers, n int) {
	small := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		c.Control(func(fd uintptr) {
			err = errors.Join(unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 1),
				unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_WINDOW_CLAMP, 1))
		})
		return err
	}}
	for i := range n {
		c, err := p.dial([]string{"w", "b"}[i%2], small)
		if err != nil {
			p.Fatal(err)
		}
		p.conns = append(p.conns, c)
		b := make([]byte, 1+i%100)
		p.loop(func() error { testenv.Pace(2 * time.Millisecond); _, err := c.Read(b); return err })
	}
	p.called(20 * n)
}

// attackBytes has segments of a byte, which cost the kernel a hundred times that, for
// servers that read, echo, and do neither.
func attackBytes(p *attackers, n int) {
	for i := range n {
		c := p.open([]string{"d", "e", "n"}[i%3])
		pace := time.Duration(n) * 50 * time.Microsecond
		p.loop(func() error { testenv.Pace(pace); _, err := c.Write([]byte("x")); return err })
	}
	p.called(20 * n)
}

// attackUrgent has urgent data, a byte at a time, for servers that read and that do not.
func attackUrgent(p *attackers, n int) {
	for i := range n {
		c := p.open([]string{"d", "e", "n", "h"}[i%4])
		raw, err := c.SyscallConn()
		if err != nil {
			p.Fatal(err)
		}
		pace := time.Duration(n) * 50 * time.Microsecond
		p.loop(func() error {
			testenv.Pace(pace)
			var sent error
			err := raw.Write(func(fd uintptr) bool {
				sent = unix.Send(int(fd), []byte("!"), unix.MSG_OOB|unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
				return !errors.Is(sent, unix.EAGAIN)
			})
			return errors.Join(err, sent)
		})
	}
	p.called(20 * n)
}

// attackResets has a reset in each state of a conn.
func attackResets(p *attackers, n int) {
	p.storm(n, func(i int64, c *net.TCPConn) (err error) {
		b := make([]byte, 1000)
		switch rand.N(6) {
		case 0: // at once
		case 1:
			_, err = c.Write(b)
		case 2:
			_, err = c.Read(b)
		case 3:
			err = c.CloseWrite()
		case 4:
			if err = c.CloseWrite(); err == nil {
				_, err = c.Read(b)
			}
		case 5:
			_, err = c.Write(b)
			if err == nil {
				_, err = c.Read(b)
			}
		}
		if err == io.EOF {
			err = nil
		}
		return errors.Join(err, c.SetLinger(0))
	}, "bwh")
}

// attackChurn has conns that come, say something, and go in one of the ways to go.
func attackChurn(p *attackers, n int) {
	p.storm(n, func(i int64, c *net.TCPConn) error {
		b := []byte(fmt.Sprintf("conn %d", i))
		for range 1 + i%3 {
			if _, err := c.Write(b); err != nil {
				return err
			}
			got := make([]byte, len(b))
			if _, err := io.ReadFull(c, got); err != nil {
				return err
			}
			if string(got) != string(b) {
				return fmt.Errorf("got %q", got)
			}
		}
		switch rand.N(5) {
		case 0:
			return nil // and Close
		case 1:
			return c.SetLinger(0)
		case 2: // something is on its way
			_, err := c.Write(b)
			return err
		case 3:
			_, err := c.Write(b)
			return errors.Join(err, c.CloseRead())
		}
		if err := c.CloseWrite(); err != nil {
			return err
		}
		if rest, err := io.ReadAll(c); err != nil || len(rest) > 0 {
			return fmt.Errorf("after CloseWrite: %q, %w", rest, err)
		}
		return nil
	}, "e")
}

// attackDescriptors has more conns than the server has descriptors for, half of which
// come when others go.
func attackDescriptors(p *attackers, n int) {
	p.ask(fmt.Sprint("limit ", n/4))
	p.after = func() { p.ask("limit 0") }
	for range n {
		p.open("e")
	}
	next := n / 2
	p.loop(func() error {
		testenv.Pace(time.Millisecond)
		if next < n {
			p.conns[next-n/2].Close()
			next++
		}
		return nil
	})
	p.called(n / 2)
}
