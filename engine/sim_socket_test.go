//go:build linux

package engine

import (
	"time"

	"golang.org/x/sys/unix"
)

// simSock is a socket of a simKernel, whose mu guards it, and its peer.
//
// Each stream is a sequence that only its socket has, so that offsets do for
// queues: a byte that is lost, repeated, or another's is not the next one.
type simSock struct {
	id   int
	fd   int
	tcp  bool
	conn *Conn // who may use it
	user *simConn

	listening bool
	backlog   []*simSock
	hangs     bool // while connecting, until that is cancelled
	accepted  bool // by the ring or accept4
	returned  bool // by Accept

	// From the peer.
	arrived, taken int // offsets in its stream
	fin, rst       bool
	soErr          unix.Errno
	wasErr         bool
	resets         int // how often soErr was told,
	readResets     int // and of these to the read side

	// To the peer.
	room, wrote int

	shutRd, shutWr bool
	lingers        bool // by the user: a close may block
	linger0        bool
	closed         bool
	sentFIN        bool
	sentRST        bool
}

// simByte is the byte at an offset of a stream.
func simByte(id, off int) byte {
	x := uint32(off)*2654435761 + uint32(id)*40503
	return byte(x >> 13)
}

// Streams to the peer have numbers of their own.
func (s *simSock) in(off int) byte  { return simByte(s.id, off) }
func (s *simSock) out(off int) byte { return simByte(s.id+1000, off) }

func (s *simSock) unread() int    { return s.arrived - s.taken }
func (s *simSock) ended() bool    { return s.fin || s.rst || s.shutRd }
func (s *simSock) readable() bool { return s.unread() > 0 || s.ended() }
func (s *simSock) writable() bool { return s.room > 0 || s.rst || s.shutWr }

func (s *simSock) take(p []byte) {
	for i := range p {
		p[i] = s.in(s.taken + i)
	}
	s.taken += len(p)
}

func (s *simSock) takeErr(read bool) unix.Errno {
	err := s.soErr
	s.soErr = 0
	s.resets++
	if read {
		s.readResets++
	}
	return err
}

// socket makes one, with its descriptor. Called with mu held.
func (k *simKernel) socket(tcp bool) *simSock {
	s := &simSock{id: len(k.socks) + 1, tcp: tcp, room: k.plan.sndBuf, fd: -1}
	k.socks = append(k.socks, s)
	return s
}

// install gives s a descriptor, the lowest or a new one.
func (k *simKernel) install(s *simSock) int {
	if k.plan.reuse {
		for k.nextFD = simFirstFD; k.files[k.nextFD] != nil; k.nextFD++ {
		}
	}
	s.fd = k.nextFD
	k.files[s.fd] = s
	k.nextFD++
	k.add("socket %d is fd %d", s.id, s.fd)
	return s.fd
}

// file returns an open socket; what is wrong is the test's failure.
func (k *simKernel) file(fd int, call string) *simSock {
	s := k.files[fd]
	if s == nil {
		k.fail("%s on fd %d, which is not open", call, fd)
		s = &simSock{rst: true} // something to go on with
	}
	return s
}

// flies reports whether a request of one of the kinds is in flight on s, or
// of any if none is given.
func (k *simKernel) flies(s *simSock, kinds ...kind) bool {
	for _, r := range k.reqs {
		if r.sock != s || k.dead {
			continue
		}
		if len(kinds) == 0 {
			return true
		}
		for _, want := range kinds {
			if r.kind == want {
				return true
			}
		}
	}
	return false
}

func (k *simKernel) Read(fd int, p []byte) (int, error) {
	k.nap()
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.file(fd, "read")
	if k.flies(s, kindRecv) {
		k.fail("read from socket %d beside an armed receive", s.id)
	}
	switch {
	case k.chaos(10):
		return -1, unix.EINTR
	case s.unread() > 0:
		n := k.short(min(len(p), s.unread()))
		s.take(p[:n])
		k.add("read socket %d: %d", s.id, n)
		return n, nil
	case s.soErr != 0:
		k.add("read socket %d: reset", s.id)
		return -1, s.takeErr(true)
	case s.ended():
		k.add("read socket %d: end", s.id)
		return 0, nil
	}
	return -1, unix.EAGAIN
}

func (k *simKernel) Write(fd int, p []byte) (int, error) {
	k.nap()
	n, err := k.write(fd, p)
	if err == unix.EPIPE {
		k.mu.Lock()
		u := k.file(fd, "write").user
		k.mu.Unlock()
		u.letRead()
	}
	return n, err
}

func (k *simKernel) write(fd int, p []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.file(fd, "write")
	if k.flies(s, kindSend) {
		k.fail("write to socket %d beside a send", s.id)
	}
	if k.chaos(10) {
		return -1, unix.EINTR
	}
	return k.put(s, p)
}

