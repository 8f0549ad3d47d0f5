//go:build linux

package behaviour

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
)

// TestBehaviourRandom runs programs that a seed decides: a few dozen calls of one or two
// conns, of their peers and of a listener. The outcome of each call follows from the
// program: whatever a call depends on has arrived before it begins.
//
// QUOIT_RANDOM is the number of programs, QUOIT_RANDOM_SEED the first seed: without
// QUOIT_RANDOM, the only one. A failure names its seed, and the steps without which it
// does not fail.
func TestBehaviourRandom(t *testing.T) {
	n := 150
	if testing.Short() || testenv.Race {
		n = 40
	}
	first := uint64(1)
	if os.Getenv("QUOIT_RANDOM_SEED") != "" {
		n, first = 1, uint64(randomEnv(t, "QUOIT_RANDOM_SEED"))
	}
	if os.Getenv("QUOIT_RANDOM") != "" {
		n = randomEnv(t, "QUOIT_RANDOM")
	}
	impls := []*impl{quoitImpl}
	if !enginetest.Forced() {
		for _, gear := range allGears {
			impls = append(impls, gearImpl(t, gear))
		}
	}
	var next, ran atomic.Int64
	var wg sync.WaitGroup
	for range 4 { // programs wait much of their time
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n) && !t.Failed(); i = next.Add(1) - 1 {
				seed := first + uint64(i)
				randomSeed(t, impls[seed%uint64(len(impls))], seed)
				ran.Add(1)
			}
		})
	}
	wg.Wait()
	t.Logf("%d programs, from seed %d on", ran.Load(), first)
}

func randomEnv(t *testing.T, name string) int {
	n, err := strconv.Atoi(os.Getenv(name))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// program is what one seed makes.
type program struct {
	network, side string
	second        string // the network of the second pair, if there is one
	steps         []randomStep
}

// randomStep is one call, or some that belong together. What n, m and k mean is the
// operation's to say.
type randomStep struct {
	op      *randomOp
	on      int // number of the pair
	n, m, k int
}

func (p program) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s, second pair %q\n", p.network, p.side, p.second)
	for i, st := range p.steps {
		fmt.Fprintf(&b, "  %2d pair %d: %s n=%d m=%d k=%d\n", i, st.on, st.op.name, st.n, st.m, st.k)
	}
	return b.String()
}

// randomOp does something to a pair, and records it, unless it makes no sense there.
type randomOp struct {
	name     string
	weight   int
	networks string // "tcp", "unix", or "" for both
	f        func(x *randomRun, p *randomPair, st randomStep)
}

func newProgram(seed uint64) program {
	r := rand.New(rand.NewPCG(seed, 0))
	networks := strings.Fields(allStreams)
	p := program{network: networks[r.IntN(3)], side: []string{"server", "client"}[r.IntN(2)]}
	if r.IntN(3) > 0 {
		p.second = networks[r.IntN(3)]
	}
	sum := 0
	for _, op := range randomOps {
		sum += op.weight
	}
	for range 10 + r.IntN(31) {
		at := r.IntN(sum)
		i := 0
		for ; at >= randomOps[i].weight; i++ {
			at -= randomOps[i].weight
		}
		st := randomStep{op: &randomOps[i], n: r.IntN(6), m: r.IntN(1 << 20), k: r.IntN(1 << 20)}
		if r.IntN(3) == 0 {
			st.on = 1
		}
		p.steps = append(p.steps, st)
	}
	return p
}

// randomSeed compares the program of a seed, and looks for what of it fails.
func randomSeed(t *testing.T, im *impl, seed uint64) {
	p := newProgram(seed)
	want, got := runProgram(t, im, p)
	if firstDifference(want, got) < 0 {
		if os.Getenv("QUOIT_TRACE") != "" {
			t.Logf("%s%s", p, strings.Join(want, "\n"))
		}
		return
	}
	t.Errorf("seed %d, %s", seed, im.name)
	report(t, p, want, got)
	again := 0
	for range 3 {
		if w, g := runProgram(t, im, p); firstDifference(w, g) >= 0 {
			again++
		}
	}
	t.Logf("seed %d fails again %d times of 3", seed, again)
	if again < 2 {
		return
	}
	for end := time.Now().Add(testenv.Bound); time.Now().Before(end); {
		before := len(p.steps)
		for i := len(p.steps) - 1; i >= 0 && time.Now().Before(end); i-- {
			less := p
			less.steps = append(append([]randomStep(nil), p.steps[:i]...), p.steps[i+1:]...)
			if w, g := runProgram(t, im, less); firstDifference(w, g) >= 0 {
				p, want, got = less, w, g
			}
		}
		if len(p.steps) == before {
			break
		}
	}
	t.Logf("seed %d, without what it does not need:", seed)
	report(t, p, want, got)
}

// firstDifference is the first line on which the traces differ, or -1.
func firstDifference(want, got []string) int {
	for i := range max(len(want), len(got)) {
		if lineAt(want, i) != lineAt(got, i) {
			return i
		}
	}
	return -1
}

func report(t *testing.T, p program, want, got []string) {
	i := firstDifference(want, got)
	before := want[max(0, min(i, len(want))-12):min(i, len(want))]
	t.Logf("%s...\n%s\nline %d\n  net:   %s\n  quoit: %s", p, strings.Join(before, "\n"), i, lineAt(want, i), lineAt(got, i))
}

func runProgram(t *testing.T, im *impl, p program) (want, got []string) {
	var wg sync.WaitGroup
	run := func(s *scene) { (&randomRun{scene: s}).run(p) }
	wg.Go(func() { want = runScene(t, netImpl, p.network, p.side, run) })
	wg.Go(func() { got = runScene(t, im, p.network, p.side, run) })
	wg.Wait()
	return want, got
}

// randomRun is a program that runs.
type randomRun struct {
	*scene
	label string // of the step
	pairs [2]*randomPair
	sent  int // bytes made by data

	ln      listener
	dialers []net.Conn // in its queue
	early   []bool     // whether they have sent something
	past    bool       // the listener's deadline
}

func (x *randomRun) run(p program) {
	x.pairs[0] = x.newPair(p.network)
	if p.second != "" {
		x.pairs[1] = x.newPair(p.second)
	}
	for i, st := range p.steps {
		pair := x.pairs[st.on]
		if pair == nil {
			pair = x.pairs[0]
		}
		if pair.lost || st.op.networks != "" && st.op.networks != strings.TrimRight(pair.network, "46") {
			continue
		}
		x.use(pair)
		x.label = fmt.Sprintf("%2d %s", i, st.op.name)
		st.op.f(x, pair, st)
	}
	for _, pair := range x.pairs {
		if pair == nil || pair.lost {
			continue
		}
		x.use(pair)
		x.label = "end"
		x.closeFiles(pair)
		if !pair.closed {
			x.close(pair)
		}
		x.drainPeer(pair)
	}
}

// data returns bytes that differ from those of all other calls.
func (x *randomRun) data(n int) []byte {
	x.sent += n
	return pattern(x.sent)[x.sent-n:]
}

// trace records what a call returned.
func (x *randomRun) trace(what, format string, args ...any) {
	x.rec(x.label+strings.TrimRight(" "+what, " "), format, args...)
}

// do records what f returns, which should not wait.
func (x *randomRun) do(what string, f func() string) {
	c := x.start(f)
	if r := c.wait(); r != stillBlocked {
		x.trace(what, "%s", r)
		return
	}
	x.fatal(x.label, " ", what, " does not return")
}

const stillBlocked = "STILL BLOCKED"
