//go:build linux

package engine

import (
	"bytes"
	"math/rand/v2"
)

// simStream is what one side of a socket sends: each stream is cut from one of two
// tables, at a place of its own, and again from the table's start at its end.
type simStream struct {
	table *simTable
	start int
}

// A prime, so that no size of a buffer or a socket has the same bytes come again.
type simTable [65521]byte

// A byte from a peer says so, also where it is forwarded to another one.
const simFromPeer = 0x80

var simPeers, simOwn = newSimTables()

func newSimTables() (peers, own *simTable) {
	peers, own = new(simTable), new(simTable)
	rnd := rand.NewChaCha8([32]byte{})
	_, _ = rnd.Read(peers[:])
	_, _ = rnd.Read(own[:])
	for i := range peers {
		peers[i] |= simFromPeer
		own[i] &^= simFromPeer
	}
	return peers, own
}

func (s *simSock) in() simStream  { return simStream{simPeers, s.id * 40503} }
func (s *simSock) out() simStream { return simStream{simOwn, s.id * 40503} }

// fill has p be what is at off of the stream.
func (st simStream) fill(p []byte, off int) {
	for len(p) > 0 {
		n := copy(p, st.table[(st.start+off)%len(st.table):])
		p, off = p[n:], off+n
	}
}

// simPoison is what a slice is full of when its call has returned.
var simPoison = bytes.Repeat([]byte{0xA5}, 4096)

func poison(p []byte) {
	for len(p) > 0 {
		p = p[copy(p, simPoison):]
	}
}

func isPoisoned(p []byte) bool { return bytes.Count(p, simPoison[:1]) == len(p) }

// wrong returns the first of p that is not what is at off of the stream, or -1.
func (st simStream) wrong(p []byte, off int) int {
	for at := 0; at < len(p); {
		want := st.table[(st.start+off+at)%len(st.table):]
		want = want[:min(len(want), len(p)-at)]
		if got := p[at : at+len(want)]; !bytes.Equal(got, want) {
			for i := range got {
				if got[i] != want[i] {
					return at + i
				}
			}
		}
		at += len(want)
	}
	return -1
}
