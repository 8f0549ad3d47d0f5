//go:build linux

package engine

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

func (u *simConn) peer(rnd *rand.Rand) {
	n := 5 + rnd.IntN(30)
	if u.r.plan.tunnel {
		n *= 3
	}
	for range n {
		u.r.pause(rnd)
		u.r.k.peerDoes(u.s)
	}
}

func (u *simConn) reader(rnd *rand.Rand) {
	for left := 3 + rnd.IntN(25); left > 0; left-- {
		u.r.pause(rnd)
		var err error
		switch p := u.choose(rnd); {
		case rnd.IntN(100) < u.r.plan.forwards:
			err = u.forward(rnd)
		case p < 75:
			err = u.readOnce(rnd)
		case p < 85:
			u.setDeadline(u.r.newDeadline(rnd, false), true, rnd.IntN(2) == 0)
		case p < 91:
			err = u.writeTo(rnd)
		case p < 95:
			u.setReading(true)
			u.dup(rnd)
			u.setReading(false)
		default:
			err = u.rawRead(rnd)
		}
		switch {
		case err == net.ErrClosed:
			left = min(left, 3)
		case err == os.ErrDeadlineExceeded && rnd.IntN(3) > 0:
			u.setDeadline(u.r.newDeadline(rnd, rnd.IntN(2) == 0), true, false)
		}
	}
}

func (u *simConn) writer(rnd *rand.Rand) {
	for left := 3 + rnd.IntN(15); left > 0; left-- {
		u.r.pause(rnd)
		var err error
		switch p := u.choose(rnd); {
		case p < 50:
			err = u.writeOnce(rnd)
		case p < 75:
			for n := rnd.IntN(15); n >= 0 && err == nil; n-- {
				err = u.writeOnce(rnd)
			}
		case p < 83:
			err = u.sendFile(rnd)
		case p < 92:
			u.setDeadline(u.r.newDeadline(rnd, false), rnd.IntN(2) == 0, true)
		default:
			err = u.rawWrite()
		}
		switch {
		case err == net.ErrClosed:
			left = min(left, 3)
		case err == os.ErrDeadlineExceeded && rnd.IntN(3) > 0:
			u.setDeadline(u.r.newDeadline(rnd, rnd.IntN(2) == 0), false, true)
		}
	}
}

// choose picks what to do next, below 100.
func (u *simConn) choose(rnd *rand.Rand) int {
	if u.r.plan.chatty {
		return rnd.IntN(80)
	}
	return rnd.IntN(100)
}

func (u *simConn) meddle(rnd *rand.Rand) {
	for range 1 + rnd.IntN(8) {
		u.r.pause(rnd)
		u.r.pause(rnd)
		if rnd.IntN(4) == 0 && u.stuck().flight != nil {
			u.close()
			return
		}
		p := rnd.IntN(100)
		if u.r.plan.chatty {
			p /= 2 // none of what would share the socket or close it
		}
		switch {
		case u.r.plan.forwards > 0 && rnd.IntN(4) == 0:
			u.contend()
		case p < 40:
			u.setDeadline(u.r.newDeadline(rnd, false), rnd.IntN(3) > 0, rnd.IntN(3) > 0)
		case p < 50:
			u.shutdown(unix.SHUT_WR)
		case p < 54:
			u.shutdown(unix.SHUT_RD)
		case p < 60:
			u.setLinger()
		case p < 65:
			u.rawControl()
		case p < 70:
			u.dup(rnd)
		case p < 85:
			u.close()
		default:
			u.c.e.Stats()
		}
	}
}

func (u *simConn) setDeadline(t time.Time, read, write bool) {
	op := u.r.begin("set deadline", u, nil)
	ri, wi := 0, 0
	if read {
		ri = u.rd.begin(op.from, t)
	}
	if write {
		wi = u.wd.begin(op.from, t)
	}
	err := u.c.SetDeadlines(t, read, write)
	u.r.add("socket %d: deadline %v, read %v write %v", u.s.id, t.Sub(u.r.base), read, write)
	u.r.end(op, 0, err)
	if read {
		u.rd.end(ri, op.to, err)
	}
	if write {
		u.wd.end(wi, op.to, err)
	}
	switch {
	case err == net.ErrClosed && u.mayBeClosed():
	case err != nil || u.wasClosed(op):
		u.r.fail("SetDeadline of %v: %v", u, err)
	}
}

