//go:build linux

package engine

import (
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/engine/internal/gear"
	"github.com/quoit-go/quoit/engine/ring"
)

// The engines of a schedule: how they begin, shift, die and close.

// newSimEngine makes engine i of a schedule.
func newSimEngine(k *simKernel, i int) *Engine {
	r := k.addRing()
	if k.plan.ends >= endFatal && k.plan.dying>>i&1 != 0 {
		r.dies = k.base.Add(k.plan.active / time.Duration(2+i))
	}
	e := &Engine{stopped: make(chan struct{}), cfg: Options{
		Entries: k.plan.sqEntries, Gear: k.plan.gears[i], BusyPoll: k.plan.busyPoll,
	}}
	r.loop = e.attach(r)
	e.stays = k.plan.stays
	e.TellLoad()
	r.loop.wakes.most = uint64(k.plan.woken)
	var calls uint8
	for range gear.TrialCalls - 1 {
		e.gear.Count(&calls) // the first conn to count makes a trial
	}
	return e
}

func (r *simRun) pickEngine(rnd *rand.Rand) *Engine { return r.engines[rnd.IntN(len(r.engines))] }

// hasDied reports whether the ring of c has.
func (r *simRun) hasDied(c *Conn) bool {
	r.k.mu.Lock()
	defer r.k.mu.Unlock()
	return r.k.ringOf(c).dead
}

func isDeath(err error) bool {
	p, ok := errors.AsType[*PanicError](err)
	return errors.Is(err, unix.EBADF) || ok && p.Value == simPanic{}
}

// close closes the engines, and some conns with them.
func (r *simRun) close(rnd *rand.Rand) {
	now := r.moment()
	r.mu.Lock()
	r.closing = now
	conns := slices.Clone(r.conns)
	r.mu.Unlock()
	for _, u := range conns {
		u.foretell()
		if rnd.IntN(2) == 0 {
			r.start("late closer", func(*rand.Rand) { u.close() })
		}
	}
	for _, i := range rnd.Perm(len(r.engines)) {
		r.k.nap()
		r.closeEngine(r.k.rings[i])
		if rnd.IntN(3) == 0 { // others go on for a while
			r.k.clock.sleep(r.plan.upTo(rnd, 2*time.Millisecond))
		}
	}
}

func (r *simRun) closeEngine(ring *simRing) {
	e := ring.loop.e
	op := r.begin("engine close", nil, nil)
	err := e.Close()
	r.end(op, 0, err)
	if err != nil {
		r.fail("Engine.Close: %v", err)
	}
	if err := e.Close(); err != ErrClosed {
		r.fail("second Engine.Close: %v", err)
	}
	r.k.mu.Lock()
	defer r.k.mu.Unlock()
	if !ring.done {
		r.fail("Engine.Close returned before the ring was closed")
	}
}

// checkEnd looks at what is left of an engine.
func (k *simRing) checkEnd() {
	e := k.loop.e
	if err := e.dead.Load(); err == nil {
		k.fail("a closed engine is not dead")
	} else if *err != ErrClosed && !(k.dead && isDeath(*err)) {
		var stack string
		if p, ok := errors.AsType[*PanicError](*err); ok {
			stack = string(p.Stack)
		}
		k.fail("the engine died: %v\n%s", *err, stack)
	} else if *err != ErrClosed {
		k.hit("engine died")
	}
	for i := range k.loop.slots.all {
		if n := k.loop.slots.all[i].n; n != nil && n != &k.loop.wake && !k.dead {
			k.fail("slot %d is still taken, by %T", i, n.h)
		}
	}
	if n := e.conns.n + len(e.listeners); n > 0 {
		k.fail("%d conns and listeners are still listed", n)
	}
	if n := e.stats.BusyReads.Load(); n > 0 {
		k.hit("a Read found something by looking")
	}
	if e.busy.Load() {
		k.fail("nobody looks, and nobody else may")
	}
}

// flip shifts gears, of each engine by itself, and has Reads look.
func (r *simRun) flip(rnd *rand.Rand) {
	for range 5 + rnd.IntN(30) {
		r.pause(rnd)
		i := rnd.IntN(len(r.engines))
		e := r.engines[i]
		if r.plan.gears[i] != gear.Auto {
			continue
		}
		if rnd.IntN(8) == 0 {
			e.gear.Look(rnd.IntN(2) == 0)
		}
		hot := rnd.IntN(3) > 0
		if e.Hot() != hot {
			r.hit(map[bool]string{true: "shifted up", false: "shifted down"}[hot])
		}
		e.gear.Shift(hot)
		r.mu.Lock()
		conns := r.conns
		r.mu.Unlock()
		for _, u := range conns {
			u.c.mu.Lock()
			if u.c.e == e && u.c.poll.isArmed() && !hot {
				r.hit("receive armed on a cold engine")
			}
			u.c.mu.Unlock()
		}
		r.add("shift of engine %d, hot %v", i, hot)
	}
}

