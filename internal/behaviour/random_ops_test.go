//go:build linux

package behaviour

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// randomOps are what programs are made of. Where bytes are to come, or to go, n chooses
// how many.
var randomOps []randomOp

func init() { // as the operations refer to the programs that run them
	randomOps = append([]randomOp{
		{"peer sends", 14, "", (*randomRun).opPeerSend},
		{"peer reads", 6, "", (*randomRun).opPeerRead},
		{"peer's CloseWrite", 2, "", func(x *randomRun, p *randomPair, st randomStep) {
			if p.peerCan() && !p.fin {
				x.peerFins(p)
			}
		}},
		{"peer's Close", 1, "", func(x *randomRun, p *randomPair, st randomStep) {
			if p.peerCan() {
				x.peerCloses(p)
			}
		}},
		{"peer's reset", 1, "tcp", func(x *randomRun, p *randomPair, st randomStep) {
			if p.peerCan() && !(p.fin && p.wshut) {
				x.peerResets(p)
			}
		}},
		{"peer's CloseRead", 1, "unix", func(x *randomRun, p *randomPair, st randomStep) {
			if p.peerCan() && !p.peerShut {
				x.sync(p)
				x.must(p.peer.(streamConn).CloseRead())
				p.peerShut = true
			}
		}},
		{"peer's end", 3, "", func(x *randomRun, p *randomPair, st randomStep) { x.drainPeer(p) }},
		{"Read", 16, "", (*randomRun).opRead},
		{"Write", 12, "", (*randomRun).opWrite},
		{"Write much", 3, "", (*randomRun).opWriteMuch},
		{"write waits", 4, "", (*randomRun).opWriteWaits},
		{"read much", 3, "", (*randomRun).opReadMuch},
		{"FileConn", 1, "", (*randomRun).opFileConn},
		{"Buffers", 4, "", (*randomRun).opBuffers},
		{"ping-pong", 6, "", (*randomRun).opPingPong},
		{"two wait", 3, "", (*randomRun).opTwoWait},
		{"CloseRead", 1, "", func(x *randomRun, p *randomPair, st randomStep) { x.closeRead(p) }},
		{"CloseWrite", 2, "", (*randomRun).opCloseWrite},
		{"Close", 2, "", (*randomRun).opClose},
		{"deadline", 6, "", (*randomRun).opDeadline},
		{"no deadline", 4, "", func(x *randomRun, p *randomPair, st randomStep) {
			err := p.conn.SetDeadline(noDeadline)
			x.trace("", "%s", x.describe(err))
			if err == nil {
				p.rpast, p.wpast = false, false
			}
		}},
		{"set option", 5, "", (*randomRun).opSetOption},
		{"options", 2, "", (*randomRun).opOptions},
		{"addresses", 2, "", func(x *randomRun, p *randomPair, st randomStep) {
			x.trace("", "%T %v %T %v", p.conn.LocalAddr(), p.conn.LocalAddr(), p.conn.RemoteAddr(), p.conn.RemoteAddr())
		}},
	}, append(randomSocketOps(), append(randomCopyOps(), randomListenerOps()...)...)...)
}

func (x *randomRun) opPeerSend(p *randomPair, st randomStep) {
	n := []int{1, 5, 100, 1000, 3000, 9000}[st.n]
	if p.peerCan() && !p.fin && p.avail+n <= 20_000 && !(p.tcp() && p.rshut) {
		x.peerSends(p, n)
	}
}

func (x *randomRun) opPeerRead(p *randomPair, st randomStep) {
	if k := min(p.out, []int{1, 50, 1000, 1 << 20, 1 << 20, 1 << 20}[st.n]); k > 0 && !p.gone && !p.peerShut {
		x.takes(p, k)
	}
}

func (x *randomRun) opRead(p *randomPair, st randomStep) {
	b := make([]byte, []int{0, 1, 7, 100, 4096, 70_000}[st.n])
	if len(b) == 0 {
		x.do("", func() string { return x.doRead(0) })
		return
	}
	x.reads(p, st, func() (int, string) {
		n, err := p.conn.Read(b)
		return n, x.transferred(n, b, err)
	})
}

