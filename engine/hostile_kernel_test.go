//go:build linux

package engine

import (
	"reflect"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/engine/ring"
)

// The calls of an engine to a hostile kernel.

func (h *hostile) NextSQE() *ring.SQE {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.panics {
		h.panics = false
		panic("no entry")
	}
	if len(h.sqes) == cap(h.sqes) {
		if len(h.sqes) > 0 {
			return nil
		}
		h.sqes = make([]ring.SQE, 0, 16)
	}
	h.sqes = append(h.sqes, ring.SQE{})
	return &h.sqes[len(h.sqes)-1]
}

func (h *hostile) SQPending() uint32 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return uint32(len(h.sqes))
}

func (h *hostile) CQReady() uint32 {
	h.yield()
	h.mu.Lock()
	defer h.mu.Unlock()
	return uint32(len(h.cq))
}

func (h *hostile) CQOverflowed() bool   { return false }
func (h *hostile) TaskrunPending() bool { return false }
func (h *hostile) Close() error         { return nil }
func (h *hostile) CloseWake()           {}
func (h *hostile) WakeFD() int32        { return simWakeFD }

func (h *hostile) PeekCQEs(dst []ring.CQE) int {
	h.mu.Lock()
	do := h.during
	h.during = nil
	h.mu.Unlock()
	if do != nil {
		do()
		time.Sleep(time.Microsecond) // whose end needs all others to sleep
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	n := copy(dst, h.cq)
	h.cq = slices.Delete(h.cq, 0, n)
	return n
}

func (h *hostile) SubmitAndGet() (int, error) {
	h.yield()
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.submit(), h.fails()
}

// fails ends the ring where the scenario wants that. Called with mu held.
func (h *hostile) fails() error {
	if h.dies == nil {
		return nil
	}
	h.dies()
	h.dies = nil
	return unix.EBADF
}

func (h *hostile) Read(fd int, p []byte) (int, error) {
	n, err := h.simKernel.Read(fd, p)
	h.mu.Lock()
	do := h.found
	if err != nil {
		h.found = nil
	}
	h.mu.Unlock()
	if err != nil && do != nil {
		do()
		time.Sleep(time.Microsecond) // whose end needs all others to sleep
	}
	return n, err
}

func (h *hostile) SubmitAndWait(uint32, time.Duration) (int, error) {
	h.mu.Lock()
	n, err := h.submit(), h.fails()
	ready := len(h.cq) > 0 || err != nil
	h.sleeps = !ready
	h.mu.Unlock()
	if ready {
		return n, err
	}
	<-h.bell
	h.mu.Lock()
	h.sleeps = false
	h.mu.Unlock()
	return n, nil
}

// submit is called with mu held.
func (h *hostile) submit() int {
	n := len(h.sqes)
	for _, s := range h.sqes {
		h.issue(s)
	}
	h.sqes = h.sqes[:0]
	return n
}

func (h *hostile) issue(s ring.SQE) {
	h.add("%v fd %d ud %x len %d", s.Opcode, s.Fd, uint64(s.UserData), s.Len)
	if s.Opcode == ring.OpAsyncCancel {
		h.cancel(s)
		return
	}
	if _, twice := h.flying[s.UserData]; twice {
		h.fail("%v is in flight already: ud %x", s.Opcode, uint64(s.UserData))
	}
	h.flying[s.UserData] = s
	switch kind(s.UserData.Kind()) {
	case kindWake:
		h.tellWake()
	case kindSend, kindRelay:
		h.checkSend(s)
	}
	if kind(s.UserData.Kind()) == kindRelay && !h.hanging { // it does not wait
		h.post(s.UserData, h.relayResult(s.Len), h.flags())
	}
}

func (h *hostile) relayResult(n uint32) int32 {
	if res := h.answer; res != 0 {
		h.answer = 0
		return res
	}
	if h.fair {
		return int32(n)
	}
	return h.result(n)
}

// checkSend looks whose bytes are sent. Engine thread.
func (h *hostile) checkSend(s ring.SQE) {
	n := h.l.slots.find(s.UserData)
	if n == nil {
		h.fail("a send to fd %d, of nobody", s.Fd)
		return
	}
	from, to := n.h.(*Conn), h.connAt(int(s.Fd))
	p := from.flight.bytes()
	if kind(s.UserData.Kind()) == kindRelay {
		p = from.relay.(*relay).part
	}
	switch {
	case len(p) == 0 || uint64(reflect.ValueOf(p).Pointer()) != s.Addr || len(p) != int(s.Len):
		h.fail("a send of %d bytes to fd %d, of other memory than its conn's", s.Len, s.Fd)
	case to == nil || !h.owns(to, p):
		h.fail("a send of %d bytes to fd %d, which are not of its conn", len(p), s.Fd)
	}
}

// bytes is what is left to send of b, which may be nil.
func (b *batch) bytes() []byte {
	if b == nil {
		return nil
	}
	return b.unsent()
}

// connAt returns the conn with a descriptor, or nil.
func (h *hostile) connAt(fd int) *hostileConn {
	i := slices.IndexFunc(h.conns, func(c *hostileConn) bool { return h.files[fd] == c.s })
	if i < 0 {
		return nil
	}
	return h.conns[i]
}

// cancel ends the target, or misses it, for as long as the script lasts.
func (h *hostile) cancel(s ring.SQE) {
	target := ring.UserData(s.Addr)
	_, found := h.flying[target]
	switch miss := h.next()&1 != 0; {
	case !found || miss:
		h.post(s.UserData, -int32(unix.ENOENT), 0)
	default:
		h.post(target, -int32(unix.ECANCELED), 0)
	}
}

// Wake is truthful: who loses wake-ups hangs.
func (h *hostile) Wake() error {
	h.mu.Lock()
	h.wakes++
	h.tellWake()
	h.mu.Unlock()
	h.ringBell()
	return nil
}

func (h *hostile) tellWake() {
	ud := h.l.slots.userData(&h.l.wake, kindWake)
	if _, armed := h.flying[ud]; armed && h.wakes > 0 {
		h.wakes = 0
		h.post(ud, unix.POLLIN, ring.CQEMore)
	}
}

// Open is of a later thread's: the first begins with a ring.
func (h *hostile) Open() error { return nil }

// Write takes what there is room for, and looks whose it is.
func (h *hostile) Write(fd int, p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.file(fd, "write")
	switch c := h.connAt(fd); {
	case c == nil || !h.owns(c, p):
		h.fail("a write of %d bytes to socket %d, which are not of its conn", len(p), s.id)
	case s.rst || s.shutWr:
		return -1, unix.EPIPE
	case s.room == 0:
		return -1, unix.EAGAIN
	}
	n := min(len(p), s.room)
	s.room -= n
	h.sent += n
	return n, nil
}

func (h *hostile) Pipe() (pipe, error) { return nil, unix.EMFILE }
