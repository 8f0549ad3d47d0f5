//go:build linux

package engine

import (
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"runtime/pprof"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/engine/internal/gear"
	"github.com/quoit-go/quoit/engine/internal/lent"
	"github.com/quoit-go/quoit/engine/ring"
)

// FuzzCompletions has the completions of a hostile kernel come to an engine whose conns
// wait in every way: any user data, result and flags, at any time. Whatever they say,
// the engine does not panic and sleeps in the end, a caller is woken once or not at all,
// nobody gets bytes of another conn, and with truthful completions from then on all ends.
func FuzzCompletions(f *testing.F) {
	if lent.Checked {
		f.Skip("a build that checks ends the process where a completion comes too late")
	}
	for _, script := range hostileSeeds {
		f.Add([]byte(script))
	}
	bubbled := inBubble
	inBubble = func() bool { return false }
	f.Cleanup(func() { inBubble = bubbled })
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) > 1<<10 {
			return
		}
		stuck := time.AfterFunc(20*time.Second, func() {
			_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 2)
			panic(fmt.Sprintf("it hangs, most likely in a mutex: %q", script))
		})
		defer stuck.Stop()
		synctest.Test(t, func(t *testing.T) { runHostile(t, script) })
	})
}

// hostileSeeds are parked Reads, batches, relays and their completions.
var hostileSeeds = []string{
	"",
	"\x03\x00\x13\x01\x04\x00\x30\x01\x00\x01\x00\x01\x01\x05\x00",                                 // a Read and a batch, ended
	"\x03\x00\x0c\x00\x20\x01\x01\x04\x00\x01\x01\x04\x01\x01\x01\x03\x01",                         // a send with more to come
	"\x07\x02\x03\x02\x02\x10\x01\x01\x01\x01\x02\x02\x10\x01\x01\x01\x04\x01",                     // relays
	"\x00\x02\x00\x00\x01\x00\x00\x03\xff\xff\x07\xff\x00\x82\x00\x01\x02\x00\x06\x00\x01\x00\x05", // of nobody
}

// hostile is the kernel: its sockets are those of a simKernel without mischief, its ring
// completes what the script says. The simKernel's mu guards it.
type hostile struct {
	*simKernel
	t      *testing.T
	script []byte
	e      *Engine
	l      *loop
	conns  []*hostileConn

	sqes   []ring.SQE
	cq     []ring.CQE
	flying map[ring.UserData]ring.SQE
	bell   chan struct{}
	wakes  int  // written to the eventfd, and not told
	sleeps bool // the engine
	ended  bool // and it has
	fair   bool
	during func() // what the engine's next turn begins with

	// For scenarios.
	mayDie  bool
	dies    func() // the next enter fails, after this
	panics  bool   // the next entry is one too many
	found   func() // after a Read that has found nothing
	hanging bool   // relayed sends do not complete
	answer  int32  // the result of the next relayed send, 0 for the truth
	sent    int    // bytes that Write took
}

// hostileConn is a conn, and who waits in it.
type hostileConn struct {
	*Conn
	s                *simSock
	read, written    int
	reading, writing bool // under way
	into             *hostileConn
	closing          bool
	n                int64 // results of the last Read or Forward, and of the last Write
	err, werr        error
}

const hostileConns = 4

func runHostile(t *testing.T, script []byte) {
	h := newHostile(t, script)
	for len(h.script) > 0 && !t.Failed() {
		h.step()
	}
	h.finish()
}

