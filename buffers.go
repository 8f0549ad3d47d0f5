//go:build linux

package quoit

import (
	"net"
	"runtime"
	"syscall"
)

// WriteBuffers writes the buffers in v one after the other, by one system call while
// the socket takes them. v.WriteTo, and so io.Copy, does that to package net's types
// only, and makes one Write for each buffer to any other. A nil v has none.
//
// What was written is taken from v, on an error, too, whose Op is "writev". No
// other Write comes between, and all is in the kernel when WriteBuffers returns.
// Neither v nor what is in it may be changed meanwhile.
func (c *conn) WriteBuffers(v *net.Buffers) (int64, error) {
	if !c.ok() {
		return 0, syscall.EINVAL
	}
	if v == nil {
		v = new(net.Buffers)
	}
	n, err := c.ec.WriteBuffers((*[][]byte)(v))
	runtime.KeepAlive(c)
	return n, c.opError("writev", err)
}
