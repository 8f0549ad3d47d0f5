//go:build linux

package engine

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// simDeadlines is the history of a deadline.
type simDeadlines struct {
	mu   sync.Mutex
	sets []simSet
}

type simSet struct {
	from, to simMoment // of the call
	t        time.Time
}

func (h *simDeadlines) begin(from simMoment, t time.Time) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sets = append(h.sets, simSet{from: from, t: t})
	return len(h.sets) - 1
}

func (h *simDeadlines) end(i int, to simMoment, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sets[i].to = to
	if err != nil {
		h.sets[i].t = time.Time{} // never in force, and nothing after it
	}
}

// during returns whether a deadline may have passed during op, and whether
// one had passed before and stayed in force.
func (h *simDeadlines) during(op *simOp) (may, must bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	ruling := 0
	for _, s := range append([]simSet{{}}, h.sets...) {
		if op.to.before(s.from) {
			continue
		}
		until := op.to.at
		over := false
		for _, later := range h.sets {
			if s.to.before(later.from) || s.from.seq == 0 {
				if later.to.is() && later.to.at.Before(until) {
					until = later.to.at
				}
				over = over || later.to.before(op.from)
			}
		}
		if over {
			continue
		}
		ruling++
		if s.t.IsZero() {
			continue
		}
		may = may || !s.t.After(until)
		must = s.to.before(op.from) && !s.t.After(op.from.at)
	}
	return may, must && ruling == 1
}

// longPassed reports whether the deadline passed before all that anybody at work
// has looked at.
func (h *simDeadlines) longPassed(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	long := now.Add(-6 * time.Millisecond)
	for _, s := range h.sets {
		switch {
		case !s.to.is() || s.to.at.After(long):
			return false
		case slices.ContainsFunc(h.sets, func(later simSet) bool { return s.to.before(later.from) }):
			// replaced; of those that were set at the same time any may rule
		case s.t.IsZero() || s.t.After(long):
			return false
		}
	}
	return len(h.sets) > 0
}

// passed reports whether the deadline in force has passed.
func (h *simDeadlines) passed(r *simRun) bool {
	_, must := h.during(&simOp{from: r.moment(), to: r.moment()})
	return must
}

// simDeadline is a deadline to set; none if lift.
func (r *simRun) newDeadline(rnd *rand.Rand, lift bool) (t time.Time) {
	switch p := rnd.IntN(100); {
	case lift || p < 30:
	case p < 35:
		return time.Unix(1, 0)
	case p < 50:
		t = time.Now().Add(-time.Duration(rnd.IntN(2)))
	default:
		t = time.Now().Add(r.plan.upTo(rnd, 10*time.Millisecond))
	}
	return t
}

// simConn is a conn, what its users know and what they may see.
type simConn struct {
	r  *simRun
	c  *Conn
	s  *simSock
	rd simDeadlines
	wd simDeadlines

	mu                 sync.Mutex
	closeBegan, closed simMoment // first
	closes             int       // Closes that returned nil
	shutRd, shutWr     bool      // by the user
	finAsked           bool      // and that returned nil
	linger             bool
	shared             bool // others have been shown the descriptor
	unread             int  // what had been read at a Close that left something, or -1
	readAll            int  // what had been read when Close began, or -1

	// The reader's and the writer's.
	reading       bool
	writing       bool
	alone         bool         // no reader since the write began
	uses          int          // Reads, Writes and Forwards that have begun, from it or to it
	feeds         int          // Forwards to it under way
	calls         atomic.Int64 // that have begun, but for Forwards to it
	read, written int
	resets        int // told to a Read, Write or Close
	told          bool
	kept          [][]byte // what Reads were given, poisoned since
	writes        [][2]int // offsets of what each write has written
}

func (u *simConn) String() string {
	if u == nil {
		return "nobody"
	}
	return fmt.Sprintf("socket %d", u.s.id)
}

// use has users do things to a conn.
func (r *simRun) use(rnd *rand.Rand, c *Conn, s *simSock) {
	u := &simConn{r: r, c: c, s: s, unread: -1, readAll: -1}
	r.k.mu.Lock()
	s.conn, s.user = c, u
	r.k.mu.Unlock()
	r.mu.Lock()
	r.conns = append(r.conns, u)
	r.mu.Unlock()
	r.start("peer", u.peer)
	r.start("reader", u.reader)
	meddlers := rnd.IntN(3)
	if r.plan.tunnel && rnd.IntN(4) > 0 {
		meddlers /= 2
	} else {
		r.start("writer", u.writer)
	}
	for range meddlers {
		r.start("meddler", u.meddle)
	}
}

