package testenv

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
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

// Connect dials ln, and returns both ends, which the test's end closes.
func Connect(t testing.TB, ln net.Listener) (client, server net.Conn) {
	t.Helper()
	client, err := net.DialTimeout(ln.Addr().Network(), ln.Addr().String(), Bound)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	if server, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return client, server
}

// Refused returns an address of loopback that nobody listens on until the test
// ends. The port of a listener that was closed is free instead, and the next
// server may get it: a proxy to itself, for one.
func Refused(t testing.TB) (addr string) {
	t.Helper()
	client, _ := TCPPair(t)
	return client.LocalAddr().String()
}

// Free returns an address of host that nobody listens on, and that no other test
// gets until this one ends, be it of another process: the kernel does not choose
// its port for anybody, and a socket with the port's name holds it. So it can be
// left and listened on again, and a server be told of it before it listens.
func Free(t testing.TB, host string) (addr string) {
	t.Helper()
	const first, ports = 10000, 20000 // Linux chooses from 32768 on
	for i := range ports {
		port := first + (os.Getpid()*7+i)%ports
		hold, err := net.Listen("unix", fmt.Sprint("@quoit test's port ", port))
		if err != nil {
			continue
		}
		addr = net.JoinHostPort(host, strconv.Itoa(port))
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			hold.Close()
			continue
		}
		ln.Close()
		t.Cleanup(func() { hold.Close() })
		return addr
	}
	t.Fatal("no free port on ", host)
	return ""
}

// TCPPair returns both ends of a connection over loopback.
func TCPPair(t testing.TB) (client, server *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, s := Connect(t, ln)
	return c.(*net.TCPConn), s.(*net.TCPConn)
}
