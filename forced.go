package quoit

import (
	"net"

	"github.com/quoit-go/quoit/internal/forced"
)

func init() { // for the tests in other directories
	forced.Shift = func(e any, hot bool) { e.(*Engine).t.shift(hot) }
	forced.AdoptConn = func(e any, c net.Conn) (net.Conn, error) { return e.(*Engine).adoptConn(c) }
	forced.AdoptListener = func(e any, ln net.Listener) (net.Listener, error) { return e.(*Engine).adoptListener(ln) }
}
