//go:build linux

package engine

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/engine/internal/gear"
	"github.com/quoit-go/quoit/internal/testenv"
)

// TestSim runs the engine on a simKernel through schedules that a seed
// decides, and compares what callers see with a model of package net.
//
// QUOIT_SIM is the number of schedules, QUOIT_SIM_SEED the first seed. A
// failure names its seed; without -race one that is no multiple of eight comes
// again, three times out of four (the rest is the Go scheduler's).
func TestSim(t *testing.T) {
	n := 5000
	if testing.Short() {
		n = 500
	}
	if testenv.Race {
		n /= 5
	}
	procs := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(procs)
	defer debug.SetGCPercent(debug.SetGCPercent(1600)) // schedules leave little, and much of it is garbage
	// The engine makes its channels here, in the simulation's bubble.
	bubbled := inBubble
	inBubble = func() bool { return false }
	defer func() { inBubble = bubbled }()
	first := uint64(1)
	if s := os.Getenv("QUOIT_SIM_SEED"); s != "" {
		n = 1
		first = uint64(simEnv(t, "QUOIT_SIM_SEED"))
	}
	if os.Getenv("QUOIT_SIM") != "" {
		n = simEnv(t, "QUOIT_SIM")
	}
	hits := map[string]int{}
	done := 0
	for seed := first; seed < first+uint64(n) && !t.Failed(); seed++ {
		// One processor makes a seed repeatable; with more, which take twice as long,
		// goroutines meet where no call of the kernel's lets them, too.
		switch seed % 16 {
		case 0:
			runtime.GOMAXPROCS(2)
		case 8:
			runtime.GOMAXPROCS(4)
		default:
			runtime.GOMAXPROCS(1)
		}
		simulate(t, seed, hits)
		done++
	}
	for least, states := range map[int][]string{1000: simStates, 5000: simRare, 20000: simScarce} {
		for _, what := range states {
			if hits[what] == 0 && n >= least && !t.Failed() {
				t.Errorf("no schedule came to: %s", what)
			}
		}
	}
	for _, what := range slices.Sorted(maps.Keys(hits)) {
		t.Logf("%6d %s", hits[what], what)
	}
	t.Logf("%d schedules, from seed %d on", done, first)
}

// simStates are what a thousand schedules must meet for the test to be worth
// its time.
var simStates = []string{
	"submission queue full", "enter refused", "short submit", "overflow",
	"multishot ended by a full queue", "cancel too late", "cancel missed", "cancel overtaken",
	"cancelled POLL_ADD", "cancelled SEND",
	"send failed", "short send", "poll refused", "accept without descriptors",
	"buffers", "read deadline", "write deadline", "accept deadline", "read reset", "partial write",
	"parked Read met Close", "parked Write met Close", "parked Accept met Close",
	"Close with unread bytes", "engine died",
	"late for the reader", "netpoller wakes for nothing", "netpoller wait ended", "netpoller wait for an edge",
	"relayed", "relayed to itself", "relayed by one call", "relayed send was short", "relayed send failed",
	"spliced", "no pipe", "splice waits for a Write",
	"batch in the ring", "batch by hand", "batch reset", "send is stuck", "flush waits", "drain waits",
	"Write accepted", "Close left a send stuck",
	"accept", "duplicated",
	"deadline without a ring", "thread begins again",
	"receive armed on a cold engine", "shifted up", "shifted down", "wakes left",
	"SendFile sent", "SendFile waits", "partial SendFile", "SendFile left to the caller", "sendfile deadline",
	"SendFile drains",
	"the thread found something by looking", "the thread looked in vain", "a Read found something by looking",
	"died, and another ring has not", "relayed to another engine",
	"relayed to an engine in the other gear", "spliced to another engine",
	"died forwarding to another engine", "died forwarded to by another engine",
}

// simRare are for five thousand, simScarce for twenty: a state has to come up ten times
// in as many, for which schedules are met depends on the scheduler.
var (
	simRare = []string{
		"gave up a stuck send", "relayed without a wake-up", "write told what the ring lost",
		"forward told what the ring lost", "FIN put off",
		"died while the thread looked", "died beside SendFile", "a shift of the other engine beside a relay",
	}
	simScarce = []string{
		"Close told a reset", "read told what the ring lost", "duplicated beside a stuck send",
		"died while a Read looked",
	}
)

