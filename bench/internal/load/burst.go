package load

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/bench/internal/workload"
)

// newcomer is the state of a conn that is opened in each burst, asks some
// times and leaves.
type newcomer struct {
	later   bool // its longest later latency is recorded, not the first one
	answers int
	longest time.Duration
}

// bursts has the newcomers of a load, which all come at once.
type bursts struct {
	conns []int
	left  int // that have not left yet
	next  time.Duration
}

func (g *generator) arrive(c *conn, later bool) {
	c.newcomer = &newcomer{later: later}
	c.quiet = true // but for what the newcomer records
	g.bursts.conns = append(g.bursts.conns, c.starter)
}

// burst opens the newcomers' conns, if it is time. A conn's first latency
// counts from before its connect.
func (g *generator) burst(now time.Duration) error {
	b := &g.bursts
	if !g.measuring || len(b.conns) == 0 || b.left > 0 || now < b.next {
		return nil
	}
	b.left, b.next = len(b.conns), now+workload.BurstEvery
	for _, i := range b.conns {
		*g.conns[i].newcomer = newcomer{later: g.conns[i].newcomer.later}
		now := g.now()
		if err := g.connect(i); err != nil {
			return err
		}
		if err := g.exchange(i, now); err != nil {
			return err
		}
	}
	return nil
}

// welcomed goes on after an exchange of the newcomer i.
func (g *generator) welcomed(i int, now time.Duration) error {
	c := g.conns[i]
	n := c.newcomer
	latency := now - c.since
	if n.answers++; n.answers > 1 {
		n.longest = max(n.longest, latency)
	} else if !n.later {
		g.lat.Record(latency)
	}
	if n.answers <= workload.BurstLater {
		return g.exchange(i, now)
	}
	if n.later {
		g.lat.Record(n.longest)
	}
	g.bursts.left--
	fd := c.fd
	c.fd = -1
	return unix.Close(fd)
}
