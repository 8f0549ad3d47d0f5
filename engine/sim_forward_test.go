//go:build linux

package engine

import (
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"reflect"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// simForward is a Forward under way. The kernel's mu guards it.
type simForward struct {
	src, dst *simConn
	from     int  // what had been taken from src before
	sent     int  // what dst has been given since
	alone    bool // nobody else used dst
	uses     int  // of dst
	noPipes  int  // how often there had been none

	undisturbed bool   // only the relay itself has cause to end
	calls       int64  // of users of src and dst, so far
	relays      int    // sends
	changes     uint64 // of the gear of dst's engine, at the last of them

	piped    bool          // held is in a pipe
	gated    bool          // has the gate of dst, and wants its wmu
	waits    bool          // for wmu
	patience time.Duration // until it asks again
}

// held is how much was taken from the source, and not sent.
func (f *simForward) held() int { return f.src.s.taken - f.from - f.sent }

// pass notes that s was given p. Called with mu held.
func (k *simKernel) pass(f *simForward, s *simSock, p []byte) {
	if f.dst.s != s {
		k.fail("socket %d was given what goes to socket %d", s.id, f.dst.s.id)
	}
	if len(p) > f.held() {
		k.fail("socket %d was given %d bytes of socket %d, of which %d were taken", s.id, len(p), f.src.s.id, f.held())
	}
	if i := f.src.s.in().wrong(p, f.from+f.sent); i >= 0 {
		k.fail("socket %d was given a wrong byte of socket %d at %d", s.id, f.src.s.id, f.from+f.sent+i)
	}
	f.sent += len(p)
	s.passed += len(p)
	if n := len(s.cuts); n == 0 || s.cuts[n-1] != s.wrote {
		s.cuts = append(s.cuts, s.wrote)
	}
}

// sendRelayed is a send of what the engine's thread has taken from another conn. It
// is done at once. Called with mu held, on the engine's goroutine.
func (k *simRing) sendRelayed(r *simReq) {
	n := k.loop.slots.find(r.sqe.UserData)
	r.sock = k.files[int(r.sqe.Fd)]
	if n == nil || r.sock == nil {
		k.fail("relayed send to fd %d, which is closed, or of nobody", r.sqe.Fd)
		k.post(r, -int(unix.EBADF), 0, false)
		return
	}
	c := n.h.(*Conn)
	f, p := k.files[c.fd].forward, c.relay.(*relay).part
	switch {
	case f == nil || f.dst.s != r.sock:
		k.fail("relayed send from socket %d to socket %d", k.files[c.fd].id, r.sock.id)
	case r.sock.writers > 0 || k.flies(r.sock, kindSend):
		k.fail("relayed send to socket %d beside a write or send", r.sock.id)
	case len(p) == 0 || uint64(reflect.ValueOf(p).Pointer()) != r.sqe.Addr || len(p) != int(r.sqe.Len):
		k.fail("relayed send to socket %d of what was not received", r.sock.id)
	case !r.impatient():
		k.fail("relayed send to socket %d waits for room", r.sock.id)
	case !k.isDead() && f.dst.wd.longPassed(time.Now()): // naps are long beside a dead ring
		k.fail("relayed send to socket %d after its deadline", r.sock.id)
	case f.dst.c.credit > 0:
		k.fail("relayed send to socket %d, of whose room %d are spoken for", r.sock.id, f.dst.c.credit)
	}
	k.hit("relayed")
	k.noteAcross(f)
	if f.relays++; f.relays == 4 {
		k.hit("relayed by one call")
	}
	if f.src == f.dst {
		k.hit("relayed to itself")
	}
	if k.chaos(3) {
		f.undisturbed = false
		k.post(r, -int([]unix.Errno{unix.EINTR, unix.EAGAIN}[k.rnd.IntN(2)]), 0, false)
		return
	}
	if k.chaos(3) && !r.sock.rst {
		k.reset(r.sock)
	} else if k.chaos(2) && !r.sock.rst {
		k.unreachable(r.sock)
	}
	sent, err := k.put(r.sock, p, f)
	f.undisturbed = f.undisturbed && sent == len(p)
	if err != nil {
		k.hit("relayed send failed")
		sent = -int(err.(unix.Errno))
	} else if sent < len(p) {
		k.hit("relayed send was short")
	}
	k.post(r, sent, 0, false)
}

// left is the forward whose relay has left bytes for s to its caller.
func (k *simKernel) left(s *simSock) *simForward {
	for _, o := range k.socks {
		if f := o.forward; f != nil && f.dst.s == s && f.held() > 0 && !f.piped {
			return f
		}
	}
	return nil
}

// simPipe is a pipe for splice(2).
type simPipe struct {
	k *simKernel
	f *simForward
	n int // bytes in it
}

func (k *simKernel) Pipe() (pipe, error) {
	k.nap()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.chaos(2) {
		k.noPipes++
		return nil, unix.EMFILE
	}
	k.pipes++
	return &simPipe{k: k}, nil
}

func (k *simKernel) pipesRefused() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.noPipes
}

