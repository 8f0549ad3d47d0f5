//go:build linux

package sock

import (
	"net"
	"strconv"
	"syscall"
)

// NetAddr turns the address of a TCP or unix socket into package net's form.
// Without one, the result is the unspecified address, never nil. A TCP
// address shares its IP's memory with sa.
func NetAddr(sa syscall.Sockaddr, tcp bool) net.Addr {
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
