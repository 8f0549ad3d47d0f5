//go:build linux

package behaviour

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// randomCopyOps are io.Copy and what it calls.
func randomCopyOps() []randomOp {
	return []randomOp{
		{"copy in", 8, "", (*randomRun).opCopyIn},
		{"copy out", 8, "", (*randomRun).opCopyOut},
		{"copy between", 9, "", (*randomRun).opCopyBetween},
		{"copy to one that ends", 4, "", (*randomRun).opCopyDst},
		{"copy some between", 3, "", (*randomRun).opCopySome},
	}
}

// source makes something to copy n bytes from, and says whether it is one whose WriteTo
// knows package net's conns, and is another one for quoit's: io.Copy's errors differ then
// but for their cause, as docs/differences.md has it.
func (x *randomRun) source(n, kind int) (name string, r io.Reader, knows bool) {
	data := x.data(n)
	switch kind % 11 {
	case 0:
		return "bytes", bytes.NewReader(data), false
	case 1:
		return "limited", &io.LimitedReader{R: bytes.NewReader(data), N: int64(n / 2)}, false
	case 2:
		return "no WriterTo", readSizes{bytes.NewReader(data), 700}, false
	case 3:
		return "fails", io.MultiReader(readSizes{bytes.NewReader(data), 700}, &failing{0, errBroken}), false
	case 4:
		return "giver", new(giver), false
	case 5:
		return "ends with data", dataWithError{string(data[:min(n, 100)]), io.EOF}, false
	case 6:
		return "conn", x.filled(data), x.network == "unix"
	case 7:
		return "limited file", &io.LimitedReader{R: x.fileWith(data), N: int64(n / 2)}, true
	case 8:
		return "pipe", x.pipeWith(data, unix.O_NONBLOCK), true
	case 9:
		return "blocking pipe", x.pipeWith(data, 0), true
	}
	return "file", x.fileWith(data), true
}

func (x *randomRun) fileWith(data []byte) *os.File {
	path := filepath.Join(x.dir, fmt.Sprint("file", x.sent))
	x.must(os.WriteFile(path, data, 0o600))
	f, err := os.Open(path)
	x.must(err)
	x.closeLater(f)
	return f
}

// plainPair is otherPair, with names for its addresses.
func (x *randomRun) plainPair(network string) (a, b net.Conn) {
	a, b = x.otherPair(network)
	if network != "unix" {
		x.name(a.LocalAddr().String(), "$PLAIN")
		x.name(b.LocalAddr().String(), "$FAR")
	}
	return a, b
}

// filled is a conn of package net that has received data and the end.
func (x *randomRun) filled(data []byte) net.Conn {
	src, far := x.plainPair("tcp")
	x.must(writeWhole(far, string(data)))
	x.must(far.Close())
	return src
}

func (x *randomRun) pipe(flags int) (r, w *os.File) {
	var fds [2]int
	x.must(unix.Pipe2(fds[:], unix.O_CLOEXEC|flags))
	r, w = os.NewFile(uintptr(fds[0]), "pipe r"), os.NewFile(uintptr(fds[1]), "pipe w")
	x.closeLater(r)
	x.closeLater(w)
	return r, w
}

func (x *randomRun) pipeWith(data []byte, flags int) *os.File {
	r, w := x.pipe(flags)
	x.must(writeWhole(w, string(data)))
	x.must(w.Close())
	return r
}

// opCopyIn copies to the conn.
func (x *randomRun) opCopyIn(p *randomPair, st randomStep) {
	n := []int{0, 1, 100, 2000, 5000, 10_000}[st.n]
	if !p.roomFor(n) || !p.writes() {
		return
	}
	name, r, knows := x.source(n, st.m)
	readFrom := st.k%3 == 0 && p.tcp()
	what := name
	if readFrom {
		what += " ReadFrom"
	}
	x.do(what, func() string {
		var n int64
		var err error
		if readFrom {
			n, err = x.tcp().ReadFrom(r)
		} else {
			n, err = io.Copy(p.conn, r)
		}
		p.wrote(int(n))
		if knows && !readFrom {
			return fmt.Sprintf("%d %s", n, x.cause(err))
		}
		return fmt.Sprintf("%d %s", n, x.describe(err))
	})
	if lr, ok := r.(*io.LimitedReader); ok {
		x.trace(what+" left", "%d", lr.N)
	}
}

// sink is something to copy to.
type sink struct {
	name string
	w    io.Writer
	has  func() int // bytes, if that can be asked for meanwhile
	got  func() string
	exact,
	fails bool
}

