package load

import (
	"fmt"
	"io"
	"net/netip"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/bench/internal/hist"
	"github.com/quoit-go/quoit/bench/internal/workload"
)

// script is what one conn says, and how it checks what it hears.
type script interface {
	// next returns the bytes that begin an exchange; nil says it has none to begin.
	next() []byte
	// more returns further bytes of the same exchange once the last are sent, or nil.
	more() []byte
	// sent and feed return how many units were completed by sending n bytes,
	// or by receiving p; feed also whether the exchange is complete.
	sent(n int) (units int)
	feed(p []byte) (units int, done bool, err error)
	// eof is called at the end of the stream: nil asks for a new conn.
	eof() error
}

// conn is a socket and its script.
type conn struct {
	fd      int
	script  script
	starter int    // the conn that begins the next exchange when this one completes one
	out     []byte // what is still to be sent
	waiting bool   // for EPOLLOUT
	quiet   bool   // its latencies are not recorded
	perUnit bool   // latencies are those between units, not from the exchange's beginning
	since   time.Duration
	units   uint64 // in the measured time
	paced   *paced // nil: it asks on its own account

	newcomer *newcomer // nil: it is there from the beginning
}

// generator drives all conns from one thread.
type generator struct {
	*window
	addr  *unix.SockaddrInet4
	ep    int
	conns []*conn
	idle  []int
	buf   []byte
	lat   hist.Hist
	units uint64

	// Of a skewed load.
	paced  []int // conns that ask in turns
	turn   int   // the next of them
	credit int

	bursts bursts

	even *evenness
}

const (
	recvBytes = 256 << 10
	// pollMillis bounds how late the end of a run is noticed when nothing happens.
	pollMillis = 20
)

func runEpoll(spec Spec) (*Result, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if spec.Workload.Load == workload.LoadFlush {
		defer promote()()
	}
	ap, err := netip.ParseAddrPort(spec.Addr)
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	w, err := newWindow(spec)
	if err != nil {
		return nil, err
	}
	defer w.close()
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	g := &generator{
		window: w,
		addr:   &unix.SockaddrInet4{Port: int(ap.Port()), Addr: ap.Addr().As4()},
		ep:     ep,
		buf:    make([]byte, recvBytes),
	}
	if spec.Even {
		g.even = new(evenness)
	}
	defer g.closeAll()
	if g.conns, err = g.cast(); err != nil {
		return nil, err
	}
	if err := g.openAll(); err != nil {
		return nil, err
	}
	g.start = time.Now() // connecting is not part of the warm-up
	if err := g.loop(); err != nil {
		return nil, err
	}
	starved, behind := 0, 0
	for _, c := range g.conns {
		behind += c.paced.behind()
		if c.starved() {
			starved++
		}
	}
	even := g.even.end(g.now())
	r, err := g.finish(&g.lat, g.units, starved)
	if err == nil {
		r.Behind, r.Even = behind, even
	}
	return r, err
}

// starved reports whether it has had no answer where it should have.
func (c *conn) starved() bool {
	switch {
	case c.units > 0:
		return false
	case c.paced != nil:
		return len(c.paced.due) > 0
	}
	return !c.quiet || c.newcomer != nil
}

func (g *generator) closeAll() {
	for _, fd := range g.idle {
		unix.Close(fd)
	}
	for _, c := range g.conns {
		if c.fd >= 0 {
			unix.Close(c.fd)
		}
	}
	unix.Close(g.ep)
}

// opener is a script that talks on a new conn before the load begins.
type opener interface{ open(blocking) error }

func (g *generator) openAll() error {
	for range g.spec.Workload.Idle {
		c, err := g.dialBlocking()
		if err != nil {
			return fmt.Errorf("load: idle conn %d: %w", len(g.idle), err)
		}
		g.idle = append(g.idle, c.fd)
		// A request makes the server allocate what a used conn costs.
		if err := c.warm(); err != nil {
			return fmt.Errorf("load: idle conn %d: %w", len(g.idle), err)
		}
	}
	for i, c := range g.conns {
		if c.newcomer != nil {
			continue
		}
		b, err := g.dialBlocking()
		if err != nil {
			return fmt.Errorf("load: conn %d: %w", i, err)
		}
		c.fd = b.fd
		if o, ok := c.script.(opener); ok {
			if err := o.open(b); err != nil {
				return fmt.Errorf("load: conn %d: %w", i, err)
			}
		}
		if err := unix.SetNonblock(c.fd, true); err != nil {
			return err
		}
		if err := g.watch(i, unix.EPOLL_CTL_ADD); err != nil {
			return err
		}
	}
	return nil
}

func (g *generator) dialBlocking() (blocking, error) {
	fd, err := g.dial(0)
	if err != nil {
		return blocking{}, err
	}
	err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if err == nil {
		err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 10})
	}
	if err != nil {
		unix.Close(fd)
	}
	return blocking{fd}, err
}

