//go:build linux

package engine

import (
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/engine/ring"
)

// simKernel plays the kernel: the rings here, the sockets in
// sim_socket_test.go. Everything that a real one decides (when a request goes
// on, how far, in which order, what comes in between) its rand decides. Time
// is that of the bubble it lives in.
//
// What the engine calls with a lock held must not sleep, for in a bubble a
// goroutine that waits for a mutex stops the clock; it yields instead.
type simKernel struct {
	*simLog
	plan  *simPlan
	clock *simClock
	rings []*simRing

	mu   sync.Mutex // guards the rings, too
	rnd  *rand.Rand
	calm bool // no more mischief

	files  map[int]*simSock
	polled map[int]*simPoller // who owns the descriptor
	nextFD int
	socks  []*simSock

	sources map[int]*simSource // of sendfile(2)

	pipes, noPipes int // in use; and how often one was refused

	calls int // since the clock last moved
	moved time.Time
}

// simRing is the kernel of one engine: its ring and its eventfd. The sockets it shares
// with the others.
type simRing struct {
	*simKernel
	id   int
	bell chan struct{} // rung when a request may be able to go on
	loop *loop         // its slots are looked at on its own goroutine only
	dies time.Time     // when the ring fails, if it does
	dead bool          // it has, and what was in flight is frozen
	done bool          // Close was called
	deaf bool          // CloseWake was

	sqes           []ring.SQE
	sqHead, sqTail int
	cq, overflow   []ring.CQE
	reqs           []*simReq
	woken          bool // the eventfd was written to since its poll reported
	written        bool // ever
	looked         int  // how often CQReady was called, and nothing else
}

// simReq is a request in flight.
type simReq struct {
	sqe       ring.SQE
	kind      kind
	sock      *simSock // nil: the eventfd
	flight    *batch   // of a send
	buf       []byte   // and its bytes
	seen      int      // wake-ups of the socket that a poll has looked at
	cancelled bool
	at        time.Time // when it goes on; zero while it cannot
}

// simPanic is what a schedule with a panic in it panics with.
type simPanic struct{}

const (
	simWakeFD  = 5
	simFirstFD = 10

	simNever = time.Duration(math.MaxInt64)
)

func newSimKernel(log *simLog, plan *simPlan) *simKernel {
	return &simKernel{
		simLog: log, plan: plan, clock: newSimClock(),
		rnd:     rand.New(rand.NewPCG(log.seed, 1)),
		files:   map[int]*simSock{},
		polled:  map[int]*simPoller{},
		sources: map[int]*simSource{},
		nextFD:  simFirstFD,
	}
}

// addRing makes a kernel for another engine.
func (k *simKernel) addRing() *simRing {
	r := &simRing{
		simKernel: k, id: len(k.rings),
		bell: make(chan struct{}, 1),
		sqes: make([]ring.SQE, k.plan.sqEntries),
	}
	k.rings = append(k.rings, r)
	return r
}

func (k *simRing) NextSQE() *ring.SQE {
	k.mayPanic(0)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.sqTail-k.sqHead == len(k.sqes) {
		k.hit("submission queue full")
		return nil
	}
	s := &k.sqes[k.sqTail%len(k.sqes)]
	*s = ring.SQE{ // what the slot's last request may have left there
		Opcode: 99, Flags: 0xff, Ioprio: 0xffff, Fd: 99, Off: 99, Addr: 99, Len: 99,
		OpFlags: 99, UserData: 99, BufGroup: 99, FileIndex: 99, Addr3: 99,
	}
	k.sqTail++
	return s
}

func (k *simRing) SQPending() uint32 {
	if !k.loop.wakes.empty() {
		k.hit("wakes left")
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return uint32(k.sqTail - k.sqHead)
}

// CQReady naps: an engine that is awake for a while is one to batch for.
func (k *simRing) CQReady() uint32 {
	k.look()
	k.nap()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.plan.busy && !k.calm && k.percent(80) {
		d := k.plan.upTo(k.rnd, 2*time.Millisecond)
		k.mu.Unlock()
		k.clock.sleep(d)
		k.mu.Lock()
	}
	return uint32(len(k.cq))
}

func (k *simRing) CQOverflowed() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.overflow) > 0
}

