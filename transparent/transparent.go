// Package transparent is for the file that quoit build puts into a program: it
// has the stream sockets of package net taken over by quoit's default engine,
// which starts with the first of them. Programs do not import it.
package transparent

import (
	"context"
	"log/slog"
	"net"
	"os"

	_ "github.com/quoit-go/quoit" // which sets what takes over
	"github.com/quoit-go/quoit/internal/environ"
	"github.com/quoit-go/quoit/internal/takeover"
)

// Hooks is what package net asks, as quoit build has changed it. The results
// take the place of the sockets; nil leaves them to package net.
type Hooks struct{}

// Enabled reports whether package net is to ask at all: unless the environment has
// QUOIT=off. It is called once, before main.
func Enabled() bool {
	if env := environ.Get(); env.Off() {
		if env.Debug {
			log := slog.New(slog.NewTextHandler(os.Stderr, nil)) // as an engine's
			log.Info("quoit: no engine starts: package net serves", "environment", env.String())
		}
		return false
	}
	takeover.Enable()
	return true
}

// Listener takes over what Listen and the like have made.
func (Hooks) Listener(ctx context.Context, network string, ln net.Listener, lc *net.ListenConfig) (net.Listener, error) {
	if takeover.Marked(ctx) {
		return nil, nil
	}
	return takeover.Listener(network, ln, lc)
}

// FileListener takes over what net.FileListener has made of f.
func (Hooks) FileListener(f *os.File, network string, ln net.Listener) (net.Listener, error) {
	if takeover.MarkedFile(f) {
		return nil, nil
	}
	return takeover.Listener(network, ln, nil)
}

// Conn takes over what Dial and the like have made. known says that the program
// has seen the descriptor.
func (Hooks) Conn(ctx context.Context, network string, c net.Conn, known bool) (net.Conn, error) {
	if takeover.Marked(ctx) {
		return nil, nil
	}
	return takeover.Conn(network, c, known)
}

// FileConn takes over what net.FileConn has made of f.
func (Hooks) FileConn(f *os.File, network string, c net.Conn) (net.Conn, error) {
	if takeover.MarkedFile(f) {
		return nil, nil
	}
	return takeover.Conn(network, c, true)
}