// dial connects, without waiting if typ says SOCK_NONBLOCK.
func (g *generator) dial(typ int) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|typ, 0)
	if err != nil {
		return -1, err
	}
	if err := unix.Connect(fd, g.addr); err != nil && err != unix.EINPROGRESS {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func (g *generator) watch(i, op int) error {
	c := g.conns[i]
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)}
	if c.waiting {
		ev.Events |= unix.EPOLLOUT
	}
	return unix.EpollCtl(g.ep, op, c.fd, &ev)
}

// loop runs until the measured time is over.
func (g *generator) loop() error {
	for i, c := range g.conns {
		if c.paced != nil || c.newcomer != nil {
			continue
		}
		if err := g.exchange(i, 0); err != nil {
			return err
		}
	}
	events := make([]unix.EpollEvent, 512)
	for {
		n, err := unix.EpollWait(g.ep, events, pollMillis)
		if err != nil && err != unix.EINTR {
			return err
		}
		switch now := g.now(); {
		case !g.measuring && now >= g.spec.Warmup:
			if err := g.begin(); err != nil {
				return err
			}
			g.even.begin(len(g.conns), g.began)
		case g.measuring && now >= g.began+g.spec.Length:
			return nil
		}
		if err := g.burst(g.now()); err != nil {
			return fmt.Errorf("load: burst: %w", err)
		}
		for _, ev := range events[:max(n, 0)] {
			if err := g.handle(int(ev.Fd), ev.Events); err != nil {
				return fmt.Errorf("load: conn %d: %w", ev.Fd, err)
			}
		}
	}
}

func (g *generator) handle(i int, events uint32) error {
	c := g.conns[i]
	if events&unix.EPOLLOUT != 0 && c.waiting {
		if err := g.send(i); err != nil {
			return err
		}
	}
	if events&^unix.EPOLLOUT == 0 {
		return nil
	}
	n, err := unix.Read(c.fd, g.buf)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return nil
	case err != nil:
		return fmt.Errorf("read: %w", err)
	case n == 0:
		if c.paced != nil && !c.paced.asking {
			return io.ErrUnexpectedEOF
		}
		if err := c.script.eof(); err != nil {
			return err
		}
		return g.reopen(i)
	}
	units, done, err := c.script.feed(g.buf[:n])
	if err != nil {
		return err
	}
	now := g.now()
	g.count(c, units, now)
	if done {
		return g.completed(i, now)
	}
	return nil
}

// count records units completed on c now.
func (g *generator) count(c *conn, units int, now time.Duration) {
	if units == 0 {
		return
	}
	if g.measuring {
		g.units += uint64(units)
		c.units += uint64(units)
		g.record(c, units, now)
		g.even.answered(c.starter, units, now)
	}
	if c.perUnit {
		c.since = now
	}
}

// record takes down the latencies of units completed on c now.
func (g *generator) record(c *conn, units int, now time.Duration) {
	switch f, ok := c.script.(*flush); {
	case c.quiet:
	case ok:
		for _, d := range f.delays {
			g.lat.Record(d)
		}
	default:
		g.lat.RecordN(now-g.conns[c.starter].since, units)
	}
}

// exchange begins an exchange on conn i.
func (g *generator) exchange(i int, now time.Duration) error {
	c := g.conns[i]
	c.since = now
	if p := c.script.next(); p != nil {
		c.out = p
		return g.send(i)
	}
	return nil
}

// sendTurns bounds what one conn sends before the others have their turn.
const sendTurns = 8

func (g *generator) send(i int) error {
	c := g.conns[i]
	full := false
	for turn := 0; len(c.out) > 0 && !full && turn < sendTurns; turn++ {
		n, err := unix.Write(c.fd, c.out)
		switch {
		case err == unix.EAGAIN:
			full = true
		case err == unix.EINTR:
		case err != nil:
			return fmt.Errorf("write: %w", err)
		default:
			if c.out = c.out[n:]; len(c.out) == 0 {
				c.out = c.script.more()
			}
			if units := c.script.sent(n); units > 0 {
				g.count(c, units, g.now())
			}
		}
	}
	if wait := len(c.out) > 0; wait != c.waiting {
		c.waiting = wait
		return g.watch(i, unix.EPOLL_CTL_MOD)
	}
	return nil
}

// connect opens conn i, without waiting for it.
func (g *generator) connect(i int) error {
	c := g.conns[i]
	c.out, c.waiting = nil, false
	var err error
	if c.fd, err = g.dial(unix.SOCK_NONBLOCK); err != nil {
		return err
	}
	return g.watch(i, unix.EPOLL_CTL_ADD)
}

// reopen replaces the conn, which the server has closed, and asks again.
func (g *generator) reopen(i int) error {
	c := g.conns[i]
	unix.Close(c.fd)
	now := g.now()
	if err := g.connect(i); err != nil {
		return err
	}
	if c.paced != nil {
		return g.completed(i, now)
	}
	return g.exchange(i, now)
}