func simEnv(t *testing.T, name string) int {
	n, err := strconv.Atoi(os.Getenv(name))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// simLog is the trace of a schedule, and its failure.
type simLog struct {
	seed uint64
	base time.Time

	mu     sync.Mutex
	events []simEvent
	hits   map[string]int
	failed string
}

type simEvent struct {
	at     time.Duration
	format string
	args   []any
}

const simTrace = 300

func (g *simLog) add(format string, args ...any) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.events) >= 2*simTrace {
		g.events = append(g.events[:0], g.events[simTrace:]...)
	}
	g.events = append(g.events, simEvent{time.Since(g.base), format, args})
}

// hit counts that a schedule came to something.
func (g *simLog) hit(what string) {
	g.mu.Lock()
	g.hits[what]++
	g.mu.Unlock()
}

// fail notes the first failure and the trace up to it.
func (g *simLog) fail(format string, args ...any) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.failed != "" {
		return
	}
	var b strings.Builder
	for _, e := range g.events[max(0, len(g.events)-simTrace):] {
		fmt.Fprintf(&b, "%12v  %s\n", e.at, fmt.Sprintf(e.format, e.args...))
	}
	again := "" // how it comes again: a scenario, or what a fuzzer made, always does
	if g.seed != 0 {
		again = fmt.Sprintf("QUOIT_SIM_SEED=%d: ", g.seed)
	}
	g.failed = fmt.Sprintf("%s%s\n%s", again, fmt.Sprintf(format, args...), b.String())
}

func (g *simLog) failure() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.failed
}

// simPlan is what a seed makes of a schedule.
type simPlan struct {
	piece, sndBuf        int // bytes: what peers send at once; the socket's
	room                 simRoom
	rings                int    // engines
	gears                []Mode // theirs
	flips                bool   // others shift
	busyPoll             time.Duration
	busy                 bool // the engine seldom sleeps
	chatty               bool // conns do little else than read and write
	sqEntries, cqEntries int
	woken                int // make the engine full
	tcp, reuse           bool
	forwards             int  // percent of what readers do
	tunnel               bool // peers go on for long
	bulk                 bool // and send much at once
	yields, naps, chaos  int  // percent
	grain                time.Duration
	adopted, incoming    int // conns
	ends                 simEnd
	place                int // of the panic
	dying                int // bit per ring that fails
	active               time.Duration
	stays                time.Duration // the thread, without a conn
}

// simRoom is what SendRoom says.
type simRoom int

const (
	roomSmall  simRoom = iota // that there is none, which is about true
	roomHonest                // the truth, of a large buffer
	roomLie                   // that a small buffer is large
)

type simEnd int

const (
	endQuiet simEnd = iota // everyone comes to rest, then the engine closes
	endHurry               // it closes in the middle
	endFatal               // the ring fails
	endPanic               // the engine panics
)

func newSimPlan(rnd *rand.Rand) *simPlan {
	pick := func(of ...int) int { return of[rnd.IntN(len(of))] }
	p := &simPlan{
		piece: pick(16, 64, 256, 256), sndBuf: pick(16, 300, 3000),
		sqEntries: pick(1, 2, 8, 64), cqEntries: pick(2, 4, 16, 128),
		tcp: rnd.IntN(5) > 0, reuse: rnd.IntN(3) > 0,
		yields: pick(0, 10, 50), naps: pick(0, 20, 50), chaos: pick(0, 50, 100, 200),
		grain:   []time.Duration{1, 50 * time.Microsecond, time.Millisecond}[rnd.IntN(3)],
		adopted: rnd.IntN(5), incoming: rnd.IntN(8),
		ends:   []simEnd{endQuiet, endQuiet, endQuiet, endHurry, endHurry, endFatal, endPanic}[rnd.IntN(7)],
		place:  rnd.IntN(4),
		active: time.Duration(5+rnd.IntN(40)) * time.Millisecond,
		room:   []simRoom{roomSmall, roomHonest, roomHonest, roomLie, roomLie}[rnd.IntN(5)],
		rings:  pick(1, 1, 2, 3),
	}
	for range p.rings {
		p.gears = append(p.gears, []Mode{gear.Ring, gear.Ring, gear.Poll, gear.Auto, gear.Auto, gear.Auto}[rnd.IntN(6)])
	}
	p.busy, p.chatty, p.woken = rnd.IntN(2) == 0, rnd.IntN(2) == 0, pick(1, 2, mostWoken)
	p.flips = slices.Contains(p.gears, gear.Auto) && rnd.IntN(6) > 0
	if rnd.IntN(3) == 0 {
		p.busyPoll = p.upTo(rnd, 300*time.Microsecond) + time.Microsecond
	}
	p.dying = 1 + rnd.IntN(1<<p.rings-1)
	p.forwards = pick(0, 0, 30, 80)
	p.tunnel = p.forwards > 0 && rnd.IntN(2) == 0
	p.bulk = p.tunnel && rnd.IntN(6) == 0
	p.stays = []time.Duration{0, 100 * time.Microsecond, 2 * time.Millisecond, lingerTime}[rnd.IntN(4)]
	switch p.room {
	case roomHonest:
		p.sndBuf = pick(45_000, 60_000, 100_000)
	case roomLie:
		p.sndBuf = pick(16, 300, 3000, 20_000)
	}
	return p
}

