//go:build linux

package pbuf

import (
	"fmt"
	"sync/atomic"
)

// poisonByte fills buffers that nobody may read.
const poisonByte = 0xDB

// SetPoison makes misuse visible, for tests: Return overwrites the buffer
// with 0xDB, and a second Return, a Take or Bytes of a buffer in the wrong
// state, or a write to one after its Return panics. Call it while nothing is
// out. Only the owner may call it, before other goroutines use the group. With the
// build tag quoitcheck it is on from New.
func (g *Group) SetPoison(on bool) {
	if n := g.Out(); n != 0 {
		panic(fmt.Sprintf("pbuf: SetPoison with %d buffers out", n))
	}
	g.poison = nil
	if on {
		g.poison = &poison{state: make([]atomic.Uint32, len(g.next))}
	}
}

// The states of a buffer; see the package comment.
const (
	inKernel = iota
	isOut
	isReturned
)

var stateNames = [...]string{inKernel: "the kernel's", isOut: "out", isReturned: "returned"}

// poison tracks every buffer's state.
type poison struct{ state []atomic.Uint32 }

// move takes bid from one state to another, or panics.
func (p *poison) move(what string, bid uint16, from, to uint32) {
	if !p.state[bid].CompareAndSwap(from, to) {
		p.fail(what, bid)
	}
}

func (p *poison) fail(what string, bid uint16) {
	panic(fmt.Sprintf("pbuf: %s of buffer %d, which is %s", what, bid, stateNames[p.state[bid].Load()]))
}

func (p *poison) take(bid uint16) { p.move("Take", bid, inKernel, isOut) }

func (p *poison) use(bid uint16) {
	if p.state[bid].Load() != isOut {
		p.fail("Bytes", bid)
	}
}

func (p *poison) release(bid uint16, buf []byte) {
	p.move("Return", bid, isOut, isReturned)
	for i := range buf {
		buf[i] = poisonByte
	}
}

func (p *poison) refill(bid uint16, buf []byte) {
	for _, b := range buf {
		if b != poisonByte {
			panic(fmt.Sprintf("pbuf: buffer %d was written after its Return", bid))
		}
	}
	p.move("Refill", bid, isReturned, inKernel)
}

// Consume plays the kernel for tests and simulations without a ring: it takes
// the next published buffer and returns all of it to be filled. The owner
// then calls Take as for a completion. ok is false when the group is empty,
// where a kernel would say ENOBUFS. One goroutine at a time may call it.
func (g *Group) Consume() (bid uint16, buf []byte, ok bool) {
	word := g.tailWord.Load()
	if uint16(word>>16) == g.consumed {
		return 0, nil, false
	}
	if i := uint32(g.consumed) & g.mask; i == 0 {
		bid = uint16(word)
	} else {
		bid = g.descs[i].bid
	}
	g.consumed++
	return bid, g.buffer(bid), true
}
