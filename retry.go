package quoit

import (
	"errors"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// backoff says when what has failed may be tried again: after a second, and then
// after twice as long each time, up to a minute, or anew after a quiet one. Any
// goroutine may use it.
type backoff struct {
	due   atomic.Int64 // Unix nanoseconds; 0: it is not to be tried
	pause atomic.Int64 // nanoseconds
}

const (
	minRetry = time.Second
	maxRetry = time.Minute
)

// begin has it be tried after a pause.
func (b *backoff) begin() {
	pause := min(max(2*time.Duration(b.pause.Load()), minRetry), maxRetry)
	b.pause.Store(int64(pause))
	b.due.Store(time.Now().Add(pause).UnixNano())
}

// claim reports, to one caller, that it is to be tried now.
func (b *backoff) claim() bool {
	due := b.due.Load()
	if due == 0 {
		return false
	}
	late := time.Since(time.Unix(0, due))
	if late < 0 || !b.due.CompareAndSwap(due, 0) {
		return false
	}
	if late > maxRetry {
		b.pause.Store(0)
	}
	return true
}

// tries runs attempts on goroutines of their own, one at a time, until end. What an
// attempt returns is called with no lock held: a Logger may ask the engine, or close it.
type tries struct {
	mu    sync.Mutex // held during an attempt
	ended bool
}

func (t *tries) begin(attempt func() (report func())) {
	go func() {
		if report := t.do(attempt); report != nil {
			report()
		}
	}()
}

func (t *tries) do(attempt func() (report func())) (report func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		return nil
	}
	return attempt()
}

// end waits for the attempt under way.
func (t *tries) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
}

// passes reports whether err may be another one later: the kernel gives the memory
// of a ring back long after the process that had it has ended, and RLIMIT_MEMLOCK
// counts all of a user's.
func passes(err error) bool {
	for _, errno := range []syscall.Errno{syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE, syscall.EAGAIN} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}