// lockedBuffer can be asked what it has.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Len()
}

func (x *randomRun) sink(kind int) sink {
	switch kind % 10 {
	case 0, 1:
		b := new(lockedBuffer)
		return sink{"writer", b, b.Len, func() string { return brief(b.b.Bytes()) }, true, false}
	case 2:
		b := new(bytes.Buffer)
		return sink{"buffer", b, nil, func() string { return brief(b.Bytes()) }, true, false}
	case 3:
		return sink{"failing", &failing{5, errBroken}, nil, nil, true, true}
	case 4:
		return sink{"odd", oddWriter{3, nil}, nil, nil, true, true}
	case 5:
		w := &taker{s: x.scene, r: func(r io.Reader) (int64, error) { return io.Copy(io.Discard, r) }}
		return sink{"taker", w, nil, func() string { return fmt.Sprint(w.saw) }, true, false}
	case 6:
		path := filepath.Join(x.dir, fmt.Sprint("out", x.sent))
		f, err := os.Create(path)
		x.must(err)
		x.closeLater(f)
		return sink{"file", f, func() int { st, err := f.Stat(); x.must(err); return int(st.Size()) }, func() string {
			b, err := os.ReadFile(path)
			return brief(b) + fmt.Sprint(err)
		}, false, false}
	case 7, 8:
		flags := unix.O_NONBLOCK
		if kind%10 == 8 {
			flags = 0
		}
		r, w := x.pipe(flags)
		return sink{"pipe " + fmt.Sprint(flags), w, func() int { return x.queued(r) }, func() string {
			w.Close()
			b, err := io.ReadAll(r)
			return brief(b) + fmt.Sprint(err)
		}, false, false}
	}
	network := []string{"tcp", "unix"}[kind/10%2]
	w, far := x.plainPair(network)
	return sink{"net " + network, w, func() int { return x.queued(far) }, func() string {
		w.Close()
		b, err := drain(far)
		return brief(b) + fmt.Sprint(err)
	}, false, false}
}

// copies starts a copy from p's conn that goes on until it is ended, and records how it
// ends. has says how many bytes have come to the other side, if that is known.
func (x *randomRun) copies(p *randomPair, st randomStep, f func() string, has func() int) {
	c := x.start(f)
	if p.ended() {
		r := c.wait()
		x.trace("", "%s", r)
		if !p.closed && !p.rpast {
			p.avail = 0
		}
		return
	}
	x.parks(c, st.k)
	total := p.avail
	for i := range st.n {
		x.meanwhile(p, st.m>>i, st.k>>i)
		if p.peerSendable(500) && x.peerSends(p, 1+st.m%500) {
			total = p.avail
		}
		if has != nil && st.k%2 == 0 {
			x.until("copied", func() bool { return has() == total })
		}
	}
	e := readEnders[0]
	if has != nil {
		x.until("copied", func() bool { return has() == total })
		p.avail = 0
		e = pickEnder(p, readEnders, st.m/20)
	}
	e.f(x, p)
	x.trace("ended by "+e.name, "%s", c.wait())
	p.avail = 0
}

// meanwhile does something that a copy from the conn does not mind.
func (x *randomRun) meanwhile(p *randomPair, kind, k int) {
	switch kind % 12 {
	case 0:
		x.trace("SetReadDeadline", "%s", x.describe(p.conn.SetReadDeadline(distant())))
	case 1:
		x.trace("SetDeadline", "%s", x.describe(p.conn.SetDeadline(noDeadline)))
		p.wpast = false
	case 2:
		f, err := p.conn.File()
		x.must(err)
		x.trace("Close of File", "%s", x.describe(f.Close()))
	case 3:
		x.trace("Control", "")
		x.control(p.conn, func(int) {})
	case 4, 5:
		if n := 1 + k%3000; p.roomFor(n) && p.writes() {
			x.do("Write", func() string {
				n, err := p.conn.Write(x.data(n))
				p.wrote(n)
				return fmt.Sprintf("%d %s", n, x.describe(err))
			})
		}
	case 6:
		if p.out > 0 && !p.peerShut {
			x.takes(p, 1+k%p.out)
		}
	case 7:
		x.trace("empty Write", "%s", x.doWrite(nil))
	}
}