func (k *simRing) TaskrunPending() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.due()) > 0
}

func (k *simRing) PeekCQEs(dst []ring.CQE) int {
	k.mayPanic(1)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lookedFor("the thread found something by looking")
	n := copy(dst, k.cq)
	k.cq = slices.Delete(k.cq, 0, n)
	return n
}

func (k *simRing) Close() error {
	k.yield()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.done {
		return nil
	}
	k.done = true
	for _, r := range k.reqs {
		if r.kind != kindWake && !k.dead {
			k.fail("ring closed with %v of socket %d in flight", r.sqe.Opcode, r.sock.id)
		}
	}
	k.reqs = nil
	return nil
}

// Open is of a later thread's: a simKernel begins with a ring.
func (k *simRing) Open() error {
	k.nap()
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.done {
		k.fail("another ring beside the first one")
	}
	if k.hit("thread begins again"); k.plan.ends >= endFatal && k.dying() {
		return unix.EBADF
	}
	k.done = false
	k.cq, k.overflow, k.sqHead, k.sqTail = nil, nil, 0, 0
	return nil
}

func (k *simRing) SubmitAndGet() (int, error) {
	k.mayPanic(2)
	k.yield()
	k.mu.Lock()
	defer k.mu.Unlock()
	n, err := k.submit()
	if err == nil {
		k.work()
	}
	return n, err
}

func (k *simRing) SubmitAndWait(uint32, time.Duration) (int, error) {
	k.mayPanic(2)
	if !k.loop.wakes.empty() {
		k.fail("waits with somebody left to wake")
	}
	k.nap()
	start := time.Now()
	k.mu.Lock()
	k.lookedFor("the thread looked in vain")
	n, err := k.submit()
	cut := time.Duration(-1) // a signal
	if k.chaos(10) {
		cut = k.plan.upTo(k.rnd, time.Millisecond)
	}
	k.mu.Unlock()
	for err == nil {
		k.mu.Lock()
		k.work()
		ready := len(k.cq) > 0 || k.sqHead < k.sqTail // a short submit does not wait
		wait := k.untilDue()
		k.mu.Unlock()
		if ready {
			return n, nil
		}
		switch gone := time.Since(start); {
		case cut < 0:
			k.await(wait)
		case gone >= cut:
			err = unix.EINTR
		default:
			k.await(min(wait, cut-gone))
		}
	}
	if n > 0 {
		err = nil // as in the kernel
	}
	return n, err
}

// await blocks until the bell rings, which it does when d has passed.
func (k *simRing) await(d time.Duration) {
	if d < simNever {
		k.clock.after(d, k.ring)
	}
	<-k.bell
}

// submit takes entries in. Called with mu held.
func (k *simRing) submit() (n int, err error) {
	if k.done {
		k.fail("enter on a closed ring")
	}
	if k.plan.ends == endFatal && k.dying() {
		return 0, unix.EBADF
	}
	for len(k.overflow) > 0 && len(k.cq) < k.plan.cqEntries {
		k.cq = append(k.cq, k.overflow[0])
		k.overflow = k.overflow[1:]
	}
	if k.chaos(6) {
		k.hit("enter refused")
		return 0, []unix.Errno{unix.EINTR, unix.EAGAIN, unix.EBUSY}[k.rnd.IntN(3)]
	}
	for k.sqHead < k.sqTail {
		if k.chaos(3) {
			k.hit("short submit")
			if n == 0 {
				err = unix.EAGAIN
			}
			break
		}
		s := k.sqes[k.sqHead%len(k.sqes)]
		k.sqHead++
		n++
		k.issue(s)
	}
	return n, err
}

// issue starts a request. Called with mu held, on the engine's goroutine.
func (k *simRing) issue(s ring.SQE) {
	r := &simReq{sqe: s, kind: kind(s.UserData.Kind())}
	if s.Opcode == ring.OpAsyncCancel {
		k.cancel(r)
		return
	}
	k.add("%v fd %d ud %x", s.Opcode, s.Fd, uint64(s.UserData))
	for _, o := range k.reqs {
		if o.sqe.UserData == s.UserData {
			k.fail("%v is in flight already: ud %x", s.Opcode, uint64(s.UserData))
		}
	}
	if r.kind == kindRelay {
		k.sendRelayed(r)
		return
	}
	if s.Fd == simWakeFD {
		k.woken = k.written // a poll looks first
	} else if !k.bind(r) {
		k.post(r, -int(unix.EBADF), 0, false)
		return
	}
	r.seen = -1 // a poll looks first
	k.reqs = append(k.reqs, r)
	if r.kind == kindSend && (r.impatient() || k.hasCause(r) && !k.chaos(20)) {
		k.send(r) // at once, if it can be
	}
}

