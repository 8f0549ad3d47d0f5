//go:build linux

package ring

import (
	"encoding/binary"
	"net/netip"
	"structs"
	"syscall"

	"golang.org/x/sys/unix"
)

// Sockaddr is a socket address in the kernel's form. The zero Sockaddr is
// empty; SetIP and SetUnix replace what was there. It must not change while
// a request uses it.
type Sockaddr struct {
	_ structs.HostLayout

	raw [unix.SizeofSockaddrUnix]byte // the largest
	n   uint32
}

// Bytes returns the address in the kernel's form. It aliases sa.
func (sa *Sockaddr) Bytes() []byte { return sa.raw[:min(int(sa.n), len(sa.raw))] }

// AddrPort returns an IP address and port, v4-mapped ones as IPv4 and without
// a zone; false if sa is something else.
func (sa *Sockaddr) AddrPort() (netip.AddrPort, bool) {
	port := binary.BigEndian.Uint16(sa.raw[2:])
	switch family := binary.NativeEndian.Uint16(sa.raw[:]); {
	case family == unix.AF_INET && sa.n >= unix.SizeofSockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(sa.raw[4:8])), port), true
	case family == unix.AF_INET6 && sa.n >= unix.SizeofSockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(sa.raw[8:24])).Unmap(), port), true
	}
	return netip.AddrPort{}, false
}

// SetIP makes sa an IP address and port. On an IPv6 socket an IPv4 address
// becomes a v4-mapped one, but 0.0.0.0 becomes :: as in package net; an
// invalid address is the unspecified one. zoneID is the interface index that
// stands for ap's zone, 0 if it has none; IPv4 ignores it.
func (sa *Sockaddr) SetIP(ap netip.AddrPort, ipv6Socket bool, zoneID uint32) {
	addr := ap.Addr().Unmap()
	*sa = Sockaddr{}
	binary.BigEndian.PutUint16(sa.raw[2:], ap.Port())
	if !ipv6Socket && !addr.Is6() {
		binary.NativeEndian.PutUint16(sa.raw[:], unix.AF_INET)
		if addr.IsValid() {
			a := addr.As4()
			copy(sa.raw[4:], a[:])
		}
		sa.n = unix.SizeofSockaddrInet4
		return
	}
	binary.NativeEndian.PutUint16(sa.raw[:], unix.AF_INET6)
	if addr.IsValid() && !addr.IsUnspecified() {
		a := addr.As16() // v4-mapped if IPv4
		copy(sa.raw[8:], a[:])
	}
	if addr.Is6() {
		binary.NativeEndian.PutUint32(sa.raw[24:], zoneID)
	}
	sa.n = unix.SizeofSockaddrInet6
}

// SetUnix makes sa the path of a unix socket. A leading '@' or NUL makes it
// an abstract name; "" is the unnamed address, with which bind chooses a
// name. A path too long for the kernel is EINVAL and leaves sa as it was.
func (sa *Sockaddr) SetUnix(path string) error {
	const family, limit = 2, unix.SizeofSockaddrUnix - 2
	abstract := path != "" && (path[0] == '@' || path[0] == 0)
	if len(path) > limit || len(path) == limit && !abstract {
		return syscall.EINVAL
	}
	*sa = Sockaddr{}
	binary.NativeEndian.PutUint16(sa.raw[:], unix.AF_UNIX)
	sa.n = uint32(family + copy(sa.raw[family:], path))
	switch {
	case abstract:
		sa.raw[family] = 0 // and no NUL at the end
	case path != "":
		sa.n++ // the NUL at the end
	}
	return nil
}
