//go:build linux

package quoit

import (
	"net"
	"os"
)

// ShiftAll changes the gear of all of e's rings, where e is in GearAuto, until
// they have cause to change it themselves.
func ShiftAll(e *Engine, hot bool) { e.shiftAll(hot) }

// FileConnOn is FileConn with an engine other than the default one.
func FileConnOn(e *Engine, f *os.File) (net.Conn, error) {
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	return e.adoptConn(c)
}

// FileListenerOn is FileListener with an engine other than the default one.
func FileListenerOn(e *Engine, f *os.File) (net.Listener, error) {
	ln, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	return e.adoptListener(ln)
}

// NewListenerOn is NewListener with an engine other than the default one.
func NewListenerOn(e *Engine, ln net.Listener) (net.Listener, error) { return e.adoptListener(ln) }
