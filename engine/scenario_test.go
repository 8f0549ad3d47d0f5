//go:build linux

package engine

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/engine/ring"
)

// TestScenarios has a short script for each fault that a schedule of the simulation
// showed: a seed means something else with each change of the simulation. Each fails if
// what was mended then is undone.
func TestScenarios(t *testing.T) {
	bubbled := inBubble
	inBubble = func() bool { return false }
	defer func() { inBubble = bubbled }()
	for _, tt := range scenarios {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHostile(t, nil)
				h.fair = true // what a scenario does not say is as it should be
				tt.run(h, h.conns[0], h.conns[1])
				h.finish()
			})
		})
	}
}

var scenarios = []struct {
	name string
	run  func(h *hostile, c, d *hostileConn)
}{
	{"a Read in the netpoller hears what the ring lost", readHearsLoss},
	{"a Read in the netpoller hears why a send failed", readHearsFailure},
	{"a RawRead does not", rawReadHearsNothing},
	{"a ring that dies as it parks a relay wakes its caller", dyingParksRelay},
	{"a Read asks again for what came between its question and its wait", toldBeforeWait},
	{"a poll that tells of something on a cold engine is cancelled", armedOnCold},
	{"a completion that came before the ring died counts", completedBeforeDeath},
	{"what the ring lost is told once, and nothing is sent behind it", lostIsTold},
	{"what a relay lost with the ring is told, and nothing is sent behind it", relayLost},
	{"a Forward returns the error of a relayed send", relayedError},
	{"the end of a source comes after the bytes that its sink had no room for", endAfterRest},
	{"Close of a source does not wait for the peer of its sink", closeOfSource},
	{"an error of a source that a failing sink hides is the next Read's", owedError},
	{"a Read that waits already hears of such an error", owedToWaiting},
	{"it goes before what the ring lost of the source's own", owedBesideLoss},
	{"a deadline does not hide an error that a relay has received", errorBeforeDeadline},
	{"a Forward does not wait for a send that is stuck", forwardBesideStuck},
}

// tells has the poll of c complete.
func (h *hostile) tells(c *hostileConn, flags ring.CQEFlags) {
	h.completes(h.l.slots.userData(&c.node, kindPoll), unix.POLLIN, flags)()
	h.settle()
}

// inTurn does f while the engine is awake.
func (h *hostile) inTurn(f func()) {
	h.mu.Lock()
	h.during = f
	h.mu.Unlock()
	h.settle()
}

// batches has c accept a Write, which the ring has then. A Read of c's waits.
func (h *hostile) batches(c *hostileConn) {
	h.startRead(c, 10)
	h.settle()
	h.inTurn(func() { h.startWrite(c, 50) })
	if c.state != inRing {
		h.fail("no batch is in the ring, but %v", c.state)
	}
}

// dieAfter has the ring die, after f.
func (h *hostile) dieAfter(f func()) {
	h.mayDie = true
	h.mu.Lock()
	h.dies = f
	h.mu.Unlock()
	h.settle()
}

func (h *hostile) want(what string, is, want bool) {
	if is != want {
		h.fail("%s: %v, want %v", what, is, want)
	}
}

// readsInPoller has c accept a Write, which the ring has then. A Read of c's waits in
// the netpoller.
func (h *hostile) readsInPoller(c *hostileConn) {
	h.batches(c)
	h.e.gear.Shift(false)
	h.tells(c, ring.CQEMore) // of nothing
	h.want("the Read waits in the netpoller", c.reading && c.r.state == waitPoll, true)
}

func readHearsFailure(h *hostile, c, _ *hostileConn) {
	h.readsInPoller(c)
	h.completes(h.l.slots.userData(&c.node, kindSend), -int32(unix.EHOSTUNREACH), 0)()
	h.settle()
	h.want("it hears of the failure", errors.Is(c.err, unix.EHOSTUNREACH), true)
	h.want("it waits on", c.reading, false)
}

