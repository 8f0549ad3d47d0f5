//go:build linux

package engine

import (
	"sync"

	"github.com/quoit-go/quoit/engine/pbuf"
)

// segment is received bytes: in a lent buffer of the group, or in a chunk of
// the heap.
type segment struct {
	data  []byte // what is left of them
	bid   uint16
	lent  bool
	chunk *chunk
}

const chunkBytes = 4096

type chunk [chunkBytes]byte

var chunks = sync.Pool{New: func() any { return new(chunk) }}

// free gives the memory back. data must not be used after it.
func (s *segment) free(g *pbuf.Group) {
	switch {
	case s.lent:
		g.Return(s.bid)
	case s.chunk != nil:
		chunks.Put(s.chunk)
	}
	*s = segment{}
}

// segments is a queue.
type segments struct {
	s    []segment
	head int
}

func (q *segments) empty() bool { return q.head == len(q.s) }

// push moves what is queued to the front before it grows: a peer could keep
// the queue from ever being empty.
func (q *segments) push(s segment) {
	if len(q.s) == cap(q.s) && q.head > len(q.s)/2 {
		n := copy(q.s, q.s[q.head:])
		clear(q.s[n:])
		q.s, q.head = q.s[:n], 0
	}
	q.s = append(q.s, s)
}

func (q *segments) pop() segment {
	s := q.s[q.head]
	q.s[q.head] = segment{}
	if q.head++; q.head == len(q.s) {
		q.head = 0
		if q.s = q.s[:0]; cap(q.s) > 64 {
			q.s = nil
		}
	}
	return s
}

// copyIn queues a copy of b, filling up the last chunk first, so that many
// small receives cost no more memory than their bytes.
func (q *segments) copyIn(b []byte) {
	for len(b) > 0 {
		if q.empty() || q.room() == 0 {
			ch := chunks.Get().(*chunk)
			q.push(segment{data: ch[:0], chunk: ch})
		}
		last := &q.s[len(q.s)-1]
		n := min(len(b), q.room())
		last.data = append(last.data, b[:n]...)
		b = b[n:]
	}
}

// room is what the last segment can still take.
func (q *segments) room() int {
	last := &q.s[len(q.s)-1]
	if last.chunk == nil {
		return 0
	}
	return cap(last.data) - len(last.data)
}

// drop frees everything.
func (q *segments) drop(g *pbuf.Group) {
	for !q.empty() {
		s := q.pop()
		s.free(g)
	}
}
