//go:build linux

package ring

import (
	"math"
	"sync/atomic"
	"testing"
)

// model plays the kernel's side of both queues on plain memory and keeps
// slices of what they should hold. Indices start just under wrap-around.
type model struct {
	t *testing.T

	sq             submissionQueue
	sqHead, sqTail atomic.Uint32
	handedOut      []UserData // by take, not yet published
	published      []UserData // not yet consumed
	cq             completionQueue
	cqHead, cqTail atomic.Uint32
	posted         []CQE // not yet drained
	overflow       atomic.Uint32
	flags          atomic.Uint32
	seq            uint64
}

func newModel(t *testing.T, entries, cqEntries uint32) *model {
	const start = math.MaxUint32 - 2
	m := &model{t: t}
	for _, i := range []*atomic.Uint32{&m.sqHead, &m.sqTail, &m.cqHead, &m.cqTail} {
		i.Store(start)
	}
	m.sq = submissionQueue{
		head: sharedIndex{&m.sqHead}, tail: sharedIndex{&m.sqTail}, flags: sharedFlags{&m.flags},
		next: start, entries: entries, sqePlaces: sqePlaces{sqes: make([]SQE, entries), mask: entries - 1},
	}
	m.cq = completionQueue{
		head: sharedIndex{&m.cqHead}, tail: sharedIndex{&m.cqTail}, overflow: sharedIndex{&m.overflow},
		next: start, mask: cqEntries - 1, cqes: make([]CQE, cqEntries),
	}
	return m
}

// take prepares up to n entries.
func (m *model) take(n int) {
	for range n {
		full := len(m.handedOut)+len(m.published) == int(m.sq.entries)
		s := m.sq.take()
		if full != (s == nil) {
			m.t.Fatalf("take = %p with %d of %d entries in use", s, len(m.handedOut)+len(m.published), m.sq.entries)
		}
		if s == nil {
			return
		}
		m.seq++
		s.PrepNop(UserData(m.seq))
		m.handedOut = append(m.handedOut, UserData(m.seq))
	}
}

func (m *model) publish() {
	m.published = append(m.published, m.handedOut...)
	m.handedOut = nil
	if got := m.sq.publish(); int(got) != len(m.published) {
		m.t.Fatalf("publish = %d, want %d", got, len(m.published))
	}
}

// consume is the kernel taking up to n entries and completing them, as far as
// the completion queue has room.
func (m *model) consume(n int) {
	for range n {
		head := m.sqHead.Load()
		if head == m.sqTail.Load() {
			if len(m.published) != 0 {
				m.t.Fatalf("%d published entries are missing", len(m.published))
			}
			return
		}
		tail := m.cqTail.Load()
		if tail-m.cqHead.Load() == uint32(len(m.cq.cqes)) {
			if len(m.posted) != len(m.cq.cqes) {
				m.t.Fatalf("queue full with %d completions", len(m.posted))
			}
			return
		}
		ud := m.sq.sqes[head&m.sq.mask].UserData
		if ud != m.published[0] {
			m.t.Fatalf("kernel read %d, want %d", ud, m.published[0])
		}
		m.published = m.published[1:]
		m.sqHead.Store(head + 1)
		c := CQE{UserData: ud, Res: int32(ud)}
		m.cq.cqes[tail&m.cq.mask] = c
		m.posted = append(m.posted, c)
		m.cqTail.Store(tail + 1)
	}
}

func (m *model) drain(n int) {
	if got := m.cq.ready(); int(got) != len(m.posted) {
		m.t.Fatalf("ready = %d, want %d", got, len(m.posted))
	}
	dst := make([]CQE, n)
	got := m.cq.drain(dst)
	if want := min(n, len(m.posted)); got != want {
		m.t.Fatalf("drain = %d, want %d", got, want)
	}
	for i, c := range dst[:got] {
		if c != m.posted[i] {
			m.t.Fatalf("completion %d is %+v, want %+v", i, c, m.posted[i])
		}
	}
	m.posted = m.posted[got:]
	if m.cqHead.Load() != m.cq.next {
		m.t.Fatal("head not published")
	}
}

func (m *model) check() {
	if got, want := int(m.sq.pending()), len(m.handedOut)+len(m.published); got != want {
		m.t.Fatalf("pending = %d, want %d", got, want)
	}
}

