//go:build linux

package engine

import (
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// simSock is a socket of a simKernel, whose mu guards it, and its peer.
//
// Each stream is a sequence that only its socket has, so that offsets do for
// queues: a byte that is lost, repeated, or another's is not the next one.
type simSock struct {
	id   int
	fds  int // that are open
	tcp  bool
	conn *Conn // who may use it
	user *simConn

	listening bool
	backlog   []*simSock
	lastDone  int64 // engine time of the last completion of a poll
	accepted  bool
	returned  bool // by Accept

	// From the peer.
	arrived, taken int  // offsets in its stream
	wakes          int  // times that polls were told of something
	urgent         bool // a read may stop short of what is there
	fin, rst       bool
	soErr          unix.Errno
	wasErr         bool
	passing        bool // an error that passes was met
	resets         int  // how often soErr was told,
	readResets     int  // and of these to the read side

	// To the peer.
	room, wrote   int
	partial       bool // the last send was short: the next is no new one
	full          bool // somebody found it so
	told, toldAt  int  // what SendRoom said last, and what had been written then
	floor         int  // what must have been sent before a FIN
	sendErr       bool // a batched send failed
	sendCancelled bool // a batched send was cancelled
	ringLost      bool // something to it was on its way when the ring died
	gap           bool // forwarded bytes are missing: nothing may come after them
	sendReset     simMoment

	// Forwarding.
	forward            *simForward // that takes from it
	forwarded          bool        // one ever did
	passed, toldPassed int         // bytes that were forwarded to it, and how many when SendRoom said told
	pollRefused        bool
	gate               chan struct{} // closed when who has passed it is done; nil: open
	gateWaits          []*simSock    // whose bytes go on then
	cuts               []int         // offsets of the user's own bytes that forwarded ones came before

	// Callers in read(2) and write(2), and pollers.
	readers, writers int
	sending          bool // a SendFile is under way
	pollers          []*simPoller

	shutRd, shutWr bool
	shared         bool // others were shown its descriptor
	lingers        bool // by the user: a close may block
	linger0        bool
	closed         bool
	sentFIN        bool
	sentRST        bool
}

func (s *simSock) unread() int    { return s.arrived - s.taken }
func (s *simSock) ended() bool    { return s.fin || s.rst || s.shutRd }
func (s *simSock) readable() bool { return s.unread() > 0 || s.ended() || s.soErr != 0 }
func (s *simSock) writable() bool { return s.room > 0 || s.rst || s.shutWr || s.soErr != 0 }

func (s *simSock) take(p []byte) {
	s.in().fill(p, s.taken)
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
	s := &simSock{id: len(k.socks) + 1, tcp: tcp, room: k.plan.sndBuf}
	k.socks = append(k.socks, s)
	return s
}

// install gives s a descriptor, the lowest or a new one.
func (k *simKernel) install(s *simSock) int {
	if k.plan.reuse {
		for k.nextFD = simFirstFD; k.files[k.nextFD] != nil; k.nextFD++ {
		}
	}
	fd := k.nextFD
	k.files[fd] = s
	s.fds++
	k.nextFD++
	k.add("socket %d is fd %d", s.id, fd)
	return fd
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
	for _, ring := range k.rings {
		for _, r := range ring.reqs {
			if r.sock == s && !ring.dead && (len(kinds) == 0 || slices.Contains(kinds, r.kind)) {
				return true
			}
		}
	}
	return false
}

// Read naps before and after: what arrives in between must not be missed.
func (k *simKernel) Read(fd int, p []byte) (int, error) {
	s := k.enter(fd, "read", func(s *simSock) { s.readers++ })
	k.nap()
	n, err := k.read(s, p)
	if err == unix.EAGAIN && k.late(s) {
		k.clock.sleep(time.Millisecond) // the engine hears of it first, most likely
	}
	if err == unix.EAGAIN {
		k.mayLook(s)
	}
	k.nap()
	return n, err
}

// late has bytes arrive for a reader that has just been told that there are
// none, and reports whether they did.
func (k *simKernel) late(s *simSock) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if s.ended() || !k.flies(s, kindPoll) || !k.chaos(50) {
		return false
	}
	k.hit("late for the reader")
	k.arrive(s, 1)
	return true
}