func (p *simPipe) Fill(from int, n int64) (int64, error) {
	k := p.k
	k.mu.Lock()
	p.f = k.file(from, "splice").forward
	p.f.checkWoken()
	n = int64(k.short(int(min(n, max(1, int64(p.f.src.s.unread()))))))
	passed, first := false, false
	if p.f.src.s.readable() {
		passed, first = k.passGate(p.f)
	} else if p.f.gated { // somebody else was told the error that there was
		p.f.ungate()
	}
	k.mu.Unlock()
	if first {
		p.f.dst.c.wmu.haltRelay()
	}
	if !passed || !k.mayPump(p.f) {
		return -1, unix.EAGAIN
	}
	for {
		got, err := k.Read(from, make([]byte, n))
		if err != unix.EINTR {
			k.mu.Lock()
			p.n = max(got, 0)
			p.f.piped = p.n > 0
			k.mu.Unlock()
			return int64(got), err
		}
	}
}

func (p *simPipe) Drain(to int, n int64) (int64, error) {
	k := p.k
	k.mu.Lock()
	b := make([]byte, min(n, int64(p.n)))
	p.f.src.s.in().fill(b, p.f.from+p.f.sent)
	k.hit("spliced")
	if p.f.src.c.e != p.f.dst.c.e {
		k.hit("spliced to another engine")
	}
	k.mu.Unlock()
	for {
		put, err := k.writeFrom(to, b, p.f)
		if err != unix.EINTR {
			p.n -= max(put, 0)
			return int64(put), err
		}
	}
}

func (p *simPipe) Put() {
	p.Discard()
	if p.n > 0 {
		p.k.fail("a pipe with %d bytes in it was given back", p.n)
	}
}

func (p *simPipe) Discard() {
	p.k.mu.Lock()
	defer p.k.mu.Unlock()
	p.k.pipes--
	p.f.piped = p.n > 0 // and lost
	if p.f.gated && !p.f.waits {
		p.f.ungate()
	}
}

// forward forwards to a conn of its choice, or to itself.
func (u *simConn) forward(rnd *rand.Rand) error {
	u.r.mu.Lock()
	d := u.r.conns[rnd.IntN(len(u.r.conns))]
	u.r.mu.Unlock()
	remain := int64(math.MaxInt64)
	if rnd.IntN(6) == 0 {
		remain = 1 + rnd.Int64N(300)
	}
	u.setReading(true)
	defer u.setReading(false)
	f := u.beginForward(d)
	defer d.fed()
	op := u.r.begin("forward", u, f.why)
	f.begin(op, remain)
	u.r.add("socket %d: forwards up to %d to socket %d", u.s.id, remain, d.s.id)
	n, handled, err := d.c.Forward(u.c, remain)
	if u.r.end(op, int(n), err); f.undisturbed && f.relays > 1 {
		u.r.hit("relayed without a wake-up")
	}
	held := u.endForward(f)
	if errors.Is(err, unix.EIO) && held > 0 {
		u.r.k.mu.Lock()
		d.s.gap = true
		u.r.k.mu.Unlock()
	}
	f.judge(op, n, held, err)
	switch {
	case held > 0 || f.lost(n, err) && (n < int64(f.sent) || !u.hasLost()): // u is asked first
		f.judgeSink(op, err)
	case err != nil:
		u.judgeRead(op, err)
	case !handled:
		if u.r.hit("no pipe"); u.r.k.pipesRefused() == f.noPipes {
			u.r.fail("forward from %v to %v was left to the caller", u, d)
		}
	case n < remain:
		u.judgeRead(op, io.EOF)
	}
	return err
}

func (u *simConn) beginForward(d *simConn) *simForward {
	f := &simForward{src: u, dst: d}
	d.mu.Lock()
	d.alone = false
	d.feeds++
	d.uses++
	d.calls.Add(1)
	f.alone = !d.reading && !d.writing && d.feeds == 1
	f.uses = d.uses
	d.mu.Unlock()
	u.r.k.mu.Lock()
	defer u.r.k.mu.Unlock()
	f.from, f.noPipes = u.s.taken, u.r.k.noPipes
	u.s.forward, u.s.forwarded = f, true
	return f
}

