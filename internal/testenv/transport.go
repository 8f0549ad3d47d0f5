package testenv

import (
	"context"
	"net"
	"testing"
	"time"
)

// Transport is one way to listen and to dial.
type Transport struct {
	Name   string
	Listen func(network, address string) (net.Listener, error)
	Dial   func(ctx context.Context, network, address string) (net.Conn, error)
}

// Net is package net.
var Net = Transport{Name: "net", Listen: net.Listen, Dial: new(net.Dialer).DialContext}

// Dial connects with plain net and bounds everything done on the conn.
func Dial(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, Bound)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(Bound)); err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn)
}