func (k *simKernel) read(s *simSock, p []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s.readers--
	switch {
	case k.chaos(10):
		return -1, unix.EINTR
	case s.unread() > 0:
		n := min(len(p), s.unread())
		if s.urgent {
			n = k.short(n)
		}
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

// arrive is n bytes from the peer. Called with mu held.
func (k *simKernel) arrive(s *simSock, n int) {
	s.arrived += n
	k.add("socket %d: arrived %d", s.id, s.arrived)
	k.edge(s, true, false)
	k.ring()
}

// enter begins a system call, before it naps.
func (k *simKernel) enter(fd int, call string, note func(*simSock)) *simSock {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.file(fd, call)
	note(s)
	return s
}

func (k *simKernel) Write(fd int, p []byte) (int, error) { return k.writeFrom(fd, p, nil) }

// WriteBuffers may end within any of them.
func (k *simKernel) WriteBuffers(fd int, v [][]byte) (int, error) {
	p := slices.Concat(v...)
	if len(p) == 0 {
		return 0, nil
	}
	return k.Write(fd, p)
}

// writeFrom is Write of bytes that f takes from somewhere else, if it is not nil.
func (k *simKernel) writeFrom(fd int, p []byte, f *simForward) (int, error) {
	s := k.enter(fd, "write", func(s *simSock) {
		if s.writers++; s.writers > 1 || k.flies(s, kindSend) {
			k.fail("write to socket %d beside a write or send", s.id)
		}
		if f == nil && len(p) > 0 && p[0]&simFromPeer != 0 {
			f = k.left(s)
		}
	})
	k.nap()
	return k.write(fd, s, p, f)
}

func (k *simKernel) write(fd int, s *simSock, p []byte, f *simForward) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s.writers--
	if k.files[fd] != s {
		k.fail("socket %d was closed under a write", s.id)
	}
	if k.flies(s, kindSend) {
		k.fail("write to socket %d beside a send", s.id)
	}
	if k.chaos(10) {
		return -1, unix.EINTR
	}
	if c := s.conn; c != nil && c.state == byHand { // by this very caller
		k.hit("batch by hand")
		n, err := k.putBatch(s, p)
		s.ringLost = s.ringLost || k.ringOf(c).dead && n < len(p) // there is nobody to send the rest
		return n, err
	}
	return k.put(s, p, f)
}

// putBatch is put of what Write has accepted.
func (k *simKernel) putBatch(s *simSock, p []byte) (int, error) {
	if k.plan.room == roomHonest && !s.rst && s.soErr == 0 && !s.shutWr && s.room < len(p) {
		k.fail("socket %d has room for %d, and Write accepted %d", s.id, s.room, len(p))
	}
	if k.chaos(5) && !s.rst {
		k.reset(s)
	} else if k.chaos(2) && !s.rst {
		k.unreachable(s)
	}
	before := s.resets
	n, err := k.put(s, p, nil)
	if err == unix.EPIPE && !s.rst && !s.ringLost {
		k.fail("socket %d: a batch after the FIN", s.id)
	}
	if err != nil && err != unix.EAGAIN {
		s.sendErr = true
	}
	if s.resets > before {
		k.hit("batch reset")
		s.sendReset = s.user.r.moment()
	}
	return n, err
}

// put moves what fits of p to the peer. They are the user's, or what f forwards.
func (k *simKernel) put(s *simSock, p []byte, f *simForward) (int, error) {
	switch {
	case s.soErr != 0:
		return -1, s.takeErr(false)
	case s.rst || s.shutWr:
		return -1, unix.EPIPE
	case s.room == 0:
		s.full = true
		return -1, unix.EAGAIN
	}
	n := k.short(min(len(p), s.room))
	if s.gap {
		k.fail("socket %d sends %d bytes though some before them are missing", s.id, n)
	}
	if f != nil {
		k.pass(f, s, p[:n])
	} else {
		k.putOwn(s, p[:n])
	}
	k.add("socket %d sends %d of %d", s.id, n, len(p))
	s.room -= n
	if k.plan.room == roomHonest && !s.partial {
		s.room = max(0, s.room-k.rnd.IntN(sendOverhead+1))
	}
	s.partial = n < len(p)
	return n, nil
}

func (k *simKernel) putOwn(s *simSock, p []byte) {
	if i := s.out().wrong(p, s.wrote); i >= 0 {
		k.fail("socket %d was given a wrong byte at %d", s.id, s.wrote+i)
	}
	s.wrote += len(p)
}

func (k *simKernel) Accept(fd int) (int, syscall.Sockaddr, error) {
	k.yield()
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.file(fd, "accept4")
	if k.chaos(10) {
		return -1, nil, unix.EINTR
	}
	n, err := k.accept(s)
	if err != nil {
		return -1, nil, err
	}
	k.hit("accept")
	return n, k.files[n].addr(), nil
}

// SendRoom is the truth, or not: some kernels take less than they say. The
// engine takes half of it.
func (k *simKernel) SendRoom(fd int) int {
	k.nap()
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.file(fd, "SO_MEMINFO")
	if k.plan.room == roomLie {
		return 1 << 20
	}
	s.told, s.toldAt, s.toldPassed = s.room, s.user.written, s.passed // by the writer
	return 2 * s.room
}

func (k *simKernel) Dup(fd int) (int, error) {
	k.nap()
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.file(fd, "dup")
	if k.chaos(10) {
		return -1, unix.EMFILE
	}
	return k.install(s), nil
}

func (s *simSock) addr() syscall.Sockaddr { return &syscall.SockaddrInet4{Port: s.id} }

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

func (k *simKernel) Unread(fd int) (int, error) {
	k.napOn(fd)
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.file(fd, "FIONREAD").unread(), nil
}

func (k *simKernel) Getsockname(fd int) (syscall.Sockaddr, error) {
	k.napOn(fd)
	k.mu.Lock()
	defer k.mu.Unlock()
	return &syscall.SockaddrInet4{Port: k.file(fd, "getsockname").id}, nil
}

func (k *simKernel) Shutdown(fd, how int) error {
	k.napOn(fd)
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.file(fd, "shutdown")
	k.add("shutdown socket %d: %d", s.id, how)
	if s.rst {
		return unix.ENOTCONN
	}
	if how != unix.SHUT_WR {
		s.shutRd = true
	}
	if how != unix.SHUT_RD {
		if s.wrote < s.floor && !s.ringLost {
			k.fail("socket %d: FIN after %d bytes of %d", s.id, s.wrote, s.floor)
		}
		s.shutWr, s.sentFIN = true, true
	}
	k.edge(s, s.shutRd, s.shutWr)
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
	if k.polled[fd] != nil {
		k.fail("close of fd %d, which a poller owns", fd)
	}
	k.mu.Unlock()
	return k.closeFile(fd)
}

func (k *simKernel) closeFile(fd int) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.file(fd, "close")
	k.add("close fd %d of socket %d", fd, s.id)
	if s.fds > 1 {
		s.fds--
		delete(k.files, fd)
		return nil
	}
	if k.flies(s) || s.readers+s.writers > 0 {
		k.fail("close of socket %d in the middle of something", s.id)
	}
	for s.lingers { // it may block, as long as it likes
		s.lingers = false
		k.mu.Unlock()
		k.clock.sleep(time.Millisecond)
		k.mu.Lock()
	}
	if k.files[fd] == s {
		delete(k.files, fd)
	}
	s.fds--
	s.closed = true
	if s.wrote < s.floor && !s.linger0 && !s.rst {
		k.fail("socket %d: FIN by close after %d bytes of %d", s.id, s.wrote, s.floor)
	}
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
	rcvBuf := 4096
	if k.plan.bulk {
		rcvBuf = 100_000
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if s.closed || s.rst {
		return
	}
	most := 100
	if k.plan.tunnel && k.percent(90) {
		most = 85
	}
	switch p := k.rnd.IntN(most); {
	case p < 55 && !s.fin:
		n := 1 + k.rnd.IntN(16)
		if k.percent(50) {
			n = 1 + k.rnd.IntN(6*k.plan.piece)
		} else if k.plan.bulk && k.percent(50) {
			n = k.rnd.IntN(rcvBuf)
		}
		s.urgent = s.urgent || k.percent(2)
		k.arrive(s, min(n, rcvBuf-s.unread()))
	case p < 85:
		if s.wrote+s.passed > 0 {
			some := k.plan.sndBuf
			if k.plan.room == roomHonest {
				some /= 10
			}
			s.room = min(k.plan.sndBuf, s.room+1+k.rnd.IntN(some))
			k.add("socket %d: room %d", s.id, s.room)
			k.edge(s, false, s.full) // the kernel tells who was told EAGAIN
			s.full = false
		}
	case p < 92:
		s.fin = true
		k.add("socket %d: fin", s.id)
		k.edge(s, true, false)
	case p < 96:
		k.reset(s)
	case p < 97:
		k.unreachable(s)
	}
	k.ring()
}

// unreachable is an error that passes, as with IP_RECVERR.
func (k *simKernel) unreachable(s *simSock) {
	k.add("socket %d: unreachable", s.id)
	s.soErr, s.passing = unix.EHOSTUNREACH, true
	k.edge(s, true, true)
	k.ring()
}

// reset has the peer reset s. Called with mu held.
func (k *simKernel) reset(s *simSock) {
	k.add("socket %d: rst", s.id)
	if s.rst = true; !s.fin {
		s.soErr, s.wasErr = unix.ECONNRESET, true
	}
	k.edge(s, true, true)
	k.ring()
}
