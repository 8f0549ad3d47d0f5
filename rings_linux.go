//go:build linux

package quoit

import (
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quoit-go/quoit/engine"
	"github.com/quoit-go/quoit/internal/environ"
	"github.com/quoit-go/quoit/internal/forced"
)

// transport makes listeners and conns on the rings of an Engine, each an
// engine of its own. A conn stays on the ring that it was opened on.
type transport struct {
	rings []*ring
	turn  atomic.Uint64 // has those that are equal take turns
	watch watch
	tries tries // to replace rings that failed

	mu      sync.Mutex                 // held to change steered
	steered atomic.Pointer[[]*steered] // open listeners with a Steering
}

// steered is a listener whose sockets a Steering chooses from.
type steered struct {
	Steering
	t        *transport
	addr     net.Addr
	log      *slog.Logger
	panicked atomic.Bool // which was logged
}

// tell calls one of the methods that return nothing. They are called with locks held, on
// the rings' threads and in the middle of an Accept: a panic is logged, once, and ends
// none of these.
func (s *steered) tell(method func()) {
	defer func() {
		if v := recover(); v != nil && !s.panicked.Swap(true) {
			s.log.Error("quoit: a Steering panicked", "address", s.addr.String(), "panic", v, "stack", string(debug.Stack()))
		}
	}()
	method()
}

func (s *steered) Load(ring int, conns uint32) { s.tell(func() { s.Steering.Load(ring, conns) }) }
func (s *steered) Accepted(ring int)           { s.tell(func() { s.Steering.Accepted(ring) }) }
func (s *steered) Drained(ring int)            { s.tell(func() { s.Steering.Drained(ring) }) }
func (s *steered) Hold(ring int, held bool)    { s.tell(func() { s.Steering.Hold(ring, held) }) }
func (s *steered) Detach()                     { s.tell(s.Steering.Detach) }

// scanned is up to how many rings the least loaded one is looked for; among
// more, the better of two at random is nearly as good and costs less.
const scanned = 16

// startTransport starts as many rings as c asks for, or as the limits on memory
// and descriptors leave room for. It fails, and package net must serve, if
// there is none.
func startTransport(c *Config) (*transport, error) {
	if err := refused(c); err != nil {
		return nil, err
	}
	t := &transport{}
	for i := range ringsHere(c) {
		ec := engineConfig(c)
		if len(c.Affinity) > 0 {
			ec.CPU = c.Affinity[i%len(c.Affinity)]
		}
		r := newRing(ec, c.logger().With("ring", i), func(conns int) { t.loaded(i, conns) })
		err := r.start()
		if i > 0 && passes(err) {
			break
		}
		if err != nil {
			_ = t.close()
			return nil, asUnsupported(err)
		}
		t.rings = append(t.rings, r)
	}
	t.watch.init(len(t.rings))
	return t, nil
}

func (t *transport) size() int { return len(t.rings) }

// ringsHere is how many of the rings that c asks for the limit on descriptors
// leaves room for.
func ringsHere(c *Config) int { return min(c.Rings, max(engine.MaxRings(), 1)) }

func (t *transport) close() (err error) {
	t.tries.end()
	engines := t.engines()
	for _, e := range engines { // first, for they place conns on all rings
		e.CloseListeners()
	}
	for _, e := range engines {
		if cerr := e.Close(); err == nil {
			err = cerr
		}
	}
	return engineError(err)
}

// engines returns those of all rings, before and now.
func (t *transport) engines() (out []*engine.Engine) {
	for _, r := range t.rings {
		out = append(out, r.engines()...)
	}
	return out
}

// cpus returns what the rings' threads are pinned to, -1 if not.
func (t *transport) cpus() (out []int) {
	for _, r := range t.rings {
		out = append(out, r.cfg.CPU)
	}
	return out
}

// at returns the engine of ring i. If it has failed, somebody's call has another one
// set up in the background, which has the next conns.
func (t *transport) at(i int) *engine.Engine {
	r := t.rings[i]
	e := r.now.Load()
	if !e.Alive() && r.again.claim() {
		t.tries.begin(r.replace)
	}
	return e
}

// shift changes the gear of all rings, for tests.
func (t *transport) shift(hot bool) {
	for i := range t.rings {
		forced.ShiftRing(t.at(i), hot)
	}
}

// breakRings has all rings fail, for tests.
func (t *transport) breakRings() {
	for i := range t.rings {
		forced.BreakRing(t.at(i))
	}
}

// hold has the threads of all rings do nothing until release is called, for tests.
func (t *transport) hold() (release func()) {
	var all []func()
	for i := range t.rings {
		all = append(all, forced.HoldRing(t.at(i)))
	}
	return func() {
		for _, release := range all {
			release()
		}
	}
}