func (u *simConn) shutdown(how int) {
	u.mu.Lock()
	u.shutRd = u.shutRd || how == unix.SHUT_RD
	u.shutWr = u.shutWr || how == unix.SHUT_WR
	u.mu.Unlock()
	if how == unix.SHUT_WR {
		u.raiseFloor()
	}
	op := u.r.begin("shutdown", u, nil)
	err := u.c.Shutdown(how)
	u.r.end(op, how, err)
	if how == unix.SHUT_WR && err == nil {
		u.mu.Lock()
		u.finAsked = true
		u.mu.Unlock()
		u.r.k.mu.Lock()
		if !u.s.shutWr {
			u.r.hit("FIN put off")
		}
		u.r.k.mu.Unlock()
	}
	switch {
	case err == net.ErrClosed && u.mayBeClosed():
	case errors.Is(err, unix.ENOTCONN) && u.isBroken():
	case err != nil || u.wasClosed(op):
		u.r.fail("Shutdown of %v: %v", u, err)
	}
}

// setLinger is SetLinger, which would make system calls of its own.
func (u *simConn) setLinger() {
	u.mu.Lock()
	u.linger = true
	u.mu.Unlock()
	_ = u.c.Control(func(fd uintptr) {
		u.r.k.mu.Lock()
		u.s.lingers = true
		u.r.k.mu.Unlock()
	})
}

func (u *simConn) setReading(is bool) {
	u.mu.Lock()
	u.reading = is
	u.alone = false
	u.uses++
	u.mu.Unlock()
}

func (u *simConn) setWriting() {
	u.mu.Lock()
	u.writing = true
	u.alone = !u.reading && u.feeds == 0
	u.uses++
	u.mu.Unlock()
}

func (u *simConn) readOnce(rnd *rand.Rand) error {
	p := make([]byte, 1+rnd.IntN(24))
	if rnd.IntN(2) == 0 {
		p = make([]byte, 1+rnd.IntN(4*u.r.plan.piece))
	}
	u.setReading(true)
	op := u.r.begin("read", u, u.whyRead)
	n, err := u.c.Read(p)
	u.r.end(op, n, err)
	if n < 0 || n > len(p) || n > 0 == (err != nil) {
		u.r.fail("read of %v: %d, %v", u, n, err)
	}
	u.got(op, p[:n])
	u.judgeRead(op, err)
	u.setReading(false)
	poison(p)
	u.kept = append(u.kept, p)
	return err
}

// simReader is a Conn that notes its last error, for a copy may end by its writer's, too.
type simReader struct {
	c   *Conn
	err error
}

func (s *simReader) Read(p []byte) (n int, err error) {
	n, s.err = s.c.Read(p)
	return n, s.err
}

// simSink is the writer of a copy.
type simSink struct {
	u    *simConn
	op   *simOp
	rnd  *rand.Rand
	left int // then it fails
	n    int64
}

var errSink = errors.New("sink full")

func (w *simSink) Write(p []byte) (int, error) {
	w.u.r.pause(w.rnd) // p must not change meanwhile
	w.u.got(w.op, p)
	if w.left--; w.left < 0 {
		return 0, errSink
	}
	w.n += int64(len(p))
	return len(p), nil
}

func (u *simConn) writeTo(rnd *rand.Rand) error {
	u.setReading(true)
	defer u.setReading(false)
	op := u.r.begin("read", u, u.whyRead)
	w := &simSink{u: u, op: op, rnd: rnd, left: rnd.IntN(6)}
	src := &simReader{c: u.c}
	n, err := io.Copy(w, src)
	u.r.end(op, int(n), err)
	if n != w.n {
		u.r.fail("copy from %v: %d, but %d were written", u, n, w.n)
	}
	switch err {
	case nil:
		u.judgeRead(op, io.EOF)
	case src.err:
		u.judgeRead(op, err)
		return err
	case errSink:
	default:
		u.r.fail("copy from %v: %v", u, err)
	}
	return nil
}