// simRun is one schedule.
type simRun struct {
	*simLog
	k       *simKernel
	engines []*Engine
	plan    *simPlan

	mu      sync.Mutex
	seq     int64
	ops     map[*simOp]bool // in progress
	conns   []*simConn
	live    int       // goroutines
	closing simMoment // of the engine
}

func simulate(t *testing.T, seed uint64, hits map[string]int) {
	log := &simLog{seed: seed, hits: hits}
	stuck := time.AfterFunc(30*time.Second, func() {
		log.fail("it hangs, most likely in a mutex")
		_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 2)
		panic(log.failure())
	})
	defer stuck.Stop()
	synctest.Test(t, func(t *testing.T) {
		log.base = time.Now()
		r := newSimRun(t, log)
		r.run()
		if f := log.failure(); f != "" {
			t.Error(f)
		}
	})
}

func newSimRun(t *testing.T, log *simLog) *simRun {
	rnd := rand.New(rand.NewPCG(log.seed, 0))
	plan := newSimPlan(rnd)
	log.add("%+v", *plan)
	k := newSimKernel(log, plan)
	k.moved = log.base
	r := &simRun{simLog: log, k: k, plan: plan, ops: map[*simOp]bool{}}
	for i := range plan.rings {
		r.engines = append(r.engines, newSimEngine(k, i))
	}
	return r
}

func (r *simRun) run() {
	for _, ring := range r.k.rings {
		r.start("engine", func(*rand.Rand) { ring.loop.run(nil) })
	}
	r.start("listener", r.listen)
	for range r.plan.adopted {
		r.start("adopted", r.adopt)
	}
	if r.plan.flips {
		r.start("flipper", r.flip)
	}
	r.k.clock.sleep(r.plan.active)
	r.k.mu.Lock()
	r.k.calm = true
	r.k.mu.Unlock()
	if r.plan.ends != endHurry {
		// Every delay and deadline is shorter than this.
		r.k.clock.sleep(10 * time.Second)
		synctest.Wait()
		r.checkRest()
		r.k.clock.sleep(2 * closeTime)
		synctest.Wait()
		r.checkClosed()
	}
	r.start("closer", r.close)
	r.k.clock.sleep(time.Hour)
	synctest.Wait()
	r.k.clock.stop()
	r.checkEnd()
}

// start runs f in the bubble, with a rand of its own.
func (r *simRun) start(name string, f func(*rand.Rand)) {
	r.mu.Lock()
	r.live++
	r.seq++
	rnd := rand.New(rand.NewPCG(r.seed, uint64(r.seq)<<8))
	r.mu.Unlock()
	go func() {
		defer func() {
			if v := recover(); v != nil {
				r.fail("%s panics: %v\n%s", name, v, debug.Stack())
			}
			r.mu.Lock()
			r.live--
			r.mu.Unlock()
		}()
		f(rnd)
	}()
}

// simMoment orders what happens.
type simMoment struct {
	seq int64 // 0: never
	at  time.Time
}

func (m simMoment) is() bool                { return m.seq != 0 }
func (m simMoment) before(o simMoment) bool { return m.is() && m.seq < o.seq }

func (r *simRun) moment() simMoment {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seq++
	return simMoment{r.seq, time.Now()}
}

// simOp is a call of a user.
type simOp struct {
	name     string
	u        *simConn // nil: not on a conn
	from, to simMoment
	shared   bool          // before it began others could reach the socket
	why      func() string // why it should go on, if it should
}

// begin notes that a call is made, which ends by itself or has a why.
func (r *simRun) begin(name string, u *simConn, why func() string) *simOp {
	if why == nil {
		why = func() string { return "nothing keeps it" }
	}
	op := &simOp{name: name, u: u, from: r.moment(), why: why}
	r.mu.Lock()
	r.ops[op] = true
	r.mu.Unlock()
	if u != nil {
		u.calls.Add(1)
		op.shared = u.isShared()
		r.add("socket %d: %s ...", u.s.id, name)
	}
	return op
}