// begin notes whether anything is in the way of a relay.
func (f *simForward) begin(op *simOp, remain int64) {
	r, src, dst := f.src.r, f.src, f.dst
	calls := src.calls.Load() + dst.calls.Load() // before what they have begun is looked at
	disturbed := remain < math.MaxInt64 || !src.s.tcp || r.plan.bulk
	r.mu.Lock()
	for o := range r.ops {
		disturbed = disturbed || o != op && (o.u == src || o.u == dst)
	}
	r.mu.Unlock()
	for _, u := range []*simConn{src, dst} {
		u.mu.Lock()
		disturbed = disturbed || u.feeds > 1 || u != dst && u.feeds > 0
		u.mu.Unlock()
		u.c.mu.Lock()
		disturbed = disturbed || u.c.closed || !u.c.flushed() || u.c.damage != intact || u.c.poll == pollRefused ||
			u.c.r.limit.Load() != 0 || u.c.w.limit.Load() != 0
		u.c.mu.Unlock()
	}
	r.k.mu.Lock()
	defer r.k.mu.Unlock()
	f.calls, f.undisturbed = calls, !disturbed && src.s.gate == nil && dst.s.gate == nil
}

// checkWoken is for a Forward that goes on by itself. Called with the kernel's mu
// held.
func (f *simForward) checkWoken() {
	k, src, dst := f.src.r.k, f.src, f.dst
	switch {
	case !f.undisturbed || f.calls != src.calls.Load()+dst.calls.Load() || k.ringOf(src.c).dead || src.r.engineClosing():
	case src.s.ended() || src.s.soErr != 0 || src.s.passing || dst.s.rst || dst.s.passing || src.s.pollRefused:
	default:
		k.fail("the relay from %v to %v was woken for nothing", src, dst)
	}
	f.undisturbed = false
}

// endForward returns how much was taken from the source and lost.
func (u *simConn) endForward(f *simForward) (held int) {
	u.r.k.mu.Lock()
	held = f.held()
	taken := u.s.taken
	u.s.forward = nil
	if f.gated {
		f.ungate()
	}
	u.r.k.mu.Unlock()
	u.mu.Lock()
	u.read = taken
	u.mu.Unlock()
	f.dst.mu.Lock()
	f.alone = f.alone && f.dst.uses == f.uses
	f.dst.mu.Unlock()
	return held
}

// fed is for a Forward to u that has ended, once what it was told is noted: until then
// a Write to u is not alone.
func (u *simConn) fed() {
	u.mu.Lock()
	u.feeds--
	u.mu.Unlock()
}

// lost reports whether err is that of a destination whose ring has died with what it
// was to send, which may have been sent. A closed one says that it is closed.
func (f *simForward) lost(n int64, err error) bool {
	told := errors.Is(err, unix.EIO) || errors.Is(err, net.ErrClosed) && n < int64(f.sent)
	return told && f.dst.hasLost()
}

// judge checks what a Forward returned.
func (f *simForward) judge(op *simOp, n int64, held int, err error) {
	r := f.src.r
	if n != int64(f.sent) && !f.lost(n, err) {
		r.fail("forward from %v to %v: %d, but %d were sent", f.src, f.dst, n, f.sent)
	}
	if held > 0 && err == nil {
		r.fail("forward from %v to %v: %d bytes were lost", f.src, f.dst, held)
	}
	if f.sent == 0 {
		return
	}
	if _, late := f.dst.wd.during(op); late || f.dst.wasClosed(op) {
		r.fail("forward from %v to %v: %d were sent after its deadline or Close", f.src, f.dst, f.sent)
	}
}

// judgeSink checks an error of the destination.
func (f *simForward) judgeSink(op *simOp, err error) {
	u := f.dst
	if u.judge(op, &u.wd, "Write", err) {
		return
	}
	lost, closing := u.hasLost(), u.mayBeClosed()
	u.mu.Lock()
	if isReset(err) {
		u.resets++
	}
	shut, resets := u.shutWr, u.resets
	u.mu.Unlock()
	u.r.k.mu.Lock()
	defer u.r.k.mu.Unlock()
	if resets > u.s.resets {
		u.r.fail("%s of %v to %v: a reset that the kernel did not report", op.name, f.src, u)
	}
	if errors.Is(err, unix.EPIPE) && u.s.wasErr && resets == 0 && f.alone && !shut && !lost && !closing {
		u.r.fail("%s of %v to %v: %v, but nobody was told the reset", op.name, f.src, u, err)
	}
	reset := errors.Is(err, unix.EPIPE) || isReset(err)
	if !(reset && (u.s.rst || shut || lost || u.s.passing)) {
		u.r.fail("%s of %v to %v: %v", op.name, f.src, u, err)
	}
}