// foretell notes whether a Close that begins now has to reset.
func (u *simConn) foretell() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closeBegan.is() {
		return
	}
	u.closeBegan = u.r.moment()
	u.r.k.mu.Lock()
	defer u.r.k.mu.Unlock()
	if !u.reading {
		u.readAll = u.read
	}
	if u.s.tcp && !u.reading && u.s.arrived > u.read && !u.s.rst {
		u.unread = u.read
		u.r.hit("Close with unread bytes")
	}
}

func (u *simConn) close() {
	u.foretell()
	floor := u.raiseFloor()
	op := u.r.begin("close", u, nil)
	err := u.c.Close()
	u.r.end(op, 0, err)
	if err != net.ErrClosed {
		u.checkSent(op, floor, "Close left a send stuck")
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.closed.is() {
		u.closed = op.to
	}
	if err == net.ErrClosed {
		return
	}
	if u.closes++; u.closes > 1 {
		u.r.fail("%v was closed twice", u)
	}
	switch {
	case err == nil:
	case isReset(err):
		u.resets++
		u.r.hit("Close told a reset")
	case errors.Is(err, unix.EIO) && u.hasLost():
		u.r.hit("Close told what the ring lost")
	default:
		u.r.fail("Close of %v: %v", u, err)
	}
}

func (u *simConn) mayBeClosed() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.closeBegan.is() || u.r.engineClosing()
}

// wasClosed reports whether a Close had returned before op.
func (u *simConn) wasClosed(op *simOp) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.closed.before(op.from)
}

func (u *simConn) isBroken() bool {
	u.r.k.mu.Lock()
	defer u.r.k.mu.Unlock()
	return u.s.rst || u.s.sendErr || u.s.ringLost
}

// hasLost reports whether something to u may have been lost with the ring.
func (u *simConn) hasLost() bool {
	u.r.k.mu.Lock()
	defer u.r.k.mu.Unlock()
	return u.s.ringLost
}

// judge checks what reads and writes have in common. It reports whether err
// is explained.
func (u *simConn) judge(op *simOp, h *simDeadlines, what string, err error) bool {
	may, must := h.during(op)
	switch {
	case err == net.ErrClosed:
		if !u.mayBeClosed() {
			u.r.fail("%s of %v: %v", op.name, u, err)
		}
		u.mu.Lock()
		if op.from.before(u.closeBegan) {
			u.r.hit("parked " + what + " met Close")
		}
		u.mu.Unlock()
		return true
	case u.wasClosed(op):
		u.r.fail("%s after Close of %v: %v", op.name, u, err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		if u.r.hit(op.name + " deadline"); !may {
			u.r.fail("%s of %v: no deadline had passed", op.name, u)
		}
		if u.r.hasDied(u.c) {
			u.r.hit("deadline without a ring")
		}
		return true
	case must:
		u.r.fail("%s of %v after its deadline: %v", op.name, u, err)
	case errors.Is(err, unix.EIO):
		if u.r.hit(op.name + " told what the ring lost"); !u.hasLost() {
			u.r.fail("%s of %v: %v", op.name, u, err)
		}
		return true
	}
	return err == nil
}

// isReset reports whether err is one that the kernel tells once.
func isReset(err error) bool {
	return errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EHOSTUNREACH)
}