func (x *randomRun) opCopyOut(p *randomPair, st randomStep) {
	w := x.sink(st.m)
	if w.fails && (p.avail <= 5 || p.tcp() && p.rshut) || p.avail == 0 && p.closed && st.n > 0 {
		return
	}
	x.label += " to " + w.name
	copying := func() string {
		n, err := io.Copy(w.w, p.conn)
		if !w.exact {
			return fmt.Sprintf("%d %s", n, x.cause(err))
		}
		return fmt.Sprintf("%d %s", n, x.describe(err))
	}
	if w.fails {
		x.do("", copying)
		x.leave(p)
		return
	}
	x.copies(p, st, copying, w.has)
	if w.got != nil {
		x.trace("got", "%s", w.got())
	}
}

// other returns the pair that p is not.
func (x *randomRun) other(p *randomPair) *randomPair {
	for _, o := range x.pairs {
		if o != nil && o != p && !o.lost {
			return o
		}
	}
	return nil
}

// between says how to copy from p to o.
func (x *randomRun) between(p, o *randomPair, kind int) (name string, f func() (int64, error)) {
	switch rf, ok := o.conn.(io.ReaderFrom); {
	case kind%4 == 0 && ok:
		return "ReadFrom", func() (int64, error) { return rf.ReadFrom(p.conn) }
	case kind%4 == 1 && p.tcp():
		return "WriteTo", func() (int64, error) { return p.conn.(io.WriterTo).WriteTo(o.conn) }
	}
	return "Copy", func() (int64, error) { return io.Copy(o.conn, p.conn) }
}

func (x *randomRun) opCopyBetween(p *randomPair, st randomStep) {
	o := x.other(p)
	if o == nil || !o.roomFor(p.avail+2000) {
		return
	}
	name, f := x.between(p, o, st.k/3)
	x.label += fmt.Sprintf(" %s to %s %s", p.network, o.network, name)
	moved := int64(0)
	copying := func() string {
		n, err := f()
		moved = n
		return fmt.Sprintf("%d %s", n, x.describe(err))
	}
	if !o.whole() {
		if !o.writes() || p.avail == 0 && !p.ended() {
			return
		}
		x.do("", copying)
		x.leave(p) // what has been taken from its socket is not certain
		return
	}
	x.sync(o)
	out := o.out
	x.copies(p, st, copying, func() int { return x.queued(o.peer) - out })
	o.out += int(moved)
	x.sync(o)
}

// opCopyDst ends the other conn while a copy waits for something to send there.
func (x *randomRun) opCopyDst(p *randomPair, st randomStep) {
	o := x.other(p)
	if o == nil || !o.whole() || !p.waits() || !p.peerSendable(1000) {
		return
	}
	name, f := x.between(p, o, st.k/3)
	x.label += fmt.Sprintf(" %s to %s %s", p.network, o.network, name)
	var n int64
	var err error
	c := x.start(func() string { n, err = f(); return "" })
	x.parks(c, st.k)
	for range st.n % 3 { // which the copy passes on
		n := p.avail
		x.peerSends(p, 1+st.m%300)
		o.out += p.avail - n
		p.avail = n
		x.sync(o)
	}
	x.use(o)
	switch st.m % 5 {
	case 0:
		x.close(o)
	case 1:
		x.opCloseWrite(o, st)
	case 2, 3:
		x.trace("SetWriteDeadline", "%s", x.describe(o.conn.SetWriteDeadline(pastDeadline)))
		o.wpast = true
	case 4:
		if !o.tcp() || o.fin {
			x.peerCloses(o)
		} else {
			x.peerResets(o)
		}
	}
	if o.tcp() && o.gone && !o.reset { // a Write succeeds, and is answered by a reset
		o.lost = true
	}
	x.use(p)
	c.blocked(x.label)
	x.peerSends(p, 10)
	x.trace("ended", "%s%d %s", c.wait(), n, x.describe(err))
	x.leave(p)
}

// opCopySome copies no more than there is.
func (x *randomRun) opCopySome(p *randomPair, st randomStep) {
	o := x.other(p)
	if o == nil || !o.whole() || p.avail == 0 || !o.roomFor(p.avail) || p.closed || p.rpast {
		return
	}
	k := 1 + st.m%p.avail
	lr := &io.LimitedReader{R: p.conn, N: int64(k)}
	x.do(strings.Join([]string{p.network, "to", o.network}, " "), func() string {
		n, err := io.Copy(o.conn, lr)
		p.read(int(n))
		o.wrote(int(n))
		return fmt.Sprintf("%d left=%d %s", n, lr.N, x.describe(err))
	})
}
