//go:build linux && race

package ring

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"unsafe"
	"weak"

	"golang.org/x/sys/unix"
)

// memoryCheck finds memory that the caller forgot to keep: what an entry points
// to has to be referenced until its Submit, or until the request's last
// completion. It keeps weak pointers, which tell when the collector has taken
// memory that they point to.
//
// Requests with the same user data at once are not told apart, so what they point
// to is not looked at after their Submit.
type memoryCheck struct {
	mu       sync.Mutex  // in a Shared one goroutine may add while another reaps
	head     sharedIndex // of the submission queue
	places   sqePlaces
	entries  map[uint32]entryMemory // by position, of those handed out and not consumed
	moved    uint32                 // the position before which entries are in flight, or over
	inflight map[UserData]*requestMemory
	seen     uint32 // the position before which completions were looked at
	looks    uint64 // how many there were
}

// entryMemory is what an entry handed out points to.
type entryMemory struct {
	s    *SQE
	uses []memoryUse
}

// requestMemory is what requests with the same user data point to.
type requestMemory struct {
	op    Op
	uses  []memoryUse
	left  int  // requests
	mixed bool // there was more than one
}

// memoryUse is a pointer to heap memory.
type memoryUse struct {
	p            weak.Pointer[byte]
	via          uint64 // the address in the entry by which the kernel gets there
	atSubmission bool   // and not until the completion
}

// handedOut finds, for an entry that was handed out, the check of its ring and
// its position there.
var handedOut struct {
	sync.Mutex
	at map[*SQE]handedOutAt
}

type handedOutAt struct {
	m        *memoryCheck
	position uint32
}

// watch begins the check of a submission queue, or goes on with it where
// ResizeRings has moved it.
func (m *memoryCheck) watch(head sharedIndex, places sqePlaces) {
	m.head, m.places = head, places
	if m.entries == nil {
		m.entries, m.inflight = map[uint32]entryMemory{}, map[UserData]*requestMemory{}
	}
}

// end forgets everything: other things may come to lie where the entries lay.
func (m *memoryCheck) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.entries {
		forget(e.s)
	}
	m.entries, m.inflight = nil, nil
}

func forget(s *SQE) {
	handedOut.Lock()
	defer handedOut.Unlock()
	delete(handedOut.at, s)
}

// handOut begins the use of entry s.
func (m *memoryCheck) handOut(s *SQE, position uint32) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.move()
	m.entries[position] = entryMemory{s: s}
	handedOut.Lock()
	defer handedOut.Unlock()
	if handedOut.at == nil {
		handedOut.at = map[*SQE]handedOutAt{}
	}
	handedOut.at[s] = handedOutAt{m, position}
}

// note says that the kernel gets to p from s, by way of via, an address in s
// that may be p itself.
func (s *SQE) note(p, via unsafe.Pointer, atSubmission bool) {
	// The race detector has Go's heap lie between these two. The rest is mapped
	// memory and variables of packages, which the collector leaves alone.
	if at := uint64(uintptr(p)); at < 0xc0<<32 || at >= 0xe0<<32 {
		return
	}
	handedOut.Lock()
	at, found := handedOut.at[s]
	handedOut.Unlock()
	if !found {
		return
	}
	at.m.mu.Lock()
	defer at.m.mu.Unlock()
	if e, found := at.m.entries[at.position]; found {
		e.uses = append(e.uses, memoryUse{weak.Make((*byte)(p)), uint64(uintptr(via)), atSubmission})
		at.m.entries[at.position] = e
	}
}

// noteIovecs says that the kernel finds iov's memory by way of via.
func (s *SQE) noteIovecs(iov []unix.Iovec, via unsafe.Pointer) {
	for i := range iov {
		s.note(unsafe.Pointer(iov[i].Base), via, false)
	}
}

// noteMessage says that the kernel finds m, and what m points to.
func (s *SQE) noteMessage(m *unix.Msghdr, copied bool) {
	if m == nil {
		return
	}
	at := unsafe.Pointer(m)
	for _, p := range []unsafe.Pointer{at, unsafe.Pointer(m.Name), unsafe.Pointer(m.Control), unsafe.Pointer(m.Iov)} {
		s.note(p, at, copied)
	}
	if m.Iov != nil {
		s.noteIovecs(unsafe.Slice(m.Iov, m.Iovlen), at)
	}
}

// submitting looks at the memory of entries that the kernel is about to read,
// which are those before next.
func (m *memoryCheck) submitting(next uint32) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.move()
	for i := m.moved; i != next; i++ {
		if len(m.entries[i].uses) != 0 {
			m.collect()
			break
		}
	}
	for i := m.moved; i != next; i++ {
		e := m.places.at(i)
		for _, u := range m.entries[i].uses {
			u.check(e.Opcode, e, "Submit")
		}
	}
}

// move puts in flight the entries that the kernel has consumed. Under mu.
func (m *memoryCheck) move() {
	for head := m.head.loadAcquire(); m.moved != head; m.moved++ {
		was, found := m.entries[m.moved]
		if !found { // of a test's kernel
			continue
		}
		delete(m.entries, m.moved)
		forget(was.s)
		e := m.places.at(m.moved)
		var uses []memoryUse
		for _, u := range was.uses {
			if !u.atSubmission && u.in(e) {
				uses = append(uses, u)
			}
		}
		if r := m.inflight[e.UserData]; r != nil {
			r.mixed, r.uses = true, nil
			r.left++
		} else if len(uses) != 0 && e.Flags&SQECQESkipSuccess == 0 {
			m.inflight[e.UserData] = &requestMemory{op: e.Opcode, uses: uses, left: 1}
		}
	}
}

// drained does for all of cqes, of which the first was at position, what
// completed does for one.
func (m *memoryCheck) drained(cqes []CQE, position uint32) {
	for i := range cqes {
		m.completed(&cqes[i], position+uint32(i))
	}
}

// completed looks at the memory of c's request. c is at position of the
// completion queue, and is looked at only the first time.
func (m *memoryCheck) completed(c *CQE, position uint32) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if int32(position-m.seen) < 0 {
		return
	}
	m.seen = position + 1
	m.move()
	r := m.inflight[c.UserData]
	if r == nil {
		return
	}
	if !c.More() {
		if r.left--; r.left == 0 {
			delete(m.inflight, c.UserData)
		}
	}
	if r.mixed {
		return
	}
	m.collect()
	for _, u := range r.uses {
		u.check(r.op, nil, "its completion")
	}
}

// collectFirst has the collector run before a look, so that forgotten memory is
// gone by then: before the first looks, and then more and more rarely. Since that
// takes time, the environment has to ask for it.
var collectFirst = os.Getenv("QUOIT_RING_COLLECT") != ""

func (m *memoryCheck) collect() {
	if m.looks++; collectFirst && m.looks&(m.looks-1) == 0 {
		runtime.GC()
	}
}

// check panics if the collector has taken the memory. If e is not nil, it does
// so only if e still leads to the memory.
func (u memoryUse) check(op Op, e *SQE, until string) {
	if u.p.Value() == nil && (e == nil || u.in(e)) {
		panic(fmt.Sprintf("ring: memory that a request of %v points to was collected before %s: it must stay referenced, as by runtime.KeepAlive", op, until))
	}
}

// in reports whether e leads to the memory. It does not if e has had another
// Prep since.
func (u memoryUse) in(e *SQE) bool {
	return u.via == e.Addr || u.via == e.Off || u.via == e.Addr3
}
