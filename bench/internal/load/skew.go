package load

import (
	"math/rand/v2"
	"time"

	"github.com/quoit-go/quoit/bench/internal/workload"
)

// A skewed load has busy conns, which ask as soon as they are answered, and
// paced ones, which ask in turns: each of them once while a busy conn asks
// workload.SkewTimes times. So the proportion is right at any speed.

// busyConns says which of n conns are busy. They are drawn by lot, so that no
// way to deal conns out to rings fits their order.
func busyConns(n int, seed uint64) map[int]bool {
	busy := map[int]bool{}
	for _, i := range rand.New(rand.NewPCG(seed, 0)).Perm(n)[:(n+workload.SkewEvery-1)/workload.SkewEvery] {
		busy[i] = true
	}
	return busy
}

// paced is the state of a conn that waits for its turn.
type paced struct {
	asking bool
	due    []time.Duration // turns that came while it was asking
}

// behind counts the turns that came and have not been answered.
func (p *paced) behind() int {
	if p == nil || !p.asking {
		return 0
	}
	return 1 + len(p.due)
}

func (g *generator) pace(c *conn) {
	c.paced = &paced{}
	g.paced = append(g.paced, c.starter)
}

// completed goes on after an exchange of conn i.
func (g *generator) completed(i int, now time.Duration) error {
	c := g.conns[i]
	if c.newcomer != nil {
		return g.welcomed(i, now)
	}
	p := c.paced
	if p == nil {
		if err := g.exchange(c.starter, now); err != nil {
			return err
		}
		return g.turns(now)
	}
	p.asking = false
	if len(p.due) == 0 {
		return nil
	}
	due := p.due[0]
	p.due = append(p.due[:0], p.due[1:]...)
	return g.ask(i, due)
}

// turns gives paced conns the turns that one exchange of a busy conn is worth.
func (g *generator) turns(now time.Duration) error {
	if len(g.paced) == 0 {
		return nil
	}
	g.credit += len(g.paced)
	for cost := workload.SkewTimes * (len(g.conns) - len(g.paced)); g.credit >= cost; g.credit -= cost {
		i := g.paced[g.turn]
		g.turn = (g.turn + 1) % len(g.paced)
		if err := g.ask(i, now); err != nil {
			return err
		}
	}
	return nil
}

// ask begins an exchange of the paced conn i that was due then. If the last is
// not over, it comes later, and its latency counts from when it was due.
func (g *generator) ask(i int, due time.Duration) error {
	p := g.conns[i].paced
	if p.asking {
		p.due = append(p.due, due)
		return nil
	}
	p.asking = true
	return g.exchange(i, due)
}
