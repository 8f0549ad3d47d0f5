package main

import (
	"math"
	"strings"
)

// policy picks a ring for each new conn.
type policy struct {
	name, about string
	pick        func(*server, *conn) int
	hold        bool // no conns for rings with much work
}

const holdSuffix = "+hold"

const defaultPolicies = "hash,cpu,random,round-robin,source-slots,source-rendezvous," +
	"least,scan-stale,p2c-stale,p2c-bump,least-work,p2c-work," +
	"hash+hold,source-slots+hold,least+hold,p2c-bump+hold"

var policies = []policy{
	{name: "hash", about: "the kernel's hash of addresses and ports", pick: byHash},
	{name: "cpu", about: "the CPU of the receive queue (-queues), by the card's hash", pick: byCPU},
	{name: "random", about: "a ring at random", pick: atRandom},
	{name: "round-robin", about: "one after the other", pick: inTurn},
	{name: "source-slots", about: "a table of 1024 slots, by a hash of the source", pick: bySlot},
	{name: "source-rendezvous", about: "the ring with the highest hash of ring and source", pick: byRendezvous},
	{name: "least", about: "fewest conns: one acceptor, or a scan of bumped counters", pick: leastConns},
	{name: "scan-stale", about: "fewest accepted conns, counted without a bump", pick: leastShown},
	{name: "p2c-stale", about: "of two at random, the one with fewer accepted conns", pick: lighterShown},
	{name: "p2c-bump", about: "of two at random, the one with fewer conns, by a bumped counter", pick: lighterConns},
	{name: "least-work", about: "least work as published each second, bumped by the mean", pick: leastWork},
	{name: "p2c-work", about: "of two at random, the one with less work, bumped likewise", pick: lighterWork},
}

func findPolicy(name string) (policy, bool) {
	base, hold := strings.CutSuffix(name, holdSuffix)
	for _, p := range policies {
		if p.name == base {
			p.name, p.hold = name, hold
			return p, true
		}
	}
	return policy{}, false
}

// mix is the finalizer of splitmix64.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// scale maps a hash to 0 to n-1, as the kernel's reciprocal_scale does.
func scale(hash uint32, n int) int { return int(uint64(hash) * uint64(n) >> 32) }

// unless returns r, or another ring in as many cases as r's weight is short of
// fullWeight, by the hash.
func (s *server) unless(r int, hash uint32) int {
	if w := s.weight[r]; w == fullWeight || int64(s.rng.IntN(fullWeight)) < w {
		return r
	}
	return s.open[scale(uint32(mix(uint64(hash))), len(s.open))]
}

func byHash(s *server, c *conn) int { return s.unless(scale(c.hash, s.Rings), c.hash) }

// byCPU uses another hash than the kernel's. Rings without a queue get none.
func byCPU(s *server, c *conn) int {
	queue := scale(uint32(mix(s.Seed^uint64(c.hash)<<20)), s.Queues)
	return s.unless(queue%s.Rings, c.hash)
}

func atRandom(s *server, _ *conn) int { return s.open[s.rng.IntN(len(s.open))] }

func inTurn(s *server, _ *conn) int {
	s.turn++
	return s.open[s.turn%len(s.open)]
}

const minSlots = 1024

func bySlot(s *server, c *conn) int {
	hash := uint32(mix(uint64(c.source)))
	return s.unless(scale(hash, max(minSlots, s.Rings))%s.Rings, hash)
}

// byRendezvous keeps the ring of a source once it is known.
func byRendezvous(s *server, c *conn) int {
	if s.found == nil {
		s.found = make([]int32, s.Sources)
	}
	if s.found[c.source] == 0 {
		best, highest := 0, uint64(0)
		for r := range s.Rings {
			if h := mix(uint64(r)<<32 | uint64(c.source)); h >= highest {
				best, highest = r, h
			}
		}
		s.found[c.source] = int32(best) + 1
	}
	return s.unless(int(s.found[c.source])-1, uint32(mix(uint64(c.source))))
}

func leastConns(s *server, _ *conn) int { return s.least(s.count) }
func leastShown(s *server, _ *conn) int { return s.least(s.shown) }
func leastWork(s *server, _ *conn) int  { return s.least(s.expected) }

// least returns the first of the open rings with the least load.
func (s *server) least(load []int64) int {
	best, lowest := 0, int64(math.MaxInt64)
	if len(s.open) == len(load) { // the same, faster
		for r, l := range load {
			if l < lowest {
				best, lowest = r, l
			}
		}
		return best
	}
	for _, r := range s.open {
		if load[r] < lowest {
			best, lowest = r, load[r]
		}
	}
	return best
}

func lighterShown(s *server, _ *conn) int { return s.lighter(s.shown) }
func lighterConns(s *server, _ *conn) int { return s.lighter(s.count) }
func lighterWork(s *server, _ *conn) int  { return s.lighter(s.expected) }

// lighter returns one of two open rings: that with less load for its weight,
// or the first.
func (s *server) lighter(load []int64) int {
	n := len(s.open)
	if n == 1 {
		return s.open[0]
	}
	i := s.rng.IntN(n)
	j := (i + 1 + s.rng.IntN(n-1)) % n
	a, b := s.open[i], s.open[j]
	if load[b]*s.weight[a] < load[a]*s.weight[b] {
		return b
	}
	return a
}
