package steering

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
)

// Steering decides which ring of one listener a connection comes to. All
// methods are safe for concurrent use.
//
// Attach, Load, Accepted, Drained, Hold and Detach are for the listener. Load,
// Accepted, Drained and Hold make no system call; before Attach, after Detach,
// and for rings that there are not, they do nothing.
type Steering struct {
	cfg  Config
	live atomic.Pointer[kernel] // what the program works on, while it does

	mu       sync.Mutex
	state    state
	fallback error // why cfg.Fallback serves
	policy   Policy
	weights  [MaxRings]int
	rings    int      // 0 before Attach
	last     counters // after Detach

	// Under a fallback nobody but the listener knows who comes to a ring.
	accepted atomic.Pointer[[]atomic.Uint64]
}

type state int

const (
	unused state = iota
	attached
	detached
)

type counters struct {
	sent, migrated []uint64
	unsteered      uint64
}

// New returns a Steering for one listener. A nil cfg means the defaults. It
// fails with a [*ConfigError] only: whether the kernel plays along, Attach
// finds out.
func New(cfg *Config) (*Steering, error) {
	c, err := cfg.resolved()
	if err != nil {
		return nil, err
	}
	s := &Steering{cfg: c, policy: c.Policy}
	for ring := range s.weights {
		s.weights[ring] = DefaultWeight
	}
	return s, nil
}

// Attach makes the SO_REUSEPORT group that the sockets form steer connections
// to them: to sockets[i] what ring i shall have. The group may have other
// sockets, of another process, say; they get nothing more. cpus[i] is the CPU
// that ring i's thread is pinned to, -1 or no entry if it is not. The
// descriptors stay the caller's.
//
// It fails with [ErrAttached], a [*ConfigError] for too many sockets, a
// [*SocketError], or an [*UnsupportedError] if there is no [Config.Fallback].
// Linux 5.14 and CAP_BPF, not only that of a user namespace of its own.
func (s *Steering) Attach(sockets, cpus []int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != unused {
		return ErrAttached
	}
	if err := check("the number of sockets", len(sockets), 1, MaxRings); err != nil {
		return err
	}
	if err := checkSockets(sockets); err != nil {
		return err
	}
	pinned := slices.Repeat([]int{-1}, len(sockets))
	copy(pinned, cpus)
	k, err := load(s.cfg, sockets, func(k *kernel) {
		k.storeTable(offCPU, cpuTable(pinned))
		k.storePolicy(s.policy)
		k.storeWeights(s.weights[:k.rings])
	})
	switch {
	case err == nil:
		s.live.Store(k)
	case s.cfg.Fallback == NoFallback || !errors.Is(err, errors.ErrUnsupported):
		return err
	default:
		if err := fallBack(s.cfg.Fallback, sockets); err != nil {
			return err
		}
		s.fallback = err
		counts := make([]atomic.Uint64, len(sockets))
		s.accepted.Store(&counts)
	}
	s.state, s.rings = attached, len(sockets)
	return nil
}

// Detach frees the program, unless the sockets' group still has it, and its
// maps. The counters stay readable.
func (s *Steering) Detach() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.live.Load(); k != nil {
		s.last = k.counters()
		s.live.Store(nil)
		k.close()
	}
	s.state = detached
}

// Load says how many connections ring has open, whoever opened them.
func (s *Steering) Load(ring int, conns uint32) {
	if k := s.kernel(ring); k != nil {
		k.mem.Store(word(ring, ringLoad), uint64(conns))
	}
}

// Accepted says that one of the connections sent to ring has been accepted.
func (s *Steering) Accepted(ring int) {
	if k := s.kernel(ring); k != nil {
		k.mem.Add(word(ring, ringAccepted), 1)
	} else if counts := s.accepted.Load(); counts != nil && uint(ring) < uint(len(*counts)) {
		(*counts)[ring].Add(1)
	}
}

// Drained says that nobody waits to be accepted at ring's socket. Connections
// sent there that have not come by now, because their handshake takes its
// time or will never be finished, no longer count as load.
func (s *Steering) Drained(ring int) {
	if k := s.kernel(ring); k != nil {
		k.mem.Store(word(ring, ringAccepted), k.mem.Load(word(ring, ringSent)))
	}
}

// Hold sends new connections to rings other than this one, if there is any
// that is not held, until it is called with false.
func (s *Steering) Hold(ring int, held bool) {
	if k := s.kernel(ring); k != nil {
		var v uint64
		if held {
			v = 1
		}
		if k.mem.Load(word(ring, ringHeld)) != v {
			k.mem.Store(word(ring, ringHeld), v)
			k.rebase()
		}
	}
}

