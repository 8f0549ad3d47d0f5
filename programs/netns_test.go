//go:build linux

package programs

import (
	"errors"
	"net"
	"testing"

	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// inside calls fn in a thread of the network namespace ns. Processes that it
// starts are there, too.
func inside(ns netns.NsHandle, fn func() error) error {
	return testenv.OnThread(func() error {
		if err := netns.Set(ns); err != nil {
			return err
		}
		return fn()
	})
}

// cable is two hosts with a cable between them.
type cable struct {
	server, client netns.NsHandle
	address        string // the server's
}

// newCable makes hosts for a test. It reports whether that is allowed.
func newCable(t *testing.T) (*cable, bool) {
	t.Helper()
	w := &cable{address: "10.77.0.1"}
	for _, ns := range []*netns.NsHandle{&w.server, &w.client} {
		err := testenv.OnThread(func() (err error) {
			*ns, err = netns.New()
			return err
		})
		if errors.Is(err, unix.EPERM) {
			return nil, false
		} else if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ns.Close() })
	}
	for _, err := range []error{
		inside(w.client, func() error {
			attrs := netlink.NewLinkAttrs()
			attrs.Name = "client"
			return netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "server", PeerNamespace: netlink.NsFd(w.server)})
		}),
		inside(w.server, func() error { return up("server", w.address) }),
		inside(w.client, func() error { return up("client", "10.77.0.2") }),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return w, true
}

func up(name, address string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	addr, err := netlink.ParseAddr(address + "/24")
	if err != nil {
		return err
	}
	if err := netlink.AddrAdd(link, addr); err != nil {
		return err
	}
	return netlink.LinkSetUp(link)
}

// dial connects from the client's host when the server listens.
func (w *cable) dial(r *running, addr string) (c net.Conn) {
	r.Helper()
	for range 100 {
		err := inside(w.client, func() (err error) {
			c, err = net.DialTimeout("tcp", addr, dialBound)
			return err
		})
		if err == nil {
			return c
		}
		pause()
	}
	r.Fatalf("nobody listens at %s", addr)
	return nil
}

// cut takes the client off the cable.
func (w *cable) cut() error {
	return inside(w.client, func() error {
		link, err := netlink.LinkByName("client")
		if err != nil {
			return err
		}
		return netlink.LinkSetDown(link)
	})
}