func TestQueuesWrap(t *testing.T) {
	for _, size := range [][2]uint32{{1, 1}, {1, 2}, {4, 4}, {4, 8}, {16, 8}} {
		m := newModel(t, size[0], size[1])
		for i := range 200 {
			m.take(1 + i%5)
			m.publish()
			m.check()
			m.consume(1 + i%3) // short: the rest goes with the next publish
			m.check()
			m.drain(1 + i%4)
		}
		if m.sq.next > math.MaxUint32/2 || m.cq.next > math.MaxUint32/2 {
			t.Errorf("size %v: indices did not wrap", size)
		}
	}
}

func FuzzQueues(f *testing.F) {
	f.Add(uint8(2), uint8(3), []byte{0x03, 0x10, 0x22, 0x31})
	f.Add(uint8(0), uint8(0), []byte{0x01, 0x01, 0x10, 0x2f, 0x3f, 0x00, 0x30})
	f.Add(uint8(3), uint8(1), []byte("\x0f\x10\x21\x0f\x10\x2f\x33\x2f\x3f"))
	f.Fuzz(func(t *testing.T, sqLog, cqLog uint8, ops []byte) {
		m := newModel(t, 1<<(sqLog%6), 1<<(cqLog%6))
		for _, op := range ops {
			n := int(op & 0xf)
			switch op >> 4 & 3 {
			case 0:
				m.take(n)
			case 1:
				m.publish()
			case 2:
				m.consume(n)
			case 3:
				m.drain(n)
			}
			m.check()
		}
	})
}

// mixedModel posts narrow and wide completions as the kernel does: a wide one
// that would wrap around gets a filling before it.
func mixedModel(t *testing.T, cqLog uint8, ops []byte) {
	const start = math.MaxUint32 - 2
	size := uint32(2) << (cqLog % 5)
	var head, tail atomic.Uint32
	head.Store(start)
	tail.Store(start)
	q := completionQueue{
		head: sharedIndex{&head}, tail: sharedIndex{&tail}, next: start,
		mask: size - 1, mixed: true, cqes: make([]CQE, size),
	}
	var posted []UserData
	var seq UserData
	post := func(wide bool) {
		at, places := tail.Load(), uint32(1)
		if wide {
			places = 2
			if at&q.mask == q.mask {
				places = 3
			}
		}
		if at-head.Load()+places > size {
			return
		}
		if places == 3 {
			q.cqes[at&q.mask] = CQE{Flags: CQESkip, UserData: 1 << 63}
			at++
		}
		c := CQE{UserData: seq}
		if wide {
			c.Flags = CQE32Bytes
			q.cqes[(at+1)&q.mask] = CQE{UserData: seq ^ 1<<62}
		}
		q.cqes[at&q.mask] = c
		tail.Add(places)
		posted = append(posted, seq)
		seq++
	}
	for _, op := range ops {
		switch op >> 6 {
		case 0, 1:
			post(op>>6 == 1)
		case 2, 3:
			n := q.drainWide(int(op&7), func(i int, c *CQE) {
				extra := q.extra(c)
				if c.UserData != posted[i] || (extra != nil) != (c.Flags&CQE32Bytes != 0) ||
					extra != nil && UserData(extra[0]) != c.UserData^1<<62 {
					t.Fatalf("got %+v, extra %v; want %d", c, extra, posted[i])
				}
			})
			if want := min(int(op&7), len(posted)); n != want {
				t.Fatalf("%d completions, want %d", n, want)
			}
			posted = posted[n:]
		}
	}
}

func FuzzMixedQueue(f *testing.F) {
	f.Add(uint8(1), []byte{0, 0x40, 0x87, 0x40, 0x87, 0, 0x40, 0x81, 0x87})
	f.Add(uint8(2), []byte("@@\x83@\x00\x81@@\xff@\x00@\x87"))
	f.Fuzz(mixedModel)
}

// Every alignment of wide completions, around the wrap of indices too.
func TestMixedQueue(t *testing.T) {
	var ops []byte
	for i := range 3000 {
		ops = append(ops, [...]byte{0x40, 0, 0x40, 0x40, 0x81, 0, 0x87, 0x40, 0x82}[(i*i+i/7)%9])
	}
	for log := range uint8(5) {
		mixedModel(t, log, ops)
	}
}