func rawReadHearsNothing(h *hostile, c, _ *hostileConn) {
	h.batches(c)
	h.arrives(c, 10)
	h.tells(c, ring.CQEMore)
	h.completes(h.l.slots.userData(&c.node, kindSend), 8, 0)()
	h.settle()
	h.want("the send is stuck", c.state == stuck, true)
	c.reading = true
	go func() {
		err := c.RawRead(func(uintptr) bool { return false })
		h.mu.Lock()
		defer h.mu.Unlock()
		c.err, c.reading = err, false
	}()
	h.settle()
	h.completes(h.l.slots.userData(&c.node, kindSend), -int32(unix.EHOSTUNREACH), 0)()
	h.settle()
	h.want("RawRead waits on", c.reading, true)
	h.want("the error is to be told", c.untold == unix.EHOSTUNREACH, true)
}

func readHearsLoss(h *hostile, c, _ *hostileConn) {
	h.readsInPoller(c)
	h.dieAfter(func() {})
	h.want("it hears of the loss", errors.Is(c.err, unix.EIO), true)
	h.want("it waits on", c.reading, false)
}

func dyingParksRelay(h *hostile, c, _ *hostileConn) {
	h.shiftOrForward(c, 1)
	h.settle()
	h.mayDie, h.panics = true, true
	h.tells(c, 0) // the poll has to be armed again
	h.want("the ring lives", h.e.Alive(), false)
}

func toldBeforeWait(h *hostile, c, _ *hostileConn) {
	h.startRead(c, 10)
	h.settle()
	h.arrives(c, 10)
	h.tells(c, ring.CQEMore)
	h.mu.Lock()
	h.found = func() {
		h.arrives(c, 10)
		h.completes(h.l.slots.userData(&c.node, kindPoll), unix.POLLIN, ring.CQEMore)()
	}
	h.mu.Unlock()
	h.startRead(c, 10)
	h.settle()
	h.want("the second Read waits", c.reading, false)
}

func armedOnCold(h *hostile, c, _ *hostileConn) {
	h.startRead(c, 10)
	h.settle()
	h.e.gear.Shift(false)
	h.tells(c, ring.CQEMore)
	h.want("the poll is armed", c.poll.isArmed(), false)
}

func completedBeforeDeath(h *hostile, c, _ *hostileConn) {
	h.batches(c)
	h.dieAfter(func() { h.post(h.l.slots.userData(&c.node, kindSend), 50, 0) })
	h.startWrite(c, 5)
	h.settle()
	h.want("the next Write fails", c.werr != nil, false)
}

// writeFails wants a Write to fail after something was lost.
func (h *hostile) writeFails(c *hostileConn) {
	h.startWrite(c, 5)
	h.settle()
	h.want("a Write after it fails", errors.Is(c.werr, unix.EPIPE), true)
}

func lostIsTold(h *hostile, c, _ *hostileConn) {
	h.batches(c)
	h.dieAfter(func() {})
	h.want("the Read is told", errors.Is(c.err, unix.EIO), true)
	for range 2 {
		h.writeFails(c)
	}
	h.want("something was sent", h.sent > 0, false)
}

func relayLost(h *hostile, c, d *hostileConn) {
	h.shiftOrForward(c, 1)
	h.settle()
	h.hanging = true
	h.arrives(c, 20)
	h.mayDie = true
	h.dies = func() {}
	h.tells(c, ring.CQEMore)
	h.want("Forward says so", errors.Is(c.err, unix.EIO), true)
	h.writeFails(d)
	h.want("something was sent", h.sent > 0, false)
}

func relayedError(h *hostile, c, _ *hostileConn) {
	h.shiftOrForward(c, 1)
	h.settle()
	h.arrives(c, 20)
	h.setResult(-int32(unix.ECONNRESET))
	h.tells(c, ring.CQEMore)
	h.want("Forward returns it", errors.Is(c.err, unix.ECONNRESET), true)
}