func newHostile(t *testing.T, script []byte) *hostile {
	log := &simLog{hits: map[string]int{}, base: time.Now()}
	plan := &simPlan{tcp: true, room: roomLie, sndBuf: 1 << 20, grain: time.Microsecond, rings: 1}
	h := &hostile{
		simKernel: newSimKernel(log, plan), t: t, script: script,
		flying: map[ring.UserData]ring.SQE{}, bell: make(chan struct{}, 1),
	}
	h.calm, h.moved = true, log.base
	h.e = &Engine{stopped: make(chan struct{}), cfg: Options{Entries: 64, Gear: gear.Auto}}
	h.l = h.e.attach(h)
	h.e.stays = time.Hour
	h.e.gear.Shift(true)
	go func() {
		h.l.run(nil)
		h.mu.Lock()
		h.ended = true
		h.mu.Unlock()
	}()
	for range hostileConns {
		h.open()
	}
	h.settle()
	return h
}

func (h *hostile) open() {
	h.mu.Lock()
	s := h.socket(true)
	fd := h.install(s)
	h.mu.Unlock()
	c := &Conn{e: h.e, descriptor: descriptor{fd: fd}, tcp: true}
	if err := h.e.open(c); err != nil {
		h.t.Fatal(err)
	}
	s.conn = c
	h.conns = append(h.conns, &hostileConn{Conn: c, s: s})
}

// next is the next byte of the script; 0 after its end.
func (h *hostile) next() byte {
	if len(h.script) == 0 {
		return 0
	}
	b := h.script[0]
	h.script = h.script[1:]
	return b
}

// step does what the script says next, before the engine is told of it or in the middle
// of its turn, while it is awake.
func (h *hostile) step() {
	h.mu.Lock()
	op := h.next()
	do := h.choose(op)
	if op&8 != 0 && !h.ended {
		h.during = do
		do = nil
	}
	h.mu.Unlock()
	if do != nil {
		do()
	}
	h.settle()
}

// choose returns what op is. Called with mu held.
func (h *hostile) choose(op byte) func() {
	switch op & 7 {
	case 0:
		kind, gen, slot := h.next(), h.next(), h.next()
		ud := ring.NewUserData(ring.Kind(kind), uint32(gen), uint32(int8(slot)))
		return h.completes(ud, h.result(0), h.flags())
	case 1:
		uds := slices.Sorted(maps.Keys(h.flying))
		i := int(h.next())
		if len(uds) == 0 {
			return nil
		}
		ud := uds[i%len(uds)]
		return h.completes(ud, h.result(h.flying[ud].Len), h.flags())
	}
	c := h.conns[h.next()%hostileConns]
	arg := h.next()
	switch op & 7 {
	case 2:
		return func() { h.arrives(c, int(arg)) }
	case 3:
		return func() { h.startRead(c, 1+int(arg)) }
	case 4:
		return func() { h.startWrite(c, 1+int(arg)<<(arg&3)) }
	case 5:
		return func() { h.setDeadline(c, arg) }
	case 6:
		return func() { h.ends(c, arg) }
	default:
		return func() { h.shiftOrForward(c, arg) }
	}
}

// result is that of a completion, of a request of so many bytes.
func (h *hostile) result(n uint32) int32 {
	switch b := h.next(); b % 8 {
	case 0:
		return int32(h.next())
	case 1:
		return int32(n)
	case 2:
		return int32(n) + 1
	case 3:
		return -int32(h.next())
	case 4:
		return math.MinInt32
	case 5:
		return math.MaxInt32
	case 6:
		return int32(binary.LittleEndian.Uint32([]byte{h.next(), h.next(), h.next(), h.next()}))
	default:
		return []int32{-int32(unix.ECANCELED), -int32(unix.EAGAIN), -int32(unix.ECONNRESET), -int32(unix.EPIPE), unix.POLLIN}[int(b/8)%5]
	}
}

func (h *hostile) flags() ring.CQEFlags {
	b := h.next()
	return ring.CQEFlags(b&15) | ring.CQEFlags(b>>4)<<16
}

// completes has a completion of ud be there.
func (h *hostile) completes(ud ring.UserData, res int32, flags ring.CQEFlags) func() {
	return func() {
		h.mu.Lock()
		h.post(ud, res, flags)
		h.mu.Unlock()
		h.ringBell()
	}
}