// forListener returns the ring for a new listener: the next one.
func (t *transport) forListener() *engine.Engine {
	for range t.rings {
		if e := t.at(int(t.turn.Add(1) % uint64(len(t.rings)))); e.Alive() {
			return e
		}
	}
	return t.at(0)
}

// forConn returns the ring for a new conn: the one with the fewest, of those
// that are not held.
func (t *transport) forConn() *engine.Engine {
	if len(t.rings) == 1 {
		return t.at(0)
	}
	t.look()
	return t.fewest(t.turn.Add(1))
}

// fewest begins to look at the ring whose turn it is.
func (t *transport) fewest(turn uint64) *engine.Engine {
	n := len(t.rings)
	if n > scanned {
		if i, k := rand.IntN(n), rand.IntN(n); t.takes(i) && t.takes(k) {
			if t.better(k, i) {
				i = k
			}
			return t.at(i)
		}
	}
	best := -1
	for k := range n {
		i := int((turn + uint64(k)) % uint64(n))
		if t.at(i).Alive() && (best < 0 || t.better(i, best)) {
			best = i
		}
	}
	return t.at(max(best, 0))
}

func (t *transport) takes(i int) bool { return t.at(i).Alive() && !t.watch.isHeld(i) }

// better reports whether a new conn should go to ring i rather than k.
func (t *transport) better(i, k int) bool {
	if hi, hk := t.watch.isHeld(i), t.watch.isHeld(k); hi != hk {
		return hk
	}
	return t.at(i).Load() < t.at(k).Load()
}

// look compares the rings' work, now and then.
func (t *transport) look() {
	now := time.Now()
	if !t.watch.due(now) {
		return
	}
	work := make([]uint64, len(t.rings))
	for i := range t.rings {
		work[i] = t.at(i).Work()
	}
	changed := t.watch.note(now, work)
	for _, s := range t.steerings() {
		for _, i := range changed {
			s.Hold(i, t.watch.isHeld(i))
		}
	}
}

func (t *transport) steerings() []*steered {
	if p := t.steered.Load(); p != nil {
		return *p
	}
	return nil
}

// loaded passes the load of a ring on. Called with a lock of the ring's held.
func (t *transport) loaded(ring, conns int) {
	for _, s := range t.steerings() {
		s.Load(ring, uint32(conns))
	}
}

// steer has s hear of the rings from now on, and of how they are.
func (t *transport) steer(s *steered) {
	t.mu.Lock()
	list := append(slices.Clone(t.steerings()), s)
	t.steered.Store(&list)
	t.mu.Unlock()
	for i := range t.rings {
		t.at(i).TellLoad()
		s.Hold(i, t.watch.isHeld(i))
	}
}

func (t *transport) unsteer(s *steered) {
	t.mu.Lock()
	list := slices.DeleteFunc(slices.Clone(t.steerings()), func(x *steered) bool { return x == s })
	t.steered.Store(&list)
	t.mu.Unlock()
	s.Detach()
}

// Place is where a conn goes that came to a socket: its ring, unless that has
// failed.
func (s *steered) Place(socket int) *engine.Engine {
	s.Accepted(socket)
	s.t.look()
	if e := s.t.at(socket); e.Alive() {
		return e
	}
	return s.t.forConn()
}

// engineError puts the engine's errors into this package's words.
func engineError(err error) error {
	if errors.Is(err, engine.ErrClosed) {
		return ErrEngineClosed
	}
	return err
}

func engineConfig(c *Config) engine.Options {
	return engine.Options{
		Entries: c.Entries,
		Gear:    engine.Mode(c.Gear), BusyPoll: c.BusyPoll, // the gears have the same order
		Direct: c.DirectWrites,
		CPU:    -1, Share: c.Rings,
	}
}

func asUnsupported(err error) error {
	if a, ok := errors.AsType[*engine.AffinityError](err); ok {
		return &ConfigError{Field: "Affinity", Value: a.CPU, Max: maxCPU, Err: a.Err}
	}
	if m, ok := errors.AsType[*engine.MissingError](err); ok {
		return &UnsupportedError{Feature: m.Feature, MinKernel: m.MinKernel, Err: m.Err}
	}
	return &UnsupportedError{Feature: "io_uring", Err: err}
}

// refused is why the ring is not even tried.
func refused(c *Config) error {
	if environ.Get().Off() {
		return errOff
	}
	return checkArch(runtime.GOARCH, c.AnyArch)
}

// checkArch refuses an architecture that the ring was not tried on, unless it
// is asked for.
func checkArch(arch string, asked bool) error {
	switch {
	case arch == "amd64", arch == "arm64", asked:
		return nil
	}
	return &UnsupportedError{Feature: "io_uring on linux/" + arch, Err: errUntried}
}

var errUntried = errors.New("the ring was not tried there, and Config.AnyArch does not ask for it")