func (r *simRun) end(op *simOp, n int, err error) {
	op.to = r.moment()
	r.mu.Lock()
	delete(r.ops, op)
	r.mu.Unlock()
	if op.u != nil {
		r.add("socket %d: ... %s returns %d, %v", op.u.s.id, op.name, n, err)
	} else {
		r.add("%s returns %d, %v", op.name, n, err)
	}
}

// pause lets time pass before the next operation.
func (r *simRun) pause(rnd *rand.Rand) {
	if rnd.IntN(3) > 0 {
		r.k.clock.sleep(r.plan.upTo(rnd, 2*time.Millisecond))
	}
}

// upTo is a random time below d. With a coarse grain much happens at once.
func (p *simPlan) upTo(rnd *rand.Rand, d time.Duration) time.Duration {
	return time.Duration(rnd.Int64N(int64(d + p.grain))).Truncate(p.grain)
}

func (r *simRun) engineClosing() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closing.is()
}

// checkRest looks for calls that sleep though they could go on, when nothing
// moves any more.
func (r *simRun) checkRest() {
	for op := range r.ops {
		if why := op.why(); why != "" {
			r.fail("%s of %v sleeps, but %s", op.name, op.u, why)
		}
	}
	r.checkUnsent()
	for _, ring := range r.k.rings {
		if n := ring.SQPending(); n > 0 && !ring.dead && !ring.done {
			r.fail("%d requests were never submitted", n)
		}
	}
}

// checkEnd looks at what is left over.
func (r *simRun) checkEnd() {
	r.mu.Lock()
	live, conns := r.live, r.conns
	for op := range r.ops {
		r.fail("%s of %v never returned", op.name, op.u)
	}
	r.mu.Unlock()
	if live > 0 {
		r.fail("%d goroutines never ended", live)
	}
	if r.k.pipes != 0 {
		r.fail("%d pipes were never given back", r.k.pipes)
	}
	for fd, s := range r.k.files {
		r.fail("fd %d of socket %d was never closed", fd, s.id)
	}
	for _, ring := range r.k.rings {
		ring.checkEnd()
	}
	for _, s := range r.k.socks {
		// A closing engine resets what comes out of Accept too late.
		if s.accepted && !s.returned && s.closed {
			if r.hit("accepted too late"); r.plan.ends != endHurry || !s.sentRST {
				r.fail("socket %d was accepted, and not returned by Accept; RST %v", s.id, s.sentRST)
			}
		}
	}
	for _, u := range conns {
		u.checkEnd()
	}
	if live > 0 {
		panic(r.failure()) // the bubble could not end
	}
}

// adopt runs a conn that was connected elsewhere.
func (r *simRun) adopt(rnd *rand.Rand) {
	r.pause(rnd)
	if rnd.IntN(3) == 0 {
		r.k.clock.sleep(r.plan.upTo(rnd, r.plan.active))
	}
	r.k.mu.Lock()
	s := r.k.socket(r.plan.tcp)
	fd := r.k.install(s)
	r.k.mu.Unlock()
	r.own(rnd, fd)
}

// own makes a conn of fd.
func (r *simRun) own(rnd *rand.Rand, fd int) {
	r.k.mu.Lock()
	s := r.k.files[fd]
	r.k.mu.Unlock()
	c := &Conn{e: r.pickEngine(rnd), descriptor: descriptor{fd: fd}, tcp: s.tcp}
	if err := c.e.open(c); err != nil {
		_ = c.closeFD()
		if err != ErrClosed || !r.engineClosing() {
			r.fail("open: %v", err)
		}
		return
	}
	r.use(rnd, c, s)
}

// listen runs a listener and what it accepts.
func (r *simRun) listen(rnd *rand.Rand) {
	r.k.mu.Lock()
	s := r.k.socket(true)
	s.listening = true
	fd := r.k.install(s)
	r.k.mu.Unlock()
	place := func(int) *Engine {
		r.k.mu.Lock()
		defer r.k.mu.Unlock()
		return r.pickEngine(r.k.rnd)
	}
	l, err := r.pickEngine(rnd).NewListener(fd, r.plan.tcp, place, func() error { return r.k.CloseFD(fd) })
	if err != nil {
		if !errors.Is(err, unix.EMFILE) && (err != ErrClosed || !r.engineClosing()) {
			r.fail("NewListener: %v", err)
		}
		_ = r.k.CloseFD(fd)
		return
	}
	u := &simListener{r: r, l: l, s: s}
	r.start("caller", u.knock)
	r.start("accepter", u.accept)
	for range rnd.IntN(3) {
		r.start("listener's meddler", u.meddle)
	}
}