// impatient reports whether r is a send that does not wait for room.
func (r *simReq) impatient() bool { return r.sqe.OpFlags&unix.MSG_DONTWAIT != 0 }

// bind finds what a request is about, and that it is what the engine thinks.
func (k *simRing) bind(r *simReq) bool {
	s := &r.sqe
	sock := k.files[int(s.Fd)]
	n := k.loop.slots.find(s.UserData)
	if sock == nil || n == nil {
		k.fail("%v on fd %d, which is closed, or of nobody", s.Opcode, s.Fd)
		return false
	}
	r.sock = sock
	c, ok := n.h.(*Conn)
	if ok && sock.conn != c {
		k.fail("%v on fd %d, which belongs to another conn", s.Opcode, s.Fd)
	}
	for _, o := range k.reqs {
		if o.sock == sock && o.kind == r.kind {
			k.fail("%v on socket %d beside %v", s.Opcode, sock.id, o.sqe.Opcode)
		}
	}
	if r.kind == kindPoll && k.coldSince(sock) && !sock.forwarded {
		k.fail("%v on socket %d, which has completed since the engine is cold", s.Opcode, sock.id)
	}
	if sock.shared && r.kind != kindPoll {
		k.fail("%v on socket %d, which others may reach", s.Opcode, sock.id)
	}
	return r.kind != kindSend || k.bindSend(r, c)
}

// bindSend looks at the batch, which has to stay as it is meanwhile.
func (k *simRing) bindSend(r *simReq, c *Conn) bool {
	k.hit("batch in the ring")
	if !r.impatient() {
		k.hit("send is stuck")
	}
	if r.sock.writers > 0 {
		k.fail("send on socket %d beside a write", r.sock.id)
	}
	if r.flight = c.flight; r.flight != nil {
		r.buf = r.flight.b
	}
	if len(r.buf) > batchBytes {
		k.fail("socket %d: a batch of %d", r.sock.id, len(r.buf))
	}
	if len(r.buf) == 0 || uint64(reflect.ValueOf(r.buf).Pointer()) != r.sqe.Addr || len(r.buf) != int(r.sqe.Len) {
		k.fail("send on socket %d of what is not its batch", r.sock.id)
		return false
	}
	return true
}

// cancel carries out a cancellation at once; its target ends later.
func (k *simRing) cancel(r *simReq) {
	target := ring.UserData(r.sqe.Addr)
	i := slices.IndexFunc(k.reqs, func(o *simReq) bool { return o.sqe.UserData == target })
	k.add("cancel ud %x: request %d", uint64(target), i)
	switch {
	case i < 0:
		k.hit("cancel too late")
		k.post(r, -int(unix.ENOENT), 0, false)
	case k.chaos(20): // between two states, or running
		k.hit("cancel missed")
		k.post(r, -int([]unix.Errno{unix.ENOENT, unix.EALREADY}[k.rnd.IntN(2)]), 0, false)
	default:
		k.reqs[i].cancelled = true
		if r.sqe.Flags&ring.SQECQESkipSuccess == 0 {
			k.post(r, 0, 0, false)
		}
	}
}

// post completes r, for good unless more.
func (k *simRing) post(r *simReq, res int, flags ring.CQEFlags, more bool) {
	full := len(k.cq) >= k.plan.cqEntries || len(k.overflow) > 0
	if more && full {
		k.hit("multishot ended by a full queue")
	}
	if more = more && !full; more {
		flags |= ring.CQEMore
	} else if i := slices.Index(k.reqs, r); i >= 0 {
		k.reqs = slices.Delete(k.reqs, i, i+1)
	}
	r.at = time.Time{}
	if r.sock != nil && r.kind != kindSend && r.kind != kindRelay {
		r.sock.lastDone = int64(time.Since(k.base)) + 2
	}
	k.add("  -> ud %x res %d flags %v", uint64(r.sqe.UserData), res, flags)
	cqe := ring.CQE{UserData: r.sqe.UserData, Res: int32(res), Flags: flags}
	if full {
		k.hit("overflow")
		k.overflow = append(k.overflow, cqe)
		return
	}
	k.cq = append(k.cq, cqe)
}