func (x *randomRun) opWrite(p *randomPair, st randomStep) {
	n := []int{0, 1, 100, 5000, 8192, 12_000}[st.n]
	if !p.roomFor(n) {
		return
	}
	if !p.writes() {
		n = min(n, 5000)
	}
	x.do("", func() string {
		n, err := p.conn.Write(x.data(n))
		p.wrote(n)
		return fmt.Sprintf("%d %s", n, x.describe(err))
	})
	if !p.writes() && n > 0 { // it is answered by a reset
		p.reset = true
		x.came(p, goneState...)
	}
}

func (x *randomRun) opWriteMuch(p *randomPair, st randomStep) {
	n := 100_000 + st.m%400_000
	if !p.whole() {
		return
	}
	c := x.start(func() string { return x.doWrite(x.data(n)) })
	x.takes(p, p.out+n)
	p.out += n
	c.result(x.label)
}

func (x *randomRun) opBuffers(p *randomPair, st randomStep) {
	var v net.Buffers
	total := 0
	for i := range 1 + st.m%5 {
		v = append(v, x.data(1+(st.n*i*700+st.k)%3000))
		total += len(v[i])
	}
	if !p.roomFor(total) || !p.writes() {
		return
	}
	how := buffersWays[st.k%2]
	x.do(how.name, func() string {
		n, err := how.do(p.conn, &v)
		p.wrote(int(n))
		each, left := lengths(v)
		return fmt.Sprintf("%d %s left=%v %d", n, x.describe(err), each, left)
	})
}

// opTwoWait has two Reads, or a Read and an io.Copy, wait for one end.
func (x *randomRun) opTwoWait(p *randomPair, st randomStep) {
	if !p.waits() {
		return
	}
	first := x.start(func() string { return x.doRead(1 + st.m%100) })
	first.asleep()
	second := x.start(func() string {
		if st.n%2 == 0 {
			return x.doRead(10)
		}
		n, err := io.Copy(io.Discard, p.conn)
		return fmt.Sprintf("%d %s", n, x.describe(err))
	})
	x.parks(second, 1+st.k%2) // which waits for the first one
	pickEnder(p, readEnders, st.m/100).f(x, p)
	for i, c := range []*call{first, second} {
		if r := c.wait(); !p.reset { // which one of them gets, and the other the end
			x.trace(fmt.Sprint("ended ", i), "%s", r)
		}
	}
}

// opPingPong has several requests and their answers follow each other.
func (x *randomRun) opPingPong(p *randomPair, st randomStep) {
	if !p.whole() || p.fin || p.rpast || p.rshut || p.avail > 0 || p.out > 0 {
		return
	}
	const size = 20
	requests := 1 + st.n
	b := make([]byte, size)
	for range 1 + st.m%12 {
		request := x.data(requests * size)
		c := x.start(func() string {
			for i := range requests {
				n, err := io.ReadFull(p.conn, b)
				if err != nil || !bytes.Equal(b[:n], request[i*size:(i+1)*size]) {
					return fmt.Sprint(n, b, x.describe(err))
				}
				if n, err := p.conn.Write(b); err != nil {
					return fmt.Sprint(n, x.describe(err))
				}
			}
			return "ok"
		})
		if st.k%2 == 0 {
			x.parks(c, st.k/2%2*2)
		}
		x.must(writeWhole(p.peer, string(request)))
		x.must(readWhole(p.peer, string(request)))
		if r := c.wait(); r != "ok" {
			x.trace("", "%s", r)
			x.leave(p)
			return
		}
	}
}

func (x *randomRun) opCloseWrite(p *randomPair, st randomStep) {
	x.sync(p)
	err := p.conn.CloseWrite()
	x.trace("", "%s", x.describe(err))
	if err == nil && !p.wshut {
		p.wshut = true
		if p.fin {
			x.came(p, goneState...)
		}
	}
}

func (x *randomRun) opClose(p *randomPair, st randomStep) {
	if st.n > 2 && !p.closed { // the others are for a second Close
		return
	}
	if p.closed {
		x.do("again", func() string { return x.describe(p.conn.Close()) })
		return
	}
	x.close(p)
}