// put moves what fits of p to the peer.
func (k *simKernel) put(s *simSock, p []byte) (int, error) {
	switch {
	case s.rst || s.shutWr:
		if s.soErr != 0 {
			return -1, s.takeErr(false)
		}
		return -1, unix.EPIPE
	case s.room == 0:
		return -1, unix.EAGAIN
	}
	n := k.short(min(len(p), s.room))
	for i, b := range p[:n] {
		if b != s.out(s.wrote+i) {
			k.fail("socket %d was given a wrong byte at %d", s.id, s.wrote+i)
			break
		}
	}
	k.add("socket %d sends %d of %d", s.id, n, len(p))
	s.wrote += n
	s.room -= n
	return n, nil
}

func (k *simKernel) Accept(fd int) (int, unix.Sockaddr, error) {
	k.yield()
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.file(fd, "accept4")
	if k.flies(s) {
		k.fail("accept4 beside an armed accept")
	}
	if k.chaos(10) {
		return -1, nil, unix.EINTR
	}
	n, err := k.accept(s)
	if err != nil {
		return -1, nil, err
	}
	return n, k.files[n].addr(), nil
}

func (s *simSock) addr() unix.Sockaddr { return &unix.SockaddrInet4{Port: s.id} }

// accept takes a conn from the backlog.
func (k *simKernel) accept(l *simSock) (int, error) {
	switch {
	case len(l.backlog) == 0:
		return -1, unix.EAGAIN
	case k.chaos(10):
		k.hit("accept without descriptors")
		return -1, unix.EMFILE
	case k.chaos(5):
		return -1, unix.ECONNABORTED
	}
	s := l.backlog[0]
	l.backlog = l.backlog[1:]
	s.accepted = true
	return k.install(s), nil
}

func (k *simKernel) Peer(fd int) (unix.Sockaddr, error) {
	k.yield()
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.file(fd, "getpeername")
	if s.rst {
		return nil, unix.ENOTCONN
	}
	return s.addr(), nil
}

func (k *simKernel) Unread(fd int) (int, error) {
	k.napOn(fd)
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.file(fd, "FIONREAD").unread(), nil
}

func (k *simKernel) Shutdown(fd, how int) error {
	k.nap()
	k.mu.Lock()
	s := k.file(fd, "shutdown")
	k.add("shutdown socket %d: %d", s.id, how)
	if s.rst {
		k.mu.Unlock()
		return unix.ENOTCONN
	}
	if how != unix.SHUT_WR {
		s.shutRd = true
	}
	if how != unix.SHUT_RD {
		s.shutWr, s.sentFIN = true, true
	}
	k.mu.Unlock()
	k.ring()
	return nil
}

func (k *simKernel) ResetOnClose(fd int) error {
	k.napOn(fd)
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.file(fd, "SO_LINGER")
	k.add("reset socket %d on close", s.id)
	s.linger0 = true
	return nil
}

func (k *simKernel) CloseFD(fd int) error {
	k.napOn(fd)
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.file(fd, "close")
	if k.flies(s) {
		k.fail("close of socket %d with a request in flight", s.id)
	}
	k.add("close socket %d", s.id)
	for s.lingers { // it may block, as long as it likes
		s.lingers = false
		k.mu.Unlock()
		k.clock.sleep(time.Millisecond)
		k.mu.Lock()
	}
	if k.files[fd] == s {
		delete(k.files, fd)
	}
	s.closed = true
	if s.linger0 || s.tcp && s.unread() > 0 {
		s.sentRST = true
	} else {
		s.sentFIN = true
	}
	for _, b := range s.backlog {
		b.closed = true
	}
	return nil
}

// peerDoes has the peer of s do something of its choice.
func (k *simKernel) peerDoes(s *simSock) {
	const rcvBuf = 4096
	k.mu.Lock()
	defer k.mu.Unlock()
	if s.closed || s.rst {
		return
	}
	switch p := k.rnd.IntN(100); {
	case p < 55 && !s.fin:
		n := 1 + k.rnd.IntN(16)
		if k.percent(50) {
			n = 1 + k.rnd.IntN(6*k.plan.bufBytes)
		}
		s.arrived += min(n, rcvBuf-s.unread())
		k.add("socket %d: arrived %d", s.id, s.arrived)
	case p < 85:
		if s.wrote > 0 {
			s.room = min(k.plan.sndBuf, s.room+1+k.rnd.IntN(k.plan.sndBuf))
			k.add("socket %d: room %d", s.id, s.room)
		}
	case p < 92:
		s.fin = true
		k.add("socket %d: fin", s.id)
	case p < 96:
		k.add("socket %d: rst", s.id)
		if s.rst = true; !s.fin {
			s.soErr, s.wasErr = unix.ECONNRESET, true
		}
	}
	k.ring()
}
