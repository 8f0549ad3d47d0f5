// Package caddy is a plugin for Caddy: what binds to the network quoit is served by
// quoit.
//
//	xcaddy build --with github.com/quoit-go/quoit/examples/caddy
//
// or, in a clone, with the Caddyfile beside this file:
//
//	go run -C examples/caddy ./cmd/caddy run
//	curl http://localhost:8080/
package caddy

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/quoit-go/quoit"
)

func init() {
	caddy.RegisterNetwork("quoit", listen)
	caddyhttp.RegisterNetworkHTTP3("quoit", "udp") // HTTP/3 stays with package net
}

// sockets has the listening sockets by address. Caddy starts a new configuration
// before it stops the old one: both listen on the same socket, so that no conn is
// lost between them.
var sockets = caddy.NewUsagePool()

type socket struct{ *net.TCPListener }

// Destruct closes the socket when no configuration has it any more.
func (s *socket) Destruct() error { return s.Close() }

func listen(ctx context.Context, _, host, port string, offset uint, config net.ListenConfig) (any, error) {
	first, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, err
	}
	address := net.JoinHostPort(host, strconv.FormatUint(first+uint64(offset), 10))
	shared, _, err := sockets.LoadOrNew(address, func() (caddy.Destructor, error) {
		ln, err := config.Listen(ctx, "tcp", address)
		if err != nil {
			return nil, err
		}
		return &socket{ln.(*net.TCPListener)}, nil
	})
	if err != nil {
		return nil, err
	}
	ln, err := copyOf(shared.(*socket))
	if err != nil {
		_, _ = sockets.Delete(address)
		return nil, fmt.Errorf("quoit: %w", err)
	}
	return &listener{Listener: ln, address: address}, nil
}

// copyOf returns quoit's listener on a copy of the socket.
func copyOf(s *socket) (net.Listener, error) {
	f, err := s.File()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return quoit.FileListener(f)
}

// listener lets go of its socket when it is closed.
type listener struct {
	net.Listener
	address string
	once    sync.Once
}

func (l *listener) Close() error {
	err := l.Listener.Close()
	l.once.Do(func() { _, _ = sockets.Delete(l.address) })
	return err
}
