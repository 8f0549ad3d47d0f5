//go:build linux

package engine

import "sync/atomic"

// descriptor is a Conn's, with who uses it and what owns its number.
type descriptor struct {
	fd    int // changes while refs is seized
	refs  fdRef
	polls atomic.Pointer[poller] // what owns fd while it is in Go's netpoller
	idle  chan struct{}          // Close waits here for the last reference; guarded by Conn.mu
}

// fdRef counts who may use a descriptor: its owner until Close, callers in
// the middle of a system call, and the engine while a request is in flight.
// The descriptor is closed when the last reference of a closed one has been
// dropped. It is 0, and nobody's, while seized.
type fdRef struct{ v atomic.Uint32 }

const fdClosed = 1 << 31

func (r *fdRef) init() { r.v.Store(1) }

// acquire takes a reference, unless closed or seized.
func (r *fdRef) acquire() bool {
	for {
		v := r.v.Load()
		if v == 0 || v&fdClosed != 0 {
			return false
		}
		if r.v.CompareAndSwap(v, v+1) {
			return true
		}
	}
}

// seize has the owner alone until restore, if it is and nothing is closed.
func (r *fdRef) seize() bool { return r.v.CompareAndSwap(1, 0) }

func (r *fdRef) restore() { r.v.Store(1) }

// close refuses further references. The owner's own stays.
func (r *fdRef) close() { r.v.Or(fdClosed) }

func (r *fdRef) closed() bool { return r.v.Load()&fdClosed != 0 }

// alone reports whether a closed descriptor is used by its owner only.
func (r *fdRef) alone() bool { return r.v.Load() == fdClosed|1 }

// release drops a reference and reports whether the descriptor is now the
// caller's to close.
func (r *fdRef) release() bool { return r.v.Add(^uint32(0)) == fdClosed }

// poller is nil until openPoller.
func (c *Conn) poller() *poller { return c.polls.Load() }

// openPoller puts the socket into Go's netpoller. The caller has a reference.
func (c *Conn) openPoller() *poller {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.intoPoller()
}

// intoPoller is openPoller with mu held.
func (c *Conn) intoPoller() *poller {
	p := c.poller()
	if p == nil {
		p = c.e.k.Poller(c.fd)
		c.polls.Store(p)
	}
	return p
}

// enterPoller is openPoller for who has no reference.
func (c *Conn) enterPoller() {
	if c.acquire() {
		c.openPoller()
		c.drop()
	}
}

// leavePoller takes the socket out of Go's netpoller, which the kernel would
// tell of every message that goes to the ring: epoll does not ask who waits.
// The only way out is to close the descriptor, so that the socket gets another
// one. Not if others know its number. Called with rmu and mu held.
func (c *Conn) leavePoller() {
	p := c.poller()
	if p == nil || c.shared || !c.e.gear.Leaves(c.left) || !c.flushed() || !c.refs.seize() {
		return
	}
	if fd, err := c.e.k.Dup(c.fd); err == nil {
		_ = p.Close()
		c.polls.Store(nil)
		c.fd, c.left = fd, c.e.gear.Epoch()
	}
	c.refs.restore()
}

// acquire keeps the descriptor open, and its number, until drop. It fails on a
// closed conn. Not with mu held.
func (c *Conn) acquire() bool {
	if c.refs.acquire() {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refs.acquire() // who seized them has let go of mu
}

func (c *Conn) closeFD() error {
	if p := c.poller(); p != nil {
		return p.Close()
	}
	return c.e.k.CloseFD(c.fd)
}

// drop releases a reference to the descriptor. After the last, who waits in
// Close closes it.
func (c *Conn) drop() {
	if idle := c.dropLast(); idle != nil {
		c.e.ready(idle)
	}
}

// dropLast is drop, but returns what Close waits for, if it does.
func (c *Conn) dropLast() (idle chan<- struct{}) {
	if !c.refs.release() {
		return nil
	}
	c.unlist()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.idle
}

// unlist hides c from Engine.Close.
func (c *Conn) unlist() {
	c.e.mu.Lock()
	defer c.e.mu.Unlock()
	remove(&c.e.conns, c)
	c.e.loaded()
}
