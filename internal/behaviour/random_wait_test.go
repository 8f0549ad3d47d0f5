//go:build linux

package behaviour

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// opReadMuch reads what the peer sends meanwhile.
func (x *randomRun) opReadMuch(p *randomPair, st randomStep) {
	if !p.peerCan() || p.fin || p.rshut || p.rpast {
		return
	}
	data := x.data(50_000 + st.m%500_000)
	sent := make(chan error, 1)
	go func() { _, err := p.peer.Write(data); sent <- err }()
	all := p.avail + len(data)
	p.avail = 0
	x.do("", func() string {
		var b bytes.Buffer
		b.Grow(all)
		if st.n%2 == 0 {
			n, err := io.CopyN(&b, p.conn, int64(all))
			return fmt.Sprintf("CopyN %d %s %s", n, brief(b.Bytes()), x.describe(err))
		}
		n, err := io.ReadFull(readSizes{p.conn, 1 + st.k%100_000}, b.AvailableBuffer()[:all])
		return fmt.Sprintf("%d %s %s", n, brief(b.AvailableBuffer()[:n]), x.describe(err))
	})
	x.must(<-sent)
}

// opFileConn makes another conn of the conn's socket.
func (x *randomRun) opFileConn(p *randomPair, st randomStep) {
	if p.closed {
		return
	}
	f, err := p.conn.File()
	x.must(err)
	c, err := x.impl.fileConn(f)
	x.trace("", "nil=%t %s", c == nil, x.describe(err))
	x.must(f.Close())
	if err != nil {
		return
	}
	x.closeLater(c)
	x.close(p)
	p.conn, p.rc = c.(streamConn), nil
	p.closed, p.rpast, p.wpast = false, false, false
}

// writers are ways to write data, and whether their errors are the same but for what
// docs/differences.md has, which leaves their cause.
var writers = []struct {
	name     string
	exact    bool
	inKernel bool // the bytes are moved, that is
	f        func(x *randomRun, data []byte) func() (int64, error)
}{
	{"Write", true, false, func(x *randomRun, data []byte) func() (int64, error) {
		return func() (int64, error) { n, err := x.conn.Write(data); return int64(n), err }
	}},
	{"WriteBuffers", true, false, func(x *randomRun, data []byte) func() (int64, error) {
		v := net.Buffers{data[:10_000], data[10_000:20_001], data[20_001:]}
		return func() (int64, error) { return writeBuffers(x.conn, &v) }
	}},
	{"ReadFrom Buffers", true, false, func(x *randomRun, data []byte) func() (int64, error) {
		v := net.Buffers{data[:1], data[1:]}
		return func() (int64, error) { return readFromBuffers(x.conn, &v) }
	}},
	{"copy of bytes", true, false, func(x *randomRun, data []byte) func() (int64, error) {
		return func() (int64, error) { return io.Copy(x.conn, bytes.NewReader(data)) }
	}},
	{"copy of Reader", true, false, func(x *randomRun, data []byte) func() (int64, error) {
		return func() (int64, error) { return io.Copy(x.conn, readSizes{bytes.NewReader(data), 20_000}) }
	}},
	{"copy of file", false, true, func(x *randomRun, data []byte) func() (int64, error) {
		f := x.fileWith(data)
		return func() (int64, error) { return io.Copy(x.conn, f) }
	}},
	{"copy of limited file", true, true, func(x *randomRun, data []byte) func() (int64, error) {
		lr := &io.LimitedReader{R: x.fileWith(data), N: int64(len(data))}
		return func() (int64, error) { return io.Copy(x.conn, lr) }
	}},
	{"ReadFrom file", true, true, func(x *randomRun, data []byte) func() (int64, error) {
		f := x.fileWith(data)
		if rf, ok := x.conn.(io.ReaderFrom); ok {
			return func() (int64, error) { return rf.ReadFrom(f) }
		}
		return func() (int64, error) { n, err := x.conn.Write(data); return int64(n), err }
	}},
	{"copy of conn", false, true, func(x *randomRun, data []byte) func() (int64, error) {
		src, far := x.plainPair("tcp")
		go func() { far.Write(data); far.Close() }()
		return func() (int64, error) { return io.Copy(x.conn, src) }
	}},
}

// opWriteWaits writes more than the peer takes, which is ended.
func (x *randomRun) opWriteWaits(p *randomPair, st randomStep) {
	if !p.whole() || p.avail > 0 || p.linger {
		return
	}
	if p.out > 0 {
		x.takes(p, p.out)
	}
	x.must(p.conn.SetWriteBuffer(4096))
	how, kind := writers[st.k/3%len(writers)], st.m%7
	if kind == 4 && !p.tcp() {
		kind = 3 // shutdown(2) of a unix socket ends no Write
	}
	x.label += " in " + how.name
	data, n := x.data(4<<20), int64(0)
	write := how.f(x, data)
	c := x.start(func() string {
		var err error
		n, err = write()
		switch {
		case how.inKernel && kind > 4 && (errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET)):
			// A sendfile(2) or splice(2) that has sent something drops the error.
			return fmt.Sprintf("all=%t reset", int(n) == len(data))
		case !how.exact:
			return fmt.Sprintf("all=%t %s", int(n) == len(data), x.cause(err))
		}
		return fmt.Sprintf("all=%t %s", int(n) == len(data), x.describe(err))
	})
	if kind >= 3 || st.k%2 == 0 || how.name != "Write" { // what it returns may depend on it
		x.until("something sent", func() bool { return x.queued(p.peer) > 0 })
		c.blocked(x.label)
	}
	if kind == 0 {
		p.out = len(data)
		x.takes(p, p.out)
	} else {
		x.endWrite(p, kind)
	}
	x.trace("ended", "%s", c.wait())
	if p.gone {
		x.came(p, goneState...)
		return
	}
	if kind > 0 {
		b := make([]byte, n)
		x.must(p.peer.SetReadDeadline(time.Now().Add(behaviourLimit / 4)))
		_, err := io.ReadFull(p.peer, b)
		x.trace("peer gets", "exactly=%t %v", bytes.Equal(b, data[:n]), err)
	}
	if !p.closed {
		x.must(p.conn.SetWriteBuffer(128 << 10))
	}
	if p.wshut && p.fin {
		x.came(p, goneState...)
	}
}

// endWrite ends a call that waits for the peer to take something.
func (x *randomRun) endWrite(p *randomPair, kind int) {
	switch kind {
	case 1, 2:
		t := pastDeadline
		if kind == 2 {
			t = soon()
		}
		x.trace("SetWriteDeadline", "%s", x.describe(p.conn.SetWriteDeadline(t)))
		p.wpast = true
	case 3:
		x.trace("Close", "%s", x.describe(p.conn.Close()))
		p.closed = true
	case 4:
		x.trace("CloseWrite", "%s", x.describe(p.conn.CloseWrite()))
		p.wshut = true
	default:
		if p.tcp() && kind == 6 {
			x.must(p.peer.(*net.TCPConn).SetLinger(0))
		}
		x.trace("peer's Close", "%s", x.cause(p.peer.Close()))
		p.fin, p.gone, p.reset = true, true, p.tcp()
	}
}