func endAfterRest(h *hostile, c, _ *hostileConn) {
	h.shiftOrForward(c, 1)
	h.settle()
	h.arrives(c, 20)
	h.arrives(c, 0)
	h.setResult(8)
	h.tells(c, ring.CQEMore)
	h.want("all was sent", c.n == 20 && h.sent == 12, true)
	h.want("it failed", c.err != nil, false)
}

func closeOfSource(h *hostile, c, d *hostileConn) {
	h.shiftOrForward(c, 1)
	h.settle()
	h.arrives(c, 20)
	h.mu.Lock()
	d.s.room = 0
	h.mu.Unlock()
	h.setResult(8)
	h.tells(c, ring.CQEMore)
	h.want("Forward waits for the sink", c.reading && d.w.waiting, true)
	h.ends(c, 0)
	h.settle()
	h.want("the source is closed", c.s.closed, true)
}

func owedError(h *hostile, c, _ *hostileConn) {
	h.shiftOrForward(c, 1)
	h.settle()
	h.arrives(c, 20)
	h.arrives(c, 1) // a reset
	h.setResult(-int32(unix.EPIPE))
	h.tells(c, ring.CQEMore)
	h.want("Forward returns the sink's", errors.Is(c.err, unix.EPIPE), true)
	h.startRead(c, 5)
	h.settle()
	h.want("Read returns the source's", errors.Is(c.err, unix.ECONNRESET), true)
}

func owedToWaiting(h *hostile, c, d *hostileConn) {
	h.shiftOrForward(c, 1)
	h.settle()
	h.arrives(c, 20)
	h.mu.Lock()
	h.unreachable(c.s) // which passes
	d.s.room = 0
	h.mu.Unlock()
	h.setResult(8)
	h.tells(c, ring.CQEMore)
	h.want("Forward waits for the sink", c.reading && d.w.waiting, true)
	var err error
	read := make(chan bool)
	go func() {
		_, err = c.Read(make([]byte, 5))
		close(read)
	}()
	h.settle()
	h.ends(d, 0)
	h.settle()
	select {
	case <-read:
		h.want("the Read returns the source's error", errors.Is(err, unix.EHOSTUNREACH), true)
	default:
		h.fail("the Read waits on")
	}
}

func owedBesideLoss(h *hostile, c, _ *hostileConn) {
	h.batches(c)
	h.arrives(c, 10)
	h.tells(c, ring.CQEMore)
	h.shiftOrForward(c, 1)
	h.settle()
	h.hanging = true
	h.arrives(c, 20)
	h.arrives(c, 1) // a reset
	h.mayDie = true
	h.dies = func() {}
	h.tells(c, ring.CQEMore)
	h.want("Forward returns the sink's", errors.Is(c.err, unix.EIO), true)
	h.startRead(c, 5)
	h.settle()
	h.want("Read returns the reset", errors.Is(c.err, unix.ECONNRESET), true)
	h.writeFails(c)
}

func errorBeforeDeadline(h *hostile, c, _ *hostileConn) {
	h.shiftOrForward(c, 1)
	h.settle()
	h.arrives(c, 1) // a reset
	h.mu.Lock()
	h.found = func() { _ = c.SetDeadlines(time.Unix(1, 0), true, false) }
	h.mu.Unlock()
	h.tells(c, ring.CQEMore)
	h.want("Forward returns it", errors.Is(c.err, unix.ECONNRESET), true)
}

func forwardBesideStuck(h *hostile, c, d *hostileConn) {
	h.batches(d)
	h.completes(h.l.slots.userData(&d.node, kindSend), 8, 0)()
	h.settle()
	h.want("the send is stuck", d.state == stuck, true)
	h.shiftOrForward(c, 1)
	h.settle()
	h.want("Forward waits", c.reading, false)
}

// setResult is that of the next relayed send, 0 for the truth.
func (h *hostile) setResult(res int32) {
	h.mu.Lock()
	h.answer = res
	h.mu.Unlock()
}
