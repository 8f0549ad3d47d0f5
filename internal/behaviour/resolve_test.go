//go:build linux

package behaviour

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// names is a name server in memory: it gives every name both addresses.
type names struct {
	mu   sync.Mutex
	seen []string // context values that reached the resolver
	fail error
}

// resolver returns a resolver that asks n and nobody else.
func (n *names) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.seen = append(n.seen, fmt.Sprint(ctx.Value(ctxKey{})))
		if n.fail != nil {
			return nil, n.fail
		}
		near, far := net.Pipe()
		go n.serve(far)
		return near, nil
	}}
}

// serve answers DNS queries in their stream form (RFC 1035 4.2.2).
func (n *names) serve(c net.Conn) {
	defer c.Close()
	for {
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		q := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(c, q); err != nil {
			return
		}
		a := answer(q)
		binary.BigEndian.PutUint16(size[:], uint16(len(a)))
		if _, err := c.Write(append(size[:], a...)); err != nil {
			return
		}
	}
}

func answer(q []byte) []byte {
	end := 12
	for q[end] != 0 {
		end += int(q[end]) + 1
	}
	question := q[12 : end+5]
	kind := binary.BigEndian.Uint16(q[end+1:])
	data := map[uint16][]byte{1: {127, 0, 0, 1}, 28: {15: 1}}[kind]
	count := byte(0)
	if data != nil {
		count = 1
	}
	a := []byte{q[0], q[1], 0x81, 0x80, 0, 1, 0, count, 0, 0, 0, 0}
	a = append(a, question...)
	if data != nil {
		a = append(a, 0xC0, 12, 0, byte(kind), 0, 1, 0, 0, 0, 60, 0, byte(len(data)))
		a = append(a, data...)
	}
	return a
}

// samePort listens on both families' loopback with one port, or hangs, or
// refuses on either.
func (s *scene) samePort(v6, v4 string) string {
	for range 20 {
		probe, err := net.Listen("tcp6", "[::1]:0")
		s.must(err)
		port := probe.Addr().(*net.TCPAddr).Port
		s.must(probe.Close())
		if s.take("tcp6", v6, port) && s.take("tcp4", v4, port) {
			s.name(fmt.Sprint(port), "$PORT")
			return fmt.Sprint(port)
		}
	}
	s.fatal("no port is free on both families")
	return ""
}

func (s *scene) take(network, how string, port int) bool {
	switch how {
	case "hang":
		_, err := s.hangingOn(network, port)
		return err == nil
	case "refuse":
		_, _, err := s.hold(network, port)
		return err == nil
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	if network == "tcp6" {
		address = fmt.Sprintf("[::1]:%d", port)
	}
	ln, err := net.Listen(network, address)
	if err != nil {
		return false
	}
	s.closeLater(ln)
	return true
}

const quoitTest = "quoit-behaviour.test."

// lookupTime is enough to resolve a name and begin to connect, on a machine
// that is busy.
const lookupTime = time.Second

func TestBehaviourDialNames(t *testing.T) {
	cases := []struct {
		name, v6, v4 string
		d            net.Dialer
	}{
		{"both", "open", "open", net.Dialer{FallbackDelay: time.Hour}},
		{"only IPv4", "refuse", "open", net.Dialer{FallbackDelay: time.Hour}},
		{"only IPv6", "open", "refuse", net.Dialer{FallbackDelay: time.Hour}},
		{"neither", "refuse", "refuse", net.Dialer{}},
		{"neither, in turn", "refuse", "refuse", net.Dialer{FallbackDelay: -1}},
		{"IPv4 in turn", "refuse", "open", net.Dialer{FallbackDelay: -1}},
		{"IPv6 hangs", "hang", "open", net.Dialer{FallbackDelay: 5 * time.Millisecond}},
		{"IPv4 hangs", "open", "hang", net.Dialer{FallbackDelay: time.Hour}},
		{"both hang", "hang", "hang", net.Dialer{FallbackDelay: 5 * time.Millisecond, Timeout: lookupTime}},
	}
	for _, v := range cases {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel() // some wait for lookupTime
			compareImpls(t, "tcp tcp4 tcp6", func(s *scene) {
				port := s.samePort(v.v6, v.v4)
				var mu sync.Mutex
				var events []string
				note := func(e string) {
					mu.Lock()
					defer mu.Unlock()
					events = append(events, e)
				}
				ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
					ConnectStart: func(network, addr string) { note("start " + network + " " + addr) },
				})
				n := &names{}
				d := v.d
				d.Resolver = n.resolver()
				if s.network == "tcp4" && v.v4 == "hang" || s.network == "tcp6" && v.v6 == "hang" {
					d.Timeout = lookupTime
				} else if d.Timeout == 0 {
					d.Timeout = behaviourLimit / 4
				}
				s.dial("dial", context.WithValue(ctx, ctxKey{}, "value"), d, s.network, net.JoinHostPort(quoitTest, port))
				n.mu.Lock()
				s.rec("resolver", "%q", slices.Compact(n.seen))
				n.mu.Unlock()
				if v.name != "both hang" {
					mu.Lock()
					slices.Sort(events)
					s.rec("events", "%q", events)
					mu.Unlock()
				}
			})
		})
	}
}

// TestBehaviourDialLocalhost resolves by the system's hosts file.
func TestBehaviourDialLocalhost(t *testing.T) {
	compareImpls(t, "tcp tcp4 tcp6", func(s *scene) {
		for _, how := range [][2]string{{"open", "open"}, {"refuse", "open"}, {"open", "refuse"}, {"refuse", "refuse"}} {
			port := s.samePort(how[0], how[1])
			s.dial(strings.Join(how[:], " "), context.Background(), net.Dialer{}, s.network, "localhost:"+port)
		}
		s.dial("empty host", context.Background(), net.Dialer{}, s.network, ":"+s.samePort("open", "open"))
	})
}

// TestBehaviourDialLookupFails lets the resolver fail, hang and be cancelled.
func TestBehaviourDialLookupFails(t *testing.T) {
	bg := context.Background()
	address := net.JoinHostPort(quoitTest, "1")
	compareImpls(t, "tcp", func(s *scene) {
		n := &names{fail: errors.New("no way to the name server")}
		s.dial("fails", bg, net.Dialer{Resolver: n.resolver()}, "tcp", address)
		stuck := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}}
		s.dial("times out", bg, net.Dialer{Resolver: stuck, Timeout: 10 * time.Millisecond}, "tcp", address)
		ctx, cancel := context.WithCancel(bg)
		c := s.start(func() string { return s.doDial(ctx, net.Dialer{Resolver: stuck}, "tcp", address) })
		c.blocked("parked")
		cancel()
		c.result("cancelled")
		s.dial("Listen's kind of name", bg, net.Dialer{}, "tcp", "no such name:80")
		s.dial("invalid name", bg, net.Dialer{Resolver: n.resolver()}, "tcp", "-:80")
	})
}
