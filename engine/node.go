//go:build linux

package engine

import (
	"sync/atomic"

	"github.com/quoit-go/quoit/engine/internal/lent"
	"github.com/quoit-go/quoit/engine/ring"
)

// kind says which of a node's requests a completion belongs to. A node has at
// most one request of each kind in flight.
type kind uint8

const (
	kindNone kind = iota
	kindWake
	kindPoll
	kindSend
	kindRelay // a send to another conn
	numKinds

	cancelOf kind = 0x80 // the cancel of a request of kind k is of kind k|cancelOf
)

// repeats reports whether a request of the kind may complete more than once. Of the
// others the first completion is the last, whatever its flags say.
func (k kind) repeats() bool { return k == kindWake || k == kindPoll }

// want is a request of a caller to the engine.
type want uint32

const (
	wantWatch      want = 1 << iota // arm the poll of the read half
	wantRelay                       // arm it for a relay, and begin with that
	wantSend                        // send what Write has accepted
	wantCancelSend                  // give up the send of a closed conn
	wantEnd                         // closed: cancel what is armed, then free the slot
)

// wants are what callers ask of a node, and whether it is on the engine's posted
// stack.
type wants struct{ v atomic.Uint32 }

const posted = 1 << 31

// add asks for w, and reports whether the node was not on the stack: the caller
// has to put it there.
func (s *wants) add(w want) bool { return s.v.Or(uint32(w)|posted)&posted == 0 }

// take returns what is asked for. The node may be posted again from here on.
func (s *wants) take() want { return want(s.v.Swap(0) &^ posted) }

// handler is what a node belongs to. The engine's thread calls all methods that do
// not say otherwise.
type handler interface {
	member
	serve(l *loop, w want)
	complete(l *loop, k kind, cqe *ring.CQE)
	settle(l *loop) // nothing is in flight any more
	leaveRing()     // there is no ring any more; any thread calls it
}

// member is what an engine closes: a handler or a Listener. Any thread may call its
// methods.
type member interface {
	Close() error
}

// node ties a handler to the engine.
type node struct {
	h     handler
	links links // of Engine.conns; guarded by Engine.mu

	// Callers and the engine.
	wants wants
	next  *node // owned by the caller for which add reported true, then by the engine

	// Engine thread only.
	slot   uint32 // index plus one; 0: none
	flying uint32 // bit per kind in flight
}

func (n *node) isFlying(k kind) bool { return n.flying&(1<<k) != 0 }

// slots maps user_data to nodes. Engine thread only.
type slots struct {
	all  []slot
	free []uint32
}

type slot struct {
	n   *node
	gen uint32
}

// assign gives n a slot if it has none.
func (s *slots) assign(n *node) {
	if n.slot != 0 {
		return
	}
	if k := len(s.free); k > 0 {
		n.slot = s.free[k-1] + 1
		s.free = s.free[:k-1]
	} else {
		s.all = append(s.all, slot{})
		n.slot = uint32(len(s.all))
	}
	s.all[n.slot-1].n = n
}

// vacate takes n's slot, which must have nothing in flight. The generation
// moves on, so that a late completion finds no one.
func (s *slots) vacate(n *node) {
	if n.slot == 0 {
		return
	}
	lent.Assert(n.flying == 0, "a slot is given back whose requests are in flight")
	i := n.slot - 1
	n.slot = 0
	s.all[i].n = nil
	s.all[i].gen++
	s.free = append(s.free, i)
}

// find returns the node that ud belongs to, or nil.
func (s *slots) find(ud ring.UserData) *node {
	i := ud.Slot()
	if int(i) >= len(s.all) {
		return nil
	}
	if e := &s.all[i]; e.gen&(1<<24-1) == ud.Gen() {
		return e.n
	}
	return nil
}

// userData names request k of n.
func (s *slots) userData(n *node, k kind) ring.UserData {
	return ring.NewUserData(ring.Kind(k), s.all[n.slot-1].gen, n.slot-1)
}

// used is the number of nodes that hold a slot.
func (s *slots) used() int { return len(s.all) - len(s.free) }

// links places a node in a list.
type links struct{ prev, next *node }
