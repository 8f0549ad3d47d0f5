//go:build linux

package engine

import (
	"net"
	"strconv"

	"golang.org/x/sys/unix"
)

// netAddr turns a socket address into package net's form. Without one, the
// result is the unspecified address, never nil.
func netAddr(sa unix.Sockaddr, tcp bool) net.Addr {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return &net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}
	case *unix.SockaddrInet6:
		return &net.TCPAddr{IP: sa.Addr[:], Port: sa.Port, Zone: zoneName(sa.ZoneId)}
	case *unix.SockaddrUnix:
		return &net.UnixAddr{Name: sa.Name, Net: "unix"}
	}
	if tcp {
		return &net.TCPAddr{IP: net.IPv6unspecified}
	}
	return &net.UnixAddr{Net: "unix"}
}

func zoneName(id uint32) string {
	if id == 0 {
		return ""
	}
	if ifi, err := net.InterfaceByIndex(int(id)); err == nil {
		return ifi.Name
	}
	return strconv.FormatUint(uint64(id), 10)
}

// LocalAddr asks the kernel for the conn's own address. It may be called
// until Close.
func (c *Conn) LocalAddr() net.Addr {
	var sa unix.Sockaddr
	_ = c.Control(func(fd uintptr) { sa, _ = unix.Getsockname(int(fd)) })
	return netAddr(sa, c.tcp)
}
