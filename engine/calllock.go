//go:build linux

package engine

import (
	"sync"
	"sync/atomic"
)

// callLock is held by the one call at a time that reads from a Conn, or writes to
// it. A relay holds one of either kind for as long as it lasts: it ends when
// somebody else wants them.
type callLock struct {
	sync.Mutex
	wanted atomic.Int32
	halt   atomic.Pointer[func()] // ends the relay that holds it
}

func (l *callLock) Lock() {
	if l.TryLock() {
		return
	}
	// The relay looks the other way round. One sees the other.
	l.wanted.Add(1)
	defer l.wanted.Add(-1)
	l.haltRelay()
	l.Mutex.Lock()
}

// haltRelay ends the relay that holds the lock, if one does.
func (l *callLock) haltRelay() {
	if halt := l.halt.Load(); halt != nil {
		(*halt)()
	}
}
