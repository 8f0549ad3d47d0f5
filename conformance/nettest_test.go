package conformance

import (
	"context"
	"fmt"
	"net"
	"testing"

	"golang.org/x/net/nettest"

	"github.com/quoit-go/quoit/internal/testenv"
)

func TestNettest(t *testing.T) {
	sides := []struct {
		name             string
		accepted, dialed testenv.Transport
		dialedFirst      bool // c1, which nettest works hardest, is the dialed end
	}{
		{"accepted", quoitStack, testenv.Net, false},
		{"dialed", testenv.Net, quoitStack, true},
		{"both", quoitStack, quoitStack, false},
		{"both dialed first", quoitStack, quoitStack, true},
	}
	for _, network := range []string{"tcp4", "tcp6", "unix"} {
		if network == "tcp6" && !nettest.SupportsIPv6() {
			t.Log("no IPv6 on this machine")
			continue
		}
		for _, side := range sides {
			t.Run(network+"/"+side.name, func(t *testing.T) {
				t.Parallel()
				nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
					accepted, dialed, stop, err := pipe(t, network, side.accepted, side.dialed)
					if side.dialedFirst {
						return dialed, accepted, stop, err
					}
					return accepted, dialed, stop, err
				})
			})
		}
	}
}

// pipe returns the two ends of a new conn.
func pipe(t *testing.T, network string, accepter, dialer testenv.Transport) (accepted, dialed net.Conn, stop func(), err error) {
	ln, err := accepter.Listen(network, newAddress(t, network))
	if err != nil {
		return nil, nil, nil, err
	}
	type result struct {
		c   net.Conn
		err error
	}
	accept := make(chan result, 1)
	go func() {
		c, err := ln.Accept()
		accept <- result{c, err}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Bound)
	defer cancel()
	dialed, err = dialer.Dial(ctx, network, ln.Addr().String())
	if err != nil {
		ln.Close()
		<-accept
		return nil, nil, nil, err
	}
	r := <-accept
	if r.err != nil {
		ln.Close()
		dialed.Close()
		return nil, nil, nil, fmt.Errorf("accept: %w", r.err)
	}
	for _, end := range []struct {
		s testenv.Transport
		c net.Conn
	}{{accepter, r.c}, {dialer, dialed}} {
		if end.s.Name == quoitStack.Name {
			onRing(t, end.c)
		}
	}
	return r.c, dialed, func() {
		ln.Close()
		r.c.Close()
		dialed.Close()
	}, nil
}