// post is called with mu held. What completes once has ended whatever its flags say.
func (h *hostile) post(ud ring.UserData, res int32, flags ring.CQEFlags) {
	if k := kind(ud.Kind()); flags&ring.CQEMore == 0 || k == kindSend || k == kindRelay {
		delete(h.flying, ud)
	}
	h.add("-> ud %x res %d flags %x", uint64(ud), res, uint32(flags))
	h.cq = append(h.cq, ring.CQE{UserData: ud, Res: res, Flags: flags})
}

func (h *hostile) ringBell() {
	select {
	case h.bell <- struct{}{}:
	default:
	}
}

// settle lets all go on as far as they can, and looks what they have come to.
func (h *hostile) settle() {
	h.ringBell()
	time.Sleep(time.Millisecond) // whose end needs them all to sleep
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.e.Death(); err != nil && !h.mayDie {
		h.fail("the engine died: %v\n%s", err, stackOf(err))
	}
	switch {
	case h.ended && h.e.Death() == nil:
		return
	case !h.sleeps && h.e.Alive():
		h.fail("the engine neither sleeps nor has ended")
		return
	}
	if n := len(h.l.relays.taken); h.e.Alive() && (n > 0 || h.l.relays.flying != 0 || !h.l.wakes.empty()) {
		h.fail("the engine sleeps with %d relays taken, %d sends of theirs in flight, and wakes left: %v",
			n, h.l.relays.flying, !h.l.wakes.empty())
	}
	for i, c := range h.conns {
		c.check(h, i)
	}
}

func stackOf(err error) string {
	if p, ok := err.(*PanicError); ok {
		return string(p.Stack)
	}
	return ""
}

// check looks for a caller that sleeps where nobody will wake it, and for tokens that
// nobody has taken, when nothing moves. Called with the kernel's mu held.
func (c *hostileConn) check(h *hostile, i int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.r.ch) + len(c.w.ch); n > 0 {
		h.fail("conn %d: %d tokens that nobody takes", i, n)
	}
	if c.closing {
		return
	}
	reads, writes := c.r.waiting, c.w.waiting
	if d := c.into; d != nil && (d.w.waiting || len(d.flushers) > 0) {
		reads = true // it writes what is left over, or waits until it may begin
	}
	switch {
	case c.reading != reads && c.into == nil:
		h.fail("conn %d: a Read is under way %v, and waits %v", i, c.reading, reads)
	case c.reading && !reads:
		h.fail("conn %d: a Forward sleeps, and nobody wakes it", i)
	case c.writing && !writes:
		h.fail("conn %d: a Write sleeps, and nobody wakes it", i)
	}
}

func (h *hostile) arrives(c *hostileConn, n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case c.s.closed:
	case n == 0:
		c.s.fin = true
		h.edge(c.s, true, false)
	case n == 1 && !c.s.rst:
		h.reset(c.s)
	case n == 2:
		c.s.room = 0
	case n == 3:
		c.s.room = h.plan.sndBuf
		h.edge(c.s, false, true)
	default:
		h.arrive(c.s, n)
	}
}

// startRead and its like do nothing where such a call is under way.
func (h *hostile) startRead(c *hostileConn, n int) {
	if c.reading || c.closing {
		return
	}
	c.reading = true
	go func() {
		p := make([]byte, n)
		n, err := c.Read(p)
		h.mu.Lock()
		defer h.mu.Unlock()
		c.n, c.err = int64(n), err
		c.reading = false
		if i := c.s.in().wrong(p[:n], c.read); i >= 0 {
			h.fail("socket %d: a wrong byte at %d", c.s.id, c.read+i)
		}
		c.read += n
	}()
}

func (h *hostile) startWrite(c *hostileConn, n int) {
	if c.writing || c.closing || h.isSink(c) {
		return
	}
	c.writing = true
	p := make([]byte, n)
	c.s.out().fill(p, c.written)
	c.written += n
	go func() {
		c.pace.proven.Store(0) // as if it had read on soon, and so had all
		h.e.late.score.Store(0)
		_, err := c.Write(p)
		h.mu.Lock()
		c.writing, c.werr = false, err
		h.mu.Unlock()
	}()
}

