//go:build linux

package engine

import (
	"math"
	"net"
)

// WriteBuffers writes the buffers in v one after the other, by one system call
// while the socket takes them, and takes from v what was written, as net.Buffers
// does. What Write has accepted goes first. On an error v has what was not written.
// No other Write comes between. The buffers are not used after WriteBuffers has
// returned.
func (c *Conn) WriteBuffers(v *[][]byte) (int64, error) {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	all := size(*v)
	c.follows() // for the Writes after this one, which is never accepted
	if c.tcp && all <= batchWrite {
		c.e.gear.Count(&c.writes)
	}
	err := c.writeBuffers(v, all)
	n := all - size(*v)
	c.meter.Write(int(min(n, math.MaxInt)))
	return n, err
}

// writeBuffers has the kernel take v, of so many bytes. Called with wmu held.
func (c *Conn) writeBuffers(v *[][]byte, all int64) error {
	if !c.acquire() {
		return net.ErrClosed
	}
	defer c.drop()
	if err := c.drain(); err != nil {
		return err
	}
	c.credit = max(0, c.credit-int(min(all, maxWrite))-sendOverhead) // v takes room, too
	c.buffers = v
	_, err := c.tryWrite()
	c.buffers = nil
	return err
}
