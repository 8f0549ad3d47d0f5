//go:build linux

package engine

import (
	"errors"
	"math"
	"math/rand/v2"

	"golang.org/x/sys/unix"
)

// simSource is a file that sendfile(2) sends. Its simKernel's mu guards it.
type simSource struct {
	s    *simSock
	from int // the offset of its first byte in the stream of s
	at   int
	size int
	bad  int // where the disk fails; -1: nowhere

	refused bool // the kernel cannot send this file
	waited  bool // for room
}

// simFirstFile is the first number of a file: those of sockets are below.
const simFirstFile = 1 << 20

func (k *simKernel) SendFile(fd, file, n int) (int, error) {
	s := k.enter(fd, "sendfile", func(s *simSock) {
		if s.writers++; s.writers > 1 || k.flies(s, kindSend) {
			k.fail("sendfile to socket %d beside a write or send", s.id)
		}
	})
	k.nap()
	k.mu.Lock()
	defer k.mu.Unlock()
	s.writers--
	f := k.sources[file]
	switch {
	case k.files[fd] != s:
		k.fail("socket %d was closed under a sendfile", s.id)
	case f == nil || f.s != s:
		k.fail("sendfile to socket %d from file %d, which is not open, or for another one", s.id, file)
		return -1, unix.EBADF
	case k.flies(s, kindSend):
		k.fail("sendfile to socket %d beside a send", s.id)
	}
	return k.sendFile(s, f, n)
}

func (k *simKernel) sendFile(s *simSock, f *simSource, n int) (int, error) {
	switch {
	case k.chaos(10):
		return -1, unix.EINTR
	case f.refused:
		return -1, unix.EINVAL
	case f.at == f.size:
		return 0, nil
	case f.at == f.bad:
		return -1, unix.EIO
	}
	end := f.size
	if f.bad > f.at {
		end = f.bad
	}
	p := make([]byte, min(n, end-f.at))
	s.out().fill(p, f.from+f.at)
	n, err := k.put(s, p, nil)
	f.at += max(n, 0)
	if err == unix.EAGAIN {
		f.waited = true
		k.hit("SendFile waits")
	}
	return n, err
}

// source opens a file whose bytes are what u writes next.
func (u *simConn) source(rnd *rand.Rand) (fd int, f *simSource) {
	k := u.r.k
	size := 1 + rnd.IntN(2*min(k.plan.sndBuf, 600))
	if rnd.IntN(8) == 0 {
		size = 1 + rnd.IntN(3*k.plan.sndBuf)
	}
	f = &simSource{s: u.s, from: u.written, size: size, bad: -1, refused: rnd.IntN(10) == 0}
	if rnd.IntN(10) == 0 {
		f.bad = rnd.IntN(size)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for fd = simFirstFile; k.sources[fd] != nil; fd++ {
	}
	k.sources[fd] = f
	return fd, f
}

// setSending notes that a SendFile is under way, or not.
func (u *simConn) setSending(is bool) {
	u.r.k.mu.Lock()
	u.s.sending = is
	u.r.k.mu.Unlock()
}

func (u *simConn) sendFile(rnd *rand.Rand) error {
	k := u.r.k
	fd, f := u.source(rnd)
	remain := int64(math.MaxInt64)
	if rnd.IntN(2) == 0 {
		remain = 1 + rnd.Int64N(2*int64(f.size))
	}
	u.enterGate()
	defer u.leaveGate()
	u.setWriting()
	op := u.r.begin("sendfile", u, u.whyWrite)
	u.setSending(true)
	sought := u.seek(&u.c.wmu)
	if n, _, _ := u.pending(); n > 0 {
		k.hit("SendFile drains")
	}
	k.mu.Unlock()
	n, handled, err := u.c.SendFile(fd, remain)
	sought()
	u.setSending(false)
	u.r.end(op, int(n), err)
	k.mu.Lock()
	delete(k.sources, fd)
	k.mu.Unlock()
	return u.sentFile(op, f, n, remain, handled, err)
}

// sentFile checks what SendFile returned.
func (u *simConn) sentFile(op *simOp, f *simSource, n, remain int64, handled bool, err error) error {
	want := min(int64(f.size), remain)
	atBad := f.bad >= 0 && f.at == f.bad && int64(f.bad) < want
	_, late := u.wd.during(op)
	may, _ := u.wd.during(op)
	switch {
	case n != int64(f.at):
		u.r.fail("SendFile of %v: %d, but %d were sent", u, n, f.at)
	case n > 0 && (late || u.wasClosed(op)):
		u.r.fail("SendFile of %v: %d after its deadline or Close", u, n)
	case !handled && (n != 0 || err != nil):
		u.r.fail("SendFile of %v: %d, %v, and not handled", u, n, err)
	case !handled && !f.refused && !atBad && !may && !u.mayBeClosed():
		u.r.fail("SendFile of %v was left to the caller", u)
	case handled && f.refused && err == nil:
		u.r.fail("SendFile of %v: a file that cannot be sent was", u)
	case handled && err == nil && n != want:
		u.r.fail("SendFile of %v: %d of %d", u, n, want)
	}
	switch {
	case !handled:
		u.r.hit("SendFile left to the caller")
	case err == nil:
		u.r.hit("SendFile sent")
	case n > 0:
		u.r.hit("partial SendFile")
	}
	if !handled || atBad && errors.Is(err, unix.EIO) { // of the file, not of the conn
		u.mu.Lock()
		u.writes = append(u.writes, [2]int{u.written, u.written + int(n)})
		u.written += int(n)
		u.writing = false
		u.mu.Unlock()
		return err
	}
	u.wrote(op, int(n), err)
	return err
}