// work lets requests go on whose time has come, in any order.
func (k *simRing) work() {
	for range 64 {
		due := k.due()
		if len(due) == 0 || k.chaos(10) {
			return
		}
		k.proceed(due[k.rnd.IntN(len(due))])
	}
}

// due lists the requests that go on with the next enter.
func (k *simRing) due() []*simReq {
	var due []*simReq
	now := time.Now()
	for _, r := range k.reqs {
		switch {
		case !k.able(r):
			r.at = time.Time{}
			continue
		case r.at.IsZero():
			r.at = now.Add(k.delay())
		}
		if !r.at.After(now) {
			due = append(due, r)
		}
	}
	return due
}

// untilDue is how long it takes until something is due.
func (k *simRing) untilDue() time.Duration {
	d := simNever
	for _, r := range k.reqs {
		if !r.at.IsZero() {
			d = min(d, time.Until(r.at))
		}
	}
	return d
}

// able reports whether r can go on.
func (k *simRing) able(r *simReq) bool {
	return r.cancelled || k.hasCause(r)
}

// hasCause is able for what r waits for.
func (k *simRing) hasCause(r *simReq) bool {
	switch r.kind {
	case kindWake:
		return k.woken
	case kindPoll:
		return r.seen != r.sock.wakes && r.sock.readable()
	default: // kindSend
		return r.sock.writable()
	}
}

// proceed takes r a step further.
func (k *simRing) proceed(r *simReq) {
	if r.cancelled && (!k.hasCause(r) || k.percent(60)) {
		k.hit("cancelled " + r.sqe.Opcode.String())
		if r.kind == kindSend {
			r.sock.sendCancelled = true
		}
		k.post(r, -int(unix.ECANCELED), 0, false)
		return
	}
	if r.cancelled {
		k.hit("cancel overtaken")
	}
	switch r.kind {
	case kindWake:
		k.woken = false
		k.post(r, unix.POLLIN, 0, !k.chaos(3))
	case kindPoll:
		k.tell(r)
	case kindSend:
		k.send(r)
	}
}

// tell is one completion of a poll, for all that came since the last.
func (k *simRing) tell(r *simReq) {
	if k.chaos(2) {
		k.hit("poll refused")
		r.sock.pollRefused = true
		k.post(r, -int(unix.ENOMEM), 0, false)
		return
	}
	s := r.sock
	r.seen = s.wakes
	events := unix.POLLIN
	if s.fin || s.shutRd {
		events |= unix.POLLRDHUP
	}
	if s.rst || s.soErr != 0 {
		events |= unix.POLLERR | unix.POLLHUP
	}
	k.post(r, events, 0, !k.chaos(5))
}

// send is what was cut off a batch.
func (k *simRing) send(r *simReq) {
	s := r.sock
	if c := s.conn; c.flight != r.flight || len(c.flight.b) != len(r.buf) {
		k.fail("the batch of socket %d was touched in flight", s.id)
	} else if c.mu.TryLock() { // else it is the engine who has it
		if len(c.flushers) > 0 {
			k.hit("flush waits")
		}
		if c.w.waiting && c.w.state == waitDrain {
			k.hit("drain waits")
		}
		c.mu.Unlock()
	}
	if s.writers > 0 {
		k.fail("send on socket %d beside a write", s.id)
	}
	if k.chaos(3) {
		k.post(r, -int([]unix.Errno{unix.EINTR, unix.EAGAIN}[k.rnd.IntN(2)]), 0, false)
		return
	}
	n, err := k.putBatch(s, r.buf)
	if err == unix.EAGAIN && !r.impatient() {
		return
	}
	if err != nil {
		k.hit("send failed")
		n = -int(err.(unix.Errno))
	} else if n < len(r.buf) {
		k.hit("short send")
	}
	k.post(r, n, 0, false)
}