func (x *randomRun) opDeadline(p *randomPair, st randomStep) {
	var t time.Time
	past := false
	switch st.m % 8 {
	case 0, 1:
		t, past = pastDeadline, true
	case 2:
		t, past = time.Now(), true
	case 3:
		t, past = []time.Time{time.Unix(0, 0), time.Unix(-5, 1), time.Unix(0, 1)}[st.k%3], true
	case 4, 5:
		t = distant()
	case 6:
		t = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	var err error
	switch st.n % 3 {
	case 0:
		err = p.conn.SetDeadline(t)
	case 1:
		err = p.conn.SetReadDeadline(t)
	case 2:
		err = p.conn.SetWriteDeadline(t)
	}
	x.trace("", "%s", x.describe(err))
	if err == nil && st.n%3 != 2 {
		p.rpast = past
	}
	if err == nil && st.n%3 != 1 {
		p.wpast = past
	}
}

func (x *randomRun) opSetOption(p *randomPair, st randomStep) {
	var err error
	size := 64<<10 + st.m%(64<<10)
	switch {
	case st.n == 0:
		err = p.conn.SetReadBuffer(size)
	case st.n == 1:
		err = p.conn.SetWriteBuffer(size)
	case !p.tcp():
		return
	case st.n == 2:
		err = x.tcp().SetNoDelay(st.m%2 == 0)
	case st.n == 3:
		err = x.tcp().SetLinger([]int{-1, 0, 3}[st.m%3])
		p.linger = st.m%3 > 0
	case st.n == 4 && st.m%2 == 0:
		err = x.tcp().SetKeepAlive(st.k%2 == 0)
	case st.n == 4:
		err = x.tcp().SetKeepAlivePeriod(time.Duration(1+st.k%100) * time.Second)
	default:
		c := net.KeepAliveConfig{Enable: st.m%4 > 0, Count: st.m%7 - 1}
		c.Idle = time.Duration(st.m%9-1) * time.Second
		c.Interval = time.Duration(st.k%9-1) * time.Second
		err = x.tcp().SetKeepAliveConfig(c)
	}
	x.trace(fmt.Sprint(st.n), "%s", x.describe(err))
}

func (x *randomRun) opOptions(p *randomPair, st randomStep) {
	if p.rc == nil || p.closed {
		return
	}
	x.trace("", "%s", x.describe(p.rc.Control(func(fd uintptr) { x.socketOptions(p, int(fd)) })))
}

func (x *randomRun) socketOptions(p *randomPair, fd int) {
	options := []struct{ level, name int }{{unix.SOL_SOCKET, unix.SO_TYPE}, {unix.SOL_SOCKET, unix.SO_KEEPALIVE}}
	if p.tcp() {
		for _, name := range []int{unix.TCP_NODELAY, unix.TCP_KEEPIDLE, unix.TCP_KEEPINTVL, unix.TCP_KEEPCNT} {
			options = append(options, struct{ level, name int }{unix.IPPROTO_TCP, name})
		}
	}
	var all []string
	for _, o := range options {
		v, err := unix.GetsockoptInt(fd, o.level, o.name)
		all = append(all, fmt.Sprint(v, err))
	}
	l, err := unix.GetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER)
	flags, ferr := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	x.trace("values", "%s linger=%v %v nonblock=%t %v", strings.Join(all, ", "), l, err, flags&unix.O_NONBLOCK != 0, ferr)
}

// randomSocketOps are those by which others reach the socket.
func randomSocketOps() []randomOp {
	return []randomOp{
		{"File", 2, "", func(x *randomRun, p *randomPair, st randomStep) {
			f, err := p.conn.File()
			x.trace("", "nil=%t %s", f == nil, x.describe(err))
			if err == nil {
				x.closeLater(f)
				p.files = append(p.files, f)
			}
		}},
		{"use of File", 8, "", (*randomRun).opUseFile},
		{"SyscallConn", 2, "", func(x *randomRun, p *randomPair, st randomStep) {
			rc, err := p.conn.SyscallConn()
			x.trace("", "nil=%t %s", rc == nil, x.describe(err))
			if err == nil {
				p.rc = rc
			}
		}},
		{"use of SyscallConn", 8, "", (*randomRun).opRaw},
		{"ReadMsgUnix", 6, "unix", (*randomRun).opReadMsg},
		{"WriteMsgUnix", 5, "unix", (*randomRun).opWriteMsg},
		{"peer sends rights", 4, "unix", func(x *randomRun, p *randomPair, st randomStep) {
			if p.peerSendable(20) {
				_, _, err := p.peer.(*net.UnixConn).WriteMsgUnix(x.data(20), x.rights(), nil)
				x.must(err)
				p.avail += 20
			}
		}},
	}
}