// isSink reports whether a Forward to c is under way: a Write would wait for a mutex.
func (h *hostile) isSink(c *hostileConn) bool {
	return slices.ContainsFunc(h.conns, func(o *hostileConn) bool { return o.into == c })
}

func (h *hostile) setDeadline(c *hostileConn, arg byte) {
	var t time.Time
	if arg&1 != 0 {
		t = time.Now().Add(time.Duration(int8(arg)) * 100 * time.Microsecond)
	}
	_ = c.SetDeadlines(t, arg&2 == 0, arg&4 == 0)
}

func (h *hostile) ends(c *hostileConn, arg byte) {
	go func() {
		switch arg & 3 {
		case 0:
			c.closing = true
			_ = c.Close()
		case 1:
			_ = c.Shutdown(unix.SHUT_WR)
		case 2:
			_ = c.RawControl(func(uintptr) {})
		default:
			_ = c.Control(func(uintptr) {})
		}
	}()
}

func (h *hostile) shiftOrForward(c *hostileConn, arg byte) {
	d := h.conns[arg%hostileConns]
	switch {
	case arg&0x80 != 0:
		h.e.gear.Shift(arg&1 != 0)
	case c.reading || c.closing || d.writing || d.closing || h.isSink(d):
	default:
		c.reading, c.into = true, d
		go func() {
			n, _, err := d.Forward(c.Conn, math.MaxInt64)
			h.mu.Lock()
			defer h.mu.Unlock()
			c.n, c.err = n, err
			c.reading, c.into = false, nil
			c.read = c.s.taken
			if err == io.EOF {
				h.fail("socket %d: a Forward returns EOF", c.s.id)
			}
		}()
	}
}

// owns reports whether p is of what conn c has written, or of what is forwarded to it.
// Called with mu held.
func (h *hostile) owns(c *hostileConn, p []byte) bool {
	if len(p) == 0 || has(p, c.s.out(), c.written) {
		return true
	}
	return slices.ContainsFunc(h.conns, func(o *hostileConn) bool {
		return o.into == c && has(p, o.s.in(), o.s.taken)
	})
}

// has reports whether p is somewhere in the first n bytes of a stream.
func has(p []byte, stream simStream, n int) bool {
	for at := 0; at+len(p) <= n; at++ {
		if stream.wrong(p, at) < 0 {
			return true
		}
	}
	return false
}

// finish closes all, with a kernel that tells the truth.
func (h *hostile) finish() {
	h.mu.Lock()
	h.fair, h.script = true, nil
	h.mu.Unlock()
	for _, c := range h.conns {
		h.ends(c, 0)
	}
	closed := false
	go func() {
		_ = h.e.Close()
		h.mu.Lock()
		closed = true
		h.mu.Unlock()
	}()
	for range 100 {
		h.mu.Lock()
		for _, ud := range slices.Sorted(maps.Keys(h.flying)) {
			if s := h.flying[ud]; kind(ud.Kind()) == kindSend {
				h.post(ud, int32(s.Len), 0)
			}
		}
		for _, c := range h.conns {
			c.s.room = h.plan.sndBuf
			h.edge(c.s, false, !c.s.closed)
		}
		done := closed
		h.mu.Unlock()
		h.settle()
		if done {
			break
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, c := range h.conns {
		if c.reading || c.writing || !c.s.closed {
			panic(fmt.Sprintf("conn %d: reading %v, writing %v, closed %v; %s", i, c.reading, c.writing, c.s.closed, h.failure()))
		}
	}
	if !closed {
		panic("Engine.Close does not return: " + h.failure())
	}
	h.clock.stop()
	if f := h.failure(); f != "" {
		h.t.Error(f)
	}
}
