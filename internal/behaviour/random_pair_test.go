//go:build linux

package behaviour

import (
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// randomPair is a pair and what the program knows of it.
type randomPair struct {
	network, side string
	conn          streamConn
	peer          net.Conn
	rc            syscall.RawConn
	files         []*os.File

	avail int // bytes that have come to the conn and that nobody has read
	out   int // bytes that the peer can read

	fin, gone, reset     bool // what the peer has done: gone is closed, reset has come
	peerEnd, peerShut    bool // the peer has seen the end; has shut its reading side
	closed, rshut, wshut bool // what has been done to the conn
	rpast, wpast         bool // deadlines
	linger               bool // on Close
	lost                 bool // nothing that follows is certain
}

func (x *randomRun) newPair(network string) *randomPair {
	p := &randomPair{network: network, side: x.side}
	x.network = network
	conn, peer := x.pair()
	x.conn = conn
	p.conn, p.peer = x.stream(), peer
	x.bound(peer)
	return p
}

// bound keeps the kernel from having the peer's buffer grow: what it holds is less than
// what opWriteWaits writes.
func (x *randomRun) bound(peer net.Conn) {
	x.must(peer.(streamConn).SetReadBuffer(200 << 10))
}

// use makes p the pair of the scene's methods.
func (x *randomRun) use(p *randomPair) {
	x.conn, x.peer, x.network = p.conn, p.peer, p.network
}

func (p *randomPair) tcp() bool { return p.network != "unix" }

// ended reports whether a Read that finds no bytes returns nevertheless.
func (p *randomPair) ended() bool {
	return p.fin || p.gone || p.reset || p.rshut || p.closed || p.rpast
}

func (p *randomPair) waits() bool { return p.avail == 0 && !p.ended() }

// whole reports whether bytes can be written, and reach the peer.
func (p *randomPair) whole() bool {
	return !p.closed && !p.wshut && !p.wpast && !p.gone && !p.reset && !p.peerShut
}

// writes reports whether a Write's result is certain: it reaches the peer, or fails.
func (p *randomPair) writes() bool {
	return !p.tcp() || !p.gone || p.reset || p.closed || p.wshut || p.wpast
}

// roomFor reports whether a Write of n bytes does not wait.
func (p *randomPair) roomFor(n int) bool { return p.out+n <= 30_000 }

// peerCan reports whether the peer has a conn to talk to.
func (p *randomPair) peerCan() bool { return !p.gone && !p.reset && !p.closed }

// wrote counts what a Write has sent.
func (p *randomPair) wrote(n int) {
	if !p.gone && !p.reset {
		p.out += max(n, 0)
	}
}

func (p *randomPair) read(n int) { p.avail -= max(n, 0) }

// queued is how many bytes c's socket has received.
func (x *randomRun) queued(c any) (n int) {
	x.control(c, func(fd int) { n, _ = unix.IoctlGetInt(fd, unix.TIOCINQ) })
	return n
}

// sync waits until the peer has all that was written.
func (x *randomRun) sync(p *randomPair) {
	if !p.gone && !p.reset && !p.peerEnd {
		x.until(x.label+": the peer has it all", func() bool { return x.queued(p.peer) == p.out })
	}
}

// came waits until the conn's socket, at which nobody looks, is in one of the states.
func (x *randomRun) came(p *randomPair, states ...int) {
	if !p.tcp() {
		return
	}
	file := "/proc/thread-self/net/tcp"
	if p.network == "tcp6" {
		file += "6"
	}
	port := func(a net.Addr) string { return fmt.Sprintf(":%04X", a.(*net.TCPAddr).Port) }
	local, remote := port(p.conn.LocalAddr()), port(p.conn.RemoteAddr())
	x.until(fmt.Sprint(x.label, ": TCP state ", states), func() bool {
		b, err := os.ReadFile(file)
		x.must(err)
		state := int64(unix.BPF_TCP_CLOSE)
		for line := range strings.Lines(string(b)) {
			f := strings.Fields(line)
			if strings.HasSuffix(f[1], local) && strings.HasSuffix(f[2], remote) {
				fmt.Sscanf(f[3], "%X", &state)
			}
		}
		for _, s := range states {
			if int64(s) == state {
				return true
			}
		}
		return false
	})
}

var (
	finState  = []int{unix.BPF_TCP_CLOSE_WAIT}
	goneState = []int{unix.BPF_TCP_CLOSE, unix.BPF_TCP_TIME_WAIT}
)

// ending is the state to which the peer's end leads.
func (p *randomPair) ending() []int {
	if p.wshut || p.reset {
		return goneState
	}
	return finState
}

// peerSends has the peer send n bytes, and waits for them. It returns whether they came.
func (x *randomRun) peerSends(p *randomPair, n int) bool {
	n, err := p.peer.Write(x.data(n))
	x.trace("peer sends", "%d %s", n, x.cause(err))
	if err == nil {
		x.arrived(p.peer)
		p.avail += n
	}
	return err == nil
}

// peerSendable reports whether the peer can send n bytes that a Read can take.
func (p *randomPair) peerSendable(n int) bool {
	return p.peerCan() && !p.fin && !p.rshut && p.avail+n <= 20_000
}

// takes has the peer read k of the bytes that it can.
func (x *randomRun) takes(p *randomPair, k int) {
	x.peerExpect(x.label+" peer gets", k)
	p.out -= k
}

// peerFins has the peer close its writing side.
func (x *randomRun) peerFins(p *randomPair) {
	x.sync(p)
	x.trace("peer's CloseWrite", "%s", x.cause(p.peer.(streamConn).CloseWrite()))
	p.fin = true
	x.came(p, p.ending()...)
}

// peerCloses has the peer close, which resets a conn if the peer has not read all.
func (x *randomRun) peerCloses(p *randomPair) {
	x.sync(p)
	p.reset = p.reset || p.tcp() && p.out > 0
	x.trace("peer's Close", "%s", x.cause(p.peer.Close()))
	p.fin, p.gone = true, true
	x.came(p, p.ending()...)
}

// peerResets has the peer of a conn of TCP reset it.
func (x *randomRun) peerResets(p *randomPair) {
	x.sync(p)
	x.must(p.peer.(*net.TCPConn).SetLinger(0))
	x.trace("peer's reset", "%s", x.cause(p.peer.Close()))
	p.fin, p.gone, p.reset = true, true, true
	x.came(p, goneState...)
}

// close closes the conn.
func (x *randomRun) close(p *randomPair) {
	x.sync(p)
	x.do("Close", func() string { return x.describe(p.conn.Close()) })
	p.closed = true
}

// drainPeer records all that the peer gets, if that comes to an end.
func (x *randomRun) drainPeer(p *randomPair) {
	if p.gone || p.peerEnd || p.peerShut || !(p.wshut || p.reset || p.closed && len(p.files) == 0) {
		return
	}
	x.peerDrain(x.label + " peer's end")
	p.out, p.peerEnd = 0, true
}

func (x *randomRun) closeFiles(p *randomPair) {
	for _, f := range p.files {
		x.trace("Close of File", "%s", x.describe(f.Close()))
	}
	p.files = nil
}

// leave closes the conn, and has the program do no more with the pair.
func (x *randomRun) leave(p *randomPair) {
	p.lost = true
	for _, f := range p.files {
		f.Close()
	}
	p.conn.Close()
	p.peer.Close()
}

// ender ends a call that waits, or gives it what it waits for.
type ender struct {
	name string
	can  func(p *randomPair) bool
	f    func(x *randomRun, p *randomPair)
}

// readEnders end a Read.
var readEnders = []ender{
	{"FIN", func(p *randomPair) bool { return p.peerCan() }, (*randomRun).peerFins},
	{"deadline past", nil, func(x *randomRun, p *randomPair) {
		x.trace("SetReadDeadline past", "%s", x.describe(p.conn.SetReadDeadline(pastDeadline)))
		p.rpast = true
	}},
	{"deadline soon", nil, func(x *randomRun, p *randomPair) {
		x.trace("SetReadDeadline soon", "%s", x.describe(p.conn.SetReadDeadline(soon())))
		p.rpast = true
	}},
	{"Close", nil, (*randomRun).close},
	{"CloseRead", nil, func(x *randomRun, p *randomPair) { x.closeRead(p) }},
	{"peer's Close", nil, (*randomRun).peerCloses},
	{"reset", func(p *randomPair) bool { return p.tcp() && !(p.fin && p.wshut) }, (*randomRun).peerResets},
}

// pickEnder is the first that makes sense, from the m-th on.
func pickEnder(p *randomPair, enders []ender, m int) ender {
	for {
		if e := enders[m%len(enders)]; e.can == nil || e.can(p) {
			return e
		}
		m++
	}
}

func (x *randomRun) closeRead(p *randomPair) {
	err := p.conn.CloseRead()
	x.trace("CloseRead", "%s", x.describe(err))
	p.rshut = p.rshut || err == nil
}

// parks gives a call time to wait, or none.
func (x *randomRun) parks(c *call, k int) {
	switch k % 3 {
	case 0:
		c.asleep()
	case 1:
		c.blocked(x.label)
	}
}

// reads records a call that takes bytes, which waits if there are none: then it is ended.
func (x *randomRun) reads(p *randomPair, st randomStep, f func() (n int, result string)) {
	n := 0
	call := func() (result string) { n, result = f(); return result }
	if !p.waits() {
		x.do("", call)
		p.read(n)
		return
	}
	c := x.start(call)
	x.parks(c, st.k)
	if st.m%3 > 0 && p.peerSendable(1000) {
		x.peerSends(p, 1+st.m%1000)
	} else {
		e := pickEnder(p, readEnders, st.m/3)
		e.f(x, p)
	}
	r := c.wait()
	x.trace("ended", "%s", r)
	if r == stillBlocked {
		x.fatal(x.label, " is still blocked")
	}
	p.read(n)
}