func (x *randomRun) opUseFile(p *randomPair, st randomStep) {
	if len(p.files) == 0 {
		return
	}
	f := p.files[0]
	switch st.n {
	case 0, 1:
		if n := 1 + st.m%3000; p.roomFor(n) && p.writes() && !p.peerEnd && !(p.tcp() && p.gone) {
			n, err := f.Write(x.data(n))
			p.wrote(n)
			x.trace("Write", "%d %s", n, x.cause(err))
		}
	case 2:
		if p.avail > 0 || p.fin && !p.gone {
			b := make([]byte, 1+st.m%500)
			n, err := f.Read(b)
			p.read(n)
			x.trace("Read", "%s", brief(b[:n])+x.cause(err))
		}
	case 3: // which sets the socket to blocking mode
		fd := int(f.Fd())
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		x.trace("Fd", "nonblock=%t %v", flags&unix.O_NONBLOCK != 0, err)
		x.must(syscall.SetNonblock(fd, true))
	case 4:
		x.control(f, func(fd int) { x.socketOptions(p, fd) })
	case 5:
		x.sync(p)
		x.trace("Close", "%s", x.describe(f.Close()))
		p.files = p.files[1:]
	}
}

func (x *randomRun) opRaw(p *randomPair, st randomStep) {
	if p.rc == nil {
		return
	}
	switch st.n {
	case 0:
		called := false
		err := p.rc.Control(func(uintptr) { called = true })
		x.trace("Control", "%t %s", called, x.describe(err))
	case 1:
		x.rawUncalled(x.label, p.rc)
	case 2, 3:
		b := make([]byte, 1+st.m%3000)
		x.reads(p, st, func() (n int, result string) {
			var rerr error
			err := p.rc.Read(func(fd uintptr) bool {
				n, rerr = syscall.Read(int(fd), b)
				return rerr != syscall.EAGAIN
			})
			return n, fmt.Sprintf("%s %v %s", brief(b[:max(n, 0)]), rerr, x.describe(err))
		})
	default:
		if n := 1 + st.m%3000; p.roomFor(n) && p.writes() && !(p.tcp() && p.gone) {
			x.do("Write", func() string {
				m := 0
				var werr error
				err := p.rc.Write(func(fd uintptr) bool {
					m, werr = syscall.Write(int(fd), x.data(n))
					return true
				})
				p.wrote(m)
				return fmt.Sprintf("%d %v %s", m, werr, x.describe(err))
			})
		}
	}
}

// rights are those of a file.
func (x *randomRun) rights() []byte {
	f, err := os.Open(os.DevNull)
	x.must(err)
	x.closeLater(f)
	return unix.UnixRights(x.number(f))
}

// got closes the files that came with a message, and says how many there were.
func got(oob []byte) (n int) {
	msgs, _ := unix.ParseSocketControlMessage(oob)
	for i := range msgs {
		fds, _ := unix.ParseUnixRights(&msgs[i])
		for _, fd := range fds {
			unix.Close(fd)
			n++
		}
	}
	return n
}

func (x *randomRun) opReadMsg(p *randomPair, st randomStep) {
	b, oob := make([]byte, 1+st.m%2000), make([]byte, []int{0, 64, 64}[st.n%3])
	x.reads(p, st, func() (int, string) {
		n, oobn, flags, addr, err := x.msgs().ReadMsgUnix(b, oob)
		return n, fmt.Sprintf("%d %s %d rights=%d %#x %v %s", n, brief(b[:max(n, 0)]), oobn, got(oob[:max(oobn, 0)]), flags, addr, x.describe(err))
	})
}

func (x *randomRun) opWriteMsg(p *randomPair, st randomStep) {
	var oob []byte
	if st.n%2 == 0 {
		oob = x.rights()
	}
	data := x.data([]int{0, 1, 100, 1000}[st.m%4])
	if !p.roomFor(len(data)) {
		return
	}
	x.do("", func() string {
		n, oobn, err := x.msgs().WriteMsgUnix(data, oob, nil)
		p.wrote(n)
		if err == nil && n == 0 && oobn > 0 {
			p.wrote(1) // which package net adds
		}
		return fmt.Sprintf("%d %d %s", n, oobn, x.describe(err))
	})
}