// why is whyRead of a forward.
func (f *simForward) why() string {
	if f.held() > 0 {
		return f.dst.whyWrite()
	}
	if f.dst.s.gate != nil && f.dst.whyWrite() == "" {
		return "" // somebody else writes to dst
	}
	f.src.c.mu.Lock()
	defer f.src.c.mu.Unlock()
	if f.src.c.untold != 0 {
		return "an error is to be told"
	}
	return f.src.whyRead()
}

// A goroutine that waits for a mutex stops the clock. So who may have to wait for
// the wmu of a conn passes its gate first, which one at a time does, and then wants
// the lock as callLock.Lock does, until it is free. From there on a relay has it
// for moments only.

// passGate reports whether f has passed the gate of its destination. Else the
// source's poller is told again. Called with mu held.
func (k *simKernel) passGate(f *simForward) (passed, first bool) {
	d := f.dst
	switch {
	case f.gated:
		return true, false
	case d.s.gate == nil:
		d.s.gate = make(chan struct{})
		f.gated = true
		d.c.wmu.wanted.Add(1)
		return true, true
	}
	d.s.gateWaits = append(d.s.gateWaits, f.src.s)
	return false, false
}

// mayPump reports whether f, which has passed the gate, may take bytes and wait for
// wmu with them. Else the source's poller is told again.
func (k *simKernel) mayPump(f *simForward) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	wmu := &f.dst.c.wmu
	if f.waits = !wmu.TryLock(); !f.waits {
		wmu.Unlock()
		f.patience = 0
		return true
	}
	k.hit("splice waits for a Write")
	f.patience = min(max(2*f.patience, 10*time.Microsecond), time.Second)
	k.clock.after(f.patience, func() {
		k.mu.Lock()
		k.edge(f.src.s, true, false)
		k.mu.Unlock()
	})
	return false
}

// ungate is called with the kernel's mu held.
func (f *simForward) ungate() {
	f.gated, f.waits = false, false
	f.dst.c.wmu.wanted.Add(-1)
	f.dst.r.k.ungate(f.dst.s)
}

func (k *simKernel) ungate(s *simSock) {
	close(s.gate)
	s.gate = nil
	for _, src := range s.gateWaits {
		k.edge(src, true, false)
	}
	s.gateWaits = nil
}

// enterGate is for a Write.
func (u *simConn) enterGate() {
	for {
		u.r.k.mu.Lock()
		gate := u.s.gate
		if gate == nil {
			u.s.gate = make(chan struct{})
		}
		u.r.k.mu.Unlock()
		if gate == nil {
			return
		}
		<-gate
	}
}

func (u *simConn) leaveGate() {
	u.r.k.mu.Lock()
	defer u.r.k.mu.Unlock()
	u.r.k.ungate(u.s)
}

// seek waits until l is free, as callLock.Lock does. Who wants it no more calls
// the result.
func (u *simConn) seek(l *callLock) (sought func()) {
	l.wanted.Add(1)
	l.haltRelay()
	for d := 10 * time.Microsecond; !l.TryLock(); d = min(2*d, time.Second) {
		u.r.k.clock.sleep(d)
	}
	l.Unlock()
	return func() { l.wanted.Add(-1) }
}

// contend wants the lock of the readers, and nothing else.
func (u *simConn) contend() {
	op := u.r.begin("wish to read", u, func() string {
		switch f := u.s.forward; {
		case f == nil || f.held() > 0:
			return ""
		case slices.ContainsFunc(u.s.pollers, func(p *simPoller) bool { return p.sides[0].in }):
			return ""
		}
		return "a relay has the lock"
	})
	u.seek(&u.c.rmu)()
	u.r.end(op, 0, nil)
}

// checkTorn looks for forwarded bytes in the middle of a Write.
func (u *simConn) checkTorn() {
	for _, w := range u.writes {
		for _, cut := range u.s.cuts {
			if w[0] < cut && cut < w[1] {
				u.r.fail("%v: what was written from %d to %d is torn by forwarded bytes at %d", u, w[0], w[1], cut)
			}
		}
	}
}