// kernel is nil if there is nothing to tell, or no such ring.
func (s *Steering) kernel(ring int) *kernel {
	k := s.live.Load()
	if k == nil || uint(ring) >= uint(k.rings) {
		return nil
	}
	return k
}

// SetPolicy changes the policy, for connections from now on. It fails with a
// [*ConfigError], or with what Err returns if a fallback serves.
func (s *Steering) SetPolicy(p Policy) error {
	if err := p.check(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fallback != nil {
		return s.fallback
	}
	s.policy = p
	if k := s.live.Load(); k != nil {
		k.storePolicy(p)
	}
	return nil
}

// SetWeight changes ring's share of new connections: it is the weight divided
// by the sum of all weights, and 0 drains the ring. If all weights are 0, all
// are as good as equal. It may be called before Attach, and takes some
// milliseconds: it is for people, not for every connection. It fails with a
// [*ConfigError], or with what Err returns if a fallback serves.
func (s *Steering) SetWeight(ring, weight int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	rings := MaxRings
	if s.rings > 0 {
		rings = s.rings
	}
	if err := check("the ring", ring, 0, rings-1); err != nil {
		return err
	}
	if err := check("the weight", weight, 0, MaxWeight); err != nil {
		return err
	}
	if s.fallback != nil {
		return s.fallback
	}
	if s.weights[ring] == weight {
		return nil
	}
	s.weights[ring] = weight
	if k := s.live.Load(); k != nil {
		k.storeWeights(s.weights[:k.rings])
	}
	return nil
}

// Weight returns ring's weight, 0 for a ring that there cannot be.
func (s *Steering) Weight(ring int) int {
	if uint(ring) >= MaxRings {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.weights[ring]
}

// Policy returns the policy in force, or that would be.
func (s *Steering) Policy() Policy {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.policy
}

// Decisions appends how many connections were sent to each ring so far,
// including those moved there; nothing before Attach. A handshake that is
// never finished counts, and so does each repeated SYN of one. Under a
// fallback these are the connections accepted.
func (s *Steering) Decisions(dst []uint64) []uint64 {
	return append(dst, s.counters().sent...)
}

// Migrated appends how many of Decisions were moved to each ring when another
// socket closed.
func (s *Steering) Migrated(dst []uint64) []uint64 {
	return append(dst, s.counters().migrated...)
}

// Unsteered returns how many connections the program has left to the kernel's
// hash, because all of the listener's sockets had closed.
func (s *Steering) Unsteered() uint64 { return s.counters().unsteered }

func (s *Steering) counters() counters {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.live.Load(); k != nil {
		return k.counters()
	}
	if counts := s.accepted.Load(); counts != nil {
		c := counters{sent: make([]uint64, len(*counts)), migrated: make([]uint64, len(*counts))}
		for i := range *counts {
			c.sent[i] = (*counts)[i].Load()
		}
		return c
	}
	return s.last
}

// Err says why a fallback serves: an [*UnsupportedError], or nil.
func (s *Steering) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fallback
}

// String says what is in force, such as "least loaded (eBPF)".
func (s *Steering) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.fallback != nil:
		return s.cfg.Fallback.String()
	case s.rings == 0:
		return s.policy.String() + " (not attached)"
	}
	return s.policy.String() + " (eBPF)"
}

func (k *kernel) storePolicy(p Policy) {
	k.mem.Store(offPolicy/8, uint64(p))
	k.rebase()
}

// rebase has the program forget who was sent how many under other rules.
func (k *kernel) rebase() {
	for ring := range k.rings {
		k.mem.Store(word(ring, ringBase), k.mem.Load(word(ring, ringSent)))
	}
}

// storeWeights replaces the tables while the program reads them. What it sees
// meanwhile is a mixture of the old and the new, each entry valid.
func (k *kernel) storeWeights(weights []int) {
	weights = effective(weights)
	turns := turnTable(weights)
	n := len(turns)
	for len(turns)%8 != 0 {
		turns = append(turns, turns[len(turns)-n])
	}
	k.storeTable(offSlot, slotTable(weights))
	k.storeTable(offTurn, turns)
	k.mem.Store(offTurns/8, uint64(n))
	for ring, w := range weights {
		k.mem.Store(word(ring, ringWeight), uint64(w))
	}
	k.rebase()
}

func (k *kernel) counters() counters {
	c := counters{unsteered: k.mem.Load(offUnsteered / 8)}
	for ring := range k.rings {
		c.sent = append(c.sent, k.mem.Load(word(ring, ringSent)))
		c.migrated = append(c.migrated, k.mem.Load(word(ring, ringMigrated)))
	}
	return c
}
