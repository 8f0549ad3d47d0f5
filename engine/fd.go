//go:build linux

package engine

// poller is nil until openPoller.
func (c *Conn) poller() *poller { return c.polls.Load() }

// openPoller puts the socket into Go's netpoller. The caller has a reference.
func (c *Conn) openPoller() {
	if c.poller() != nil {
		return
	}
	c.entering.Lock()
	defer c.entering.Unlock()
	if c.poller() == nil {
		c.polls.Store(c.e.k.Poller(c.fd))
	}
}

// enterPoller is openPoller for callers without a reference.
func (c *Conn) enterPoller() {
	if c.acquire() {
		c.openPoller()
		c.drop()
	}
}

// acquire keeps the descriptor open until drop. It fails on a closed conn.
func (c *Conn) acquire() bool { return c.refs.acquire() }

// drop releases a reference to the descriptor. The last one wakes the Close that waits
// for it.
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
	c.e.conns.remove(&c.node)
	c.e.loaded()
}

// hold keeps the descriptor open while requests are in flight. It fails on a
// closed conn. Engine thread.
func (c *Conn) hold() bool {
	if !c.held {
		c.held = c.acquire()
	}
	return c.held
}
