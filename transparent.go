package quoit

import (
	"net"

	"github.com/quoit-go/quoit/internal/takeover"
)

func init() { // for programs that quoit build has made
	takeover.Listener = func(network string, ln net.Listener, lc *net.ListenConfig) (net.Listener, error) {
		e := Default()
		if e.closed.Load() {
			ln.Close()
			return nil, ErrEngineClosed
		}
		t := e.transport()
		if t == nil {
			return nil, nil
		}
		return t.takeOver(network, ln, lc)
	}
	takeover.Conn = func(network string, c net.Conn, known bool) (net.Conn, error) {
		e := Default()
		if e.closed.Load() {
			c.Close()
			return nil, ErrEngineClosed
		}
		t := e.transport()
		if t == nil {
			return nil, nil
		}
		return t.conn(network, c, known)
	}
}