// judgeRead checks the error of a read.
func (u *simConn) judgeRead(op *simOp, err error) {
	if u.judge(op, &u.rd, "Read", err) {
		return
	}
	u.mu.Lock()
	if isReset(err) {
		u.resets++
		u.told = errors.Is(err, unix.ECONNRESET)
	}
	shut, writing, resets := u.shutRd, u.writing, u.resets
	u.mu.Unlock()
	u.r.k.mu.Lock()
	defer u.r.k.mu.Unlock()
	switch {
	case err == io.EOF:
		if !u.s.fin && !u.s.rst && !shut {
			u.r.fail("%s of %v: EOF, but the peer has not finished", op.name, u)
		}
		if u.read < u.s.arrived && !shut {
			u.r.fail("%s of %v: EOF after %d bytes of %d", op.name, u, u.read, u.s.arrived)
		}
		if u.s.readResets > 0 && !writing && resets == 0 {
			u.r.fail("%s of %v: EOF before the reset", op.name, u)
		}
	case isReset(err):
		u.r.hit("read reset")
		if resets > u.s.resets {
			u.r.fail("%s of %v: a reset that the kernel did not report", op.name, u)
		}
		if u.read < u.s.arrived && !u.s.sendReset.is() && !u.s.passing { // a batch's is for who comes next
			u.r.fail("%s of %v: reset after %d bytes of %d", op.name, u, u.read, u.s.arrived)
		}
	default:
		u.r.fail("%s of %v: %v", op.name, u, err)
	}
}

// got checks bytes that a reader was given.
func (u *simConn) got(op *simOp, p []byte) {
	if i := u.s.in().wrong(p, u.read); i >= 0 {
		u.r.fail("%s of %v: wrong byte %#x at %d", op.name, u, p[i], u.read+i)
	}
	u.mu.Lock()
	u.read += len(p)
	u.mu.Unlock()
}

// wrote checks the result of a write, whose n bytes are what the peer gets.
func (u *simConn) wrote(op *simOp, n int, err error) {
	u.mu.Lock()
	u.writes = append(u.writes, [2]int{u.written, u.written + n})
	u.written += n
	u.mu.Unlock()
	ok := u.judge(op, &u.wd, "Write", err)
	lost, closing := u.hasLost(), u.mayBeClosed()
	u.mu.Lock()
	u.writing = false
	if isReset(err) {
		u.resets++
		u.told = u.told || op.name == "write" && errors.Is(err, unix.ECONNRESET)
	}
	shut, resets, alone := u.shutWr, u.resets, u.alone
	u.mu.Unlock()
	op.shared = op.shared && err == nil // else earlier bytes may be stuck
	u.checkAccepted(op)
	u.r.k.mu.Lock()
	defer u.r.k.mu.Unlock()
	if resets > u.s.resets {
		u.r.fail("%s of %v: a reset that the kernel did not report", op.name, u)
	}
	if errors.Is(err, unix.EPIPE) && op.name == "write" && u.s.wasErr && resets == 0 && alone && !shut && !lost && !closing {
		u.r.fail("%s of %v: %v, but nobody was told the reset", op.name, u, err)
	}
	reset := errors.Is(err, unix.EPIPE) || isReset(err)
	if !ok && !(reset && (u.s.rst || shut || lost || u.s.passing)) {
		u.r.fail("%s of %v: %v", op.name, u, err)
	}
}

// whyRead is why a reader should not be asleep while everything rests.
func (u *simConn) whyRead() string {
	switch {
	case u.mayBeClosed():
		return "the conn is closed"
	case u.rd.passed(u.r):
		return "its deadline has passed"
	case u.s.readable():
		return "the socket is readable"
	}
	return ""
}

// whyWrite is whyRead of a writer.
func (u *simConn) whyWrite() string {
	switch {
	case u.mayBeClosed():
		return "the conn is closed"
	case u.wd.passed(u.r):
		return "its deadline has passed"
	case u.s.writable():
		return "the socket is writable"
	}
	return ""
}

// checkEnd checks what only the end shows.
func (u *simConn) checkEnd() {
	u.checkTold()
	u.checkTorn()
	for _, p := range u.kept {
		if !isPoisoned(p) {
			u.r.fail("a slice was written to after its Read of %v had returned", u)
		}
	}
	if u.closes == 0 && u.closed.before(u.r.closing) {
		u.r.fail("no Close of %v returned nil", u)
	}
	s := u.s
	switch {
	case u.s.ringLost || u.linger:
	case u.unread == u.read && (!s.sentRST || s.sentFIN && !u.shutWr):
		u.r.fail("%v had unread bytes at Close: RST %v, FIN %v", u, s.sentRST, s.sentFIN)
	case s.sentRST && u.readAll == s.arrived && s.wrote >= u.written:
		u.r.fail("%v was reset although all was read", u)
	}
}