// rawRead waits for bytes without reading them.
func (u *simConn) rawRead(rnd *rand.Rand) error {
	u.setReading(true)
	defer u.setReading(false)
	op := u.r.begin("raw read", u, u.whyRead)
	tries := 0
	err := u.c.RawRead(func(fd uintptr) bool {
		k := u.r.k
		k.mu.Lock()
		before, calls := u.s.taken, rnd.IntN(4)
		ok := u.s.readable() || tries == calls
		tries++
		k.mu.Unlock()
		u.r.pause(rnd)
		k.mu.Lock()
		defer k.mu.Unlock()
		if u.s.taken != before {
			k.fail("RawRead of %v: bytes were taken meanwhile", u)
		}
		return ok
	})
	u.r.end(op, tries, err)
	if !u.judge(op, &u.rd, "RawRead", err) {
		u.r.fail("RawRead of %v: %v", u, err)
	}
	return err
}

func (u *simConn) writeOnce(rnd *rand.Rand) error {
	p := make([]byte, 1+rnd.IntN(24))
	switch n := u.r.plan.sndBuf; rnd.IntN(16) {
	case 0, 1, 2, 3:
		p = make([]byte, 1+rnd.IntN(2*min(n, 600)))
	case 4, 5, 6, 7:
		p = make([]byte, 1+rnd.IntN(2*min(n, batchWrite/2)))
	case 8:
		p = make([]byte, 1+rnd.IntN(2*n))
	}
	u.s.out().fill(p, u.written)
	u.enterGate()
	defer u.leaveGate()
	u.setWriting()
	op := u.r.begin("write", u, u.whyWrite)
	sought := u.seek(&u.c.wmu)
	before, told := u.stuck(), u.toldReset()
	if rnd.IntN(8) > 0 {
		u.c.pace.proven.Store(0) // as if the conn had read on soon, and so had all
		u.c.e.late.score.Store(0)
	}
	n, err := u.write(rnd, p)
	sought()
	u.checkStuck(before)
	u.r.end(op, n, err)
	if told && err == nil {
		u.r.fail("write of %v succeeds after the reset", u)
	}
	if n < 0 || n > len(p) || n < len(p) == (err == nil) {
		u.r.fail("write of %v: %d of %d, %v", u, n, len(p), err)
	}
	if n > 0 && n < len(p) {
		u.r.hit("partial write")
	}
	u.wrote(op, n, err)
	poison(p)
	return err
}

// write is Write, or WriteBuffers of what p is cut into.
func (u *simConn) write(rnd *rand.Rand, p []byte) (int, error) {
	if rnd.IntN(4) > 0 || len(p) == 0 {
		return u.c.Write(p)
	}
	i := rnd.IntN(len(p))
	v := [][]byte{p[:i], nil, p[i:]}
	n, err := u.c.WriteBuffers(&v)
	if left := slices.Concat(v...); string(left) != string(p[n:]) {
		u.r.fail("WriteBuffers of %v: %d, and %d of %d are left", u, n, len(left), len(p))
	}
	u.r.hit("buffers")
	return int(n), err
}

func (u *simConn) rawWrite() error {
	u.enterGate()
	defer u.leaveGate()
	u.setWriting()
	op := u.r.begin("raw write", u, u.whyWrite)
	defer u.seek(&u.c.wmu)()
	n := 0
	var werr error
	err := u.c.RawWrite(func(fd uintptr) bool {
		u.checkRaw()
		p := make([]byte, 10)
		u.s.out().fill(p, u.written)
		for {
			n, werr = u.r.k.Write(int(fd), p)
			if werr != unix.EINTR {
				return werr != unix.EAGAIN
			}
			runtime.Gosched()
		}
	})
	u.r.end(op, max(n, 0), err)
	if err == nil && werr != nil {
		n, err = 0, os.NewSyscallError("write", werr)
	}
	u.wrote(op, max(n, 0), err)
	return err
}
