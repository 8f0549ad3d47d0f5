//go:build linux

package conformance

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/engine/steering"
	"github.com/quoit-go/quoit/internal/testenv"
)

// vethHosts is how many addresses of each family the clients' side has.
const vethHosts = 40

// inside calls fn in a thread of a network namespace, a fresh one if ns is
// not open, and returns it.
func inside(t *testing.T, ns netns.NsHandle, fn func() error) netns.NsHandle {
	t.Helper()
	err := testenv.OnThread(func() (err error) {
		if ns.IsOpen() {
			err = netns.Set(ns)
		} else {
			ns, err = netns.New()
		}
		if err != nil {
			return err
		}
		return fn()
	})
	if errors.Is(err, unix.EPERM) {
		t.Skip("no privilege: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return ns
}

// newVeth returns two namespaces with a cable between them. The server's side
// is 10.77.0.1 and fd77::1, the clients' have host numbers from 2.
func newVeth(t *testing.T) (server, clients netns.NsHandle) {
	t.Helper()
	address := func(host int) []string {
		return []string{fmt.Sprintf("10.77.0.%d/24", host), fmt.Sprintf("fd77::%x/64", host)}
	}
	up := func(name string, addresses ...string) error {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		for _, a := range addresses {
			addr, err := netlink.ParseAddr(a)
			if err != nil {
				return err
			}
			addr.Flags = unix.IFA_F_NODAD // else IPv6 addresses are of no use for seconds
			if err := netlink.AddrAdd(link, addr); err != nil {
				return err
			}
		}
		return netlink.LinkSetUp(link)
	}
	server = inside(t, netns.None(), func() error { return up("lo") })
	t.Cleanup(func() { server.Close() })
	clients = inside(t, netns.None(), func() error {
		cable := netlink.NewLinkAttrs()
		cable.Name = "client"
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: cable, PeerName: "server", PeerNamespace: netlink.NsFd(server)})
	})
	t.Cleanup(func() { clients.Close() })
	inside(t, server, func() error { return up("server", address(1)...) })
	inside(t, clients, func() error {
		var all []string
		for host := range vethHosts {
			all = append(all, address(2+host)...)
		}
		return up("client", all...)
	})
	return server, clients
}

// reusePort listens with n sockets at one port of all addresses, and has each
// greet its conns with its number.
func reusePort(t *testing.T, ns netns.NsHandle, n int) (lns []*net.TCPListener, fds []int, port uint16) {
	t.Helper()
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		return errors.Join(c.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		}), err)
	}}
	lc.SetMultipathTCP(false)
	inside(t, ns, func() error {
		for range n {
			ln, err := lc.Listen(t.Context(), "tcp", fmt.Sprintf("[::]:%d", port))
			if err != nil {
				return err
			}
			port = ln.Addr().(*net.TCPAddr).AddrPort().Port()
			lns = append(lns, ln.(*net.TCPListener))
		}
		return nil
	})
	for i, ln := range lns {
		t.Cleanup(func() { ln.Close() })
		rc, err := ln.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		if err := rc.Control(func(fd uintptr) { fds = append(fds, int(fd)) }); err != nil {
			t.Fatal(err)
		}
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				_, _ = c.Write([]byte{byte(i)})
				c.Close()
			}
		}()
	}
	return lns, fds, port
}

// askFromEach visits once from every address of the clients' side and says
// who served it.
func askFromEach(t *testing.T, clients netns.NsHandle, port uint16) map[netip.Addr]int {
	t.Helper()
	out := map[netip.Addr]int{}
	visit := func(source, to netip.Addr) error {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: source.AsSlice()}, Timeout: testenv.Bound}
		c, err := d.Dial("tcp", netip.AddrPortFrom(to, port).String())
		if err != nil {
			return err
		}
		defer c.Close()
		var b [1]byte
		_ = c.SetDeadline(time.Now().Add(testenv.Bound))
		_, err = io.ReadFull(c, b[:])
		out[source] = int(b[0])
		return err
	}
	inside(t, clients, func() error {
		for host := 2; host < 2+vethHosts; host++ {
			v4, v6 := fmt.Sprintf("10.77.0.%d", host), fmt.Sprintf("fd77::%x", host)
			if err := errors.Join(
				visit(netip.MustParseAddr(v4), netip.MustParseAddr("10.77.0.1")),
				visit(netip.MustParseAddr(v6), netip.MustParseAddr("fd77::1")),
			); err != nil {
				return err
			}
		}
		return nil
	})
	return out
}

// Sources that come over a cable, of both families at a dual-stack socket.
func TestSteeringOverVeth(t *testing.T) {
	const rings = 4
	server, clients := newVeth(t)
	lns, fds, port := reusePort(t, server, rings)
	s, err := steering.New(&steering.Config{Policy: steering.BySource})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Attach(fds, nil); errors.Is(err, unix.EPERM) {
		t.Skip("no privilege: ", err)
	} else if err != nil {
		t.Fatal(err)
	}
	defer s.Detach()

	ask := func() map[netip.Addr]int { return askFromEach(t, clients, port) }
	moved := func(what string, before, now map[netip.Addr]int, ring int) {
		t.Helper()
		for source, was := range before {
			if (was == ring) != (now[source] != was) {
				t.Errorf("%s: %v went from ring %d to %d", what, source, was, now[source])
			}
		}
	}
	first := ask()
	var v4, v6 [rings]int
	for source, ring := range first {
		if source.Is4() {
			v4[ring]++
		} else {
			v6[ring]++
		}
	}
	for ring := range rings {
		if v4[ring] == 0 || v6[ring] == 0 { // no chance: it is the same hash every time
			t.Errorf("IPv4 sources by ring %v, IPv6 %v", v4, v6)
		}
	}
	moved("asked again", first, ask(), -1)
	if err := s.SetWeight(1, 0); err != nil {
		t.Fatal(err)
	}
	moved("weight 0", first, ask(), 1)
	if err := s.SetWeight(1, steering.DefaultWeight); err != nil {
		t.Fatal(err)
	}
	moved("weight restored", first, ask(), -1)
	s.Hold(3, true)
	moved("held", first, ask(), 3)
	s.Hold(3, false)

	if err := s.SetPolicy(steering.RoundRobin); err != nil {
		t.Fatal(err)
	}
	before := s.Decisions(nil)
	ask()
	for ring, n := range s.Decisions(nil) {
		if n-before[ring] != 2*vethHosts/rings {
			t.Errorf("round robin: ring %d got %d of %d", ring, n-before[ring], 2*vethHosts)
		}
	}

	if err := s.SetPolicy(steering.BySource); err != nil {
		t.Fatal(err)
	}
	lns[2].Close()
	moved("closed", first, ask(), 2)
}
