//go:build linux

package engine

import (
	"net"
	"strconv"
	"syscall"
)

// netAddr turns a socket address into package net's form. Without one, the
// result is the unspecified address, never nil.
func netAddr(sa syscall.Sockaddr, tcp bool) net.Addr {
	switch sa := sa.(type) {
	case *syscall.SockaddrInet4:
		return &net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}
	case *syscall.SockaddrInet6:
		return &net.TCPAddr{IP: sa.Addr[:], Port: sa.Port, Zone: zoneName(sa.ZoneId)}
	case *syscall.SockaddrUnix:
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
	var sa syscall.Sockaddr
	_ = c.Control(func(fd uintptr) { sa, _ = syscall.Getsockname(int(fd)) })
	return netAddr(sa, c.tcp)
}