// noteAcross counts a relayed send that goes to another engine. Called with mu held.
func (k *simKernel) noteAcross(f *simForward) {
	src, dst := f.src.c.e, f.dst.c.e
	if src == dst {
		return
	}
	k.hit("relayed to another engine")
	if src.Hot() != dst.Hot() {
		k.hit("relayed to an engine in the other gear")
	}
	if f.relays > 0 && dst.gear.Changes() != f.changes {
		k.hit("a shift of the other engine beside a relay")
	}
	f.changes = dst.gear.Changes()
}

// look notes that the engine has looked for completions, and lets time pass if it may
// be spinning. Engine thread, without a lock.
func (k *simRing) look() {
	k.mu.Lock()
	k.looked++
	spins := k.looked > 1
	d := time.Duration(0)
	if k.plan.busyPoll > 0 {
		d = time.Microsecond + k.plan.upTo(k.rnd, k.plan.busyPoll/4)
	}
	k.mu.Unlock()
	if spins {
		k.mayPanic(3)
	}
	k.clock.sleep(d)
}

// lookedFor notes how a spin ended. Called with mu held, on the engine's goroutine.
func (k *simRing) lookedFor(what string) {
	if k.looked > 1 {
		k.hit(what)
	}
	k.looked = 0
}

// mayPanic is one of four places where the engine may panic.
func (k *simRing) mayPanic(place int) {
	k.mu.Lock()
	die := k.plan.ends == endPanic && k.plan.place == place && k.dying()
	k.mu.Unlock()
	if die {
		panic(simPanic{})
	}
}

// sentAll reports whether a batch was sent whole, of which the engine can still learn
// when the ring fails. Called with mu and that of the conn held.
func (k *simRing) sentAll(c *Conn) bool {
	return k.plan.ends == endFatal && c.state == inRing && slices.ContainsFunc(k.cq, func(e ring.CQE) bool {
		return e.UserData == k.loop.slots.userData(&c.node, kindSend) && int(e.Res) == len(c.flight.b)
	})
}

// dying ends the ring when its time has come. Called with mu held, on the engine's
// goroutine.
func (k *simRing) dying() bool {
	if k.dead || k.dies.IsZero() || time.Now().Before(k.dies) || k.percent(50) {
		return false
	}
	k.add("ring %d dies", k.id)
	k.dead = true
	k.noteDeath()
	for _, s := range k.socks {
		c := s.conn
		if c == nil || c.e != k.loop.e {
			continue
		}
		if c.mu.TryLock() {
			s.ringLost = s.ringLost || c.state != landed && !k.sentAll(c)
			c.mu.Unlock()
		} else {
			s.ringLost = true // the engine is about to send for it, maybe
		}
	}
	for _, r := range k.loop.relays.taken {
		if r := r.(*relay); len(r.part) > 0 {
			k.files[r.dst.fd].ringLost = true
		}
	}
	return true
}

// noteDeath counts what the ring died in. Called with mu held.
func (k *simRing) noteDeath() {
	e := k.loop.e
	if k.looked > 1 {
		k.hit("died while the thread looked")
	}
	if e.busy.Load() {
		k.hit("died while a Read looked")
	}
	if slices.ContainsFunc(k.rings, func(r *simRing) bool { return r != k && !r.dead }) {
		k.hit("died, and another ring has not")
	}
	for _, s := range k.socks {
		if s.sending && s.conn.e == e {
			k.hit("died beside SendFile")
		}
		f := s.forward
		if f == nil || f.src.c.e == f.dst.c.e {
			continue
		}
		switch e {
		case f.src.c.e:
			k.hit("died forwarding to another engine")
		case f.dst.c.e:
			k.hit("died forwarded to by another engine")
		}
	}
}

// mayLook lets time pass for a Read that has found nothing and may look again at
// once. Called without a lock.
func (k *simKernel) mayLook(s *simSock) {
	k.mu.Lock()
	c := s.conn
	d := time.Microsecond + k.plan.upTo(k.rnd, 20*time.Microsecond)
	k.mu.Unlock()
	if c != nil && c.e.busy.Load() {
		k.clock.sleep(d)
	}
}
