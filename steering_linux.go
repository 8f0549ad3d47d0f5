//go:build linux

package quoit

import (
	"context"
	"errors"
	"net"
	"syscall"

	"github.com/quoit-go/quoit/internal/sock"
)

// errNotTCP is why a unix socket has no Steering.
var errNotTCP = &UnsupportedError{Feature: "steering of unix sockets"}

// listenSteered opens one socket a ring, and has lc.Steering choose among them.
func (t *transport) listenSteered(ctx context.Context, network, address string, lc *ListenConfig) (net.Listener, error) {
	if network == "unix" {
		return nil, &net.OpError{Op: "listen", Net: network, Err: errNotTCP}
	}
	var group group
	kept := false
	defer func() { // after a panic of Control's or Attach's, too
		if !kept {
			group.close()
		}
	}()
	each, err := t.openGroup(ctx, network, address, lc, &group)
	if err != nil {
		return nil, err
	}
	l := newListener(network, group[0], lc, each)
	s := &steered{Steering: lc.Steering, t: t, addr: l.addr, log: engineOr(lc.Engine).cfg.loud()}
	fds, err := group.descriptors()
	if err == nil {
		err = s.Attach(fds, t.cpus())
	}
	if err != nil {
		return nil, l.opError("listen", err)
	}
	kept = true
	shut := func() error {
		err := group.close()
		t.unsteer(s)
		return err
	}
	t.steer(s)
	if l.el, err = t.forListener().NewGroup(fds, s, shut); err != nil {
		shut()
		return nil, l.opError("listen", err)
	}
	l.begin()
	return l, nil
}

// group is the sockets of one address.
type group []netListener

// openGroup adds a socket for each ring to g, whose sockets the caller closes if that
// fails. each is newListener's.
func (t *transport) openGroup(ctx context.Context, network, address string, lc *ListenConfig, g *group) (each bool, err error) {
	nlc := lc.netConfig()
	nlc.SetMultipathTCP(false) // an eBPF socket array takes plain TCP only
	options, failed := t.control(lc)
	nlc.Control = func(network, address string, rc syscall.RawConn) error {
		if err := options(network, address, rc); err != nil {
			return err
		}
		var err error
		cerr := rc.Control(func(fd uintptr) { err = sock.ReusePort(int(fd)) })
		return errors.Join(cerr, err)
	}
	for range t.rings {
		ln, err := nlc.Listen(ctx, network, address)
		if err != nil {
			return false, err
		}
		*g = append(*g, ln.(netListener))
		address = ln.Addr().String() // for :0 a port has been chosen
		each = each || *failed
	}
	return each, nil
}

func (g group) descriptors() ([]int, error) {
	fds := make([]int, len(g))
	for i, ln := range g {
		var err error
		if fds[i], err = descriptor(ln); err != nil {
			return nil, err
		}
	}
	return fds, nil
}

func (g group) close() (err error) {
	for _, ln := range g {
		if cerr := ln.Close(); err == nil {
			err = cerr
		}
	}
	return err
}

// Attach implements [Steering].
func (s plainSteering) Attach(sockets, cpus []int) error {
	switch s {
	case byCPU:
		return sock.SteerByCPU(sockets[0], len(sockets))
	case atRandom:
		return sock.SteerAtRandom(sockets[0], len(sockets))
	case byIncomingCPU:
		for ring, fd := range sockets {
			cpu := cpus[ring]
			if cpu < 0 {
				cpu = ring
			}
			if err := sock.IncomingCPU(fd, cpu); err != nil {
				return err
			}
		}
	}
	return nil
}
