// Package lent is for memory that is used again: bytes of one conn lie where those of
// another have lain. It lends and takes back, which is all that it does, unless it is
// built with the tag quoitcheck. Then
//
//   - what was given back is filled with a poison, and whoever reads it reads that;
//   - a while later the poison is looked at, for somebody may have written there;
//   - nothing is lent twice, so that a pointer that somebody kept stays as wrong as it
//     is: whatever asks its Mark ends the process.
//
// A tag changes one constant. The code is the same.
package lent

import (
	"bytes"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
)

// Checked reports whether this build checks.
const Checked = marks > 0

const poison = 0xDB // engine/pbuf's, too

// fail ends the process: a mere panic the engine's thread and net/http would survive.
var fail = func(why string) {
	go panic(fmt.Sprintf("quoit: %s\n%s", why, debug.Stack()))
	select {}
}

// Mark is a field of something lent, and says whether that was given back. The zero Mark
// says that it was not. It takes no room but in a build that checks. It is safe for
// concurrent use.
type Mark [marks]atomic.Bool

// Use fails if the Mark says that it was given back. what names it.
func (m *Mark) Use(what string) {
	for i := range m {
		if m[i].Load() {
			fail("use of " + what + " that was given back")
		}
	}
}

// End notes that it is given back, and fails if it was. what names it.
func (m *Mark) End(what string) {
	for i := range m {
		if m[i].Swap(true) {
			fail(what + " is given back twice")
		}
	}
}

// Assert fails if ok is false, and says why.
func Assert(ok bool, why string) {
	if Checked && !ok {
		fail(why)
	}
}

// Poison fills b, which nobody may read or write until Check.
func Poison(b []byte) {
	if !Checked {
		return
	}
	for i := range b {
		b[i] = poison
	}
}

// Check fails if somebody wrote to b since Poison. what names it.
func Check(what string, b []byte) {
	if Checked {
		Assert(bytes.Count(b, []byte{poison}) == len(b), what+" was written to after it was given back")
	}
}

// Pool lends Ts. It is a sync.Pool, and as safe for concurrent use.
type Pool[T any] struct {
	Name  string            // of a T, for messages
	New   func() *T         // makes one
	Bytes func(v *T) []byte // what is poisoned of one

	pool sync.Pool

	mu   sync.Mutex
	held []*T // in a build that checks: what was given back lately
}

// heldMost is how many Ts a check looks at.
const heldMost = 16

// Get lends a T, which has whatever its last user left there.
func (p *Pool[T]) Get() *T {
	if Checked {
		p.check()
		v := p.New()
		Poison(p.Bytes(v)) // as of a last user
		return v
	}
	if v, ok := p.pool.Get().(*T); ok {
		return v
	}
	return p.New()
}

// Put gives v back, which its user may not touch any more.
func (p *Pool[T]) Put(v *T) {
	if Checked {
		p.hold(v)
		return
	}
	p.pool.Put(v)
}

// check looks at what was given back lately.
func (p *Pool[T]) check() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, v := range p.held {
		Check(p.Name, p.Bytes(v))
	}
}

// hold poisons v, and keeps it for check in place of the oldest.
func (p *Pool[T]) hold(v *T) {
	p.check()
	p.mu.Lock()
	defer p.mu.Unlock()
	if slices.Contains(p.held, v) {
		fail(p.Name + " is given back twice")
	}
	if len(p.held) == heldMost {
		p.held = slices.Delete(p.held, 0, 1)
	}
	Poison(p.Bytes(v))
	p.held = append(p.held, v)
}
