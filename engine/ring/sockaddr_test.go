//go:build linux

package ring

import (
	"bytes"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSockaddrIP(t *testing.T) {
	v4 := func(tail ...byte) []byte { return append(append([]byte{2, 0}, tail...), make([]byte, 8)...) }
	v6 := func(port [2]byte, addr string, zone ...byte) []byte {
		b := append([]byte{10, 0, port[0], port[1], 0, 0, 0, 0}, netip.MustParseAddr(addr).AsSlice()...)
		return append(b, append(zone, 0, 0, 0, 0)[:4]...)
	}
	port := [2]byte{0x1f, 0x90} // 8080
	tests := []struct {
		addr string
		ipv6 bool
		zone uint32
		want []byte
	}{
		{"10.1.2.3:8080", false, 0, v4(0x1f, 0x90, 10, 1, 2, 3)},
		{"10.1.2.3:8080", false, 9, v4(0x1f, 0x90, 10, 1, 2, 3)},
		{"[::ffff:10.1.2.3]:8080", false, 0, v4(0x1f, 0x90, 10, 1, 2, 3)},
		{"0.0.0.0:1", false, 0, v4(0, 1, 0, 0, 0, 0)},
		{"10.1.2.3:8080", true, 9, v6(port, "::ffff:10.1.2.3")},
		{"[::ffff:10.1.2.3]:8080", true, 0, v6(port, "::ffff:10.1.2.3")},
		{"0.0.0.0:8080", true, 0, v6(port, "::")},
		{"[::]:8080", true, 0, v6(port, "::")},
		{"[2001:db8::1]:8080", true, 0, v6(port, "2001:db8::1")},
		{"[2001:db8::1]:8080", false, 0, v6(port, "2001:db8::1")}, // the socket will say EAFNOSUPPORT
		{"[fe80::1%eth0]:8080", true, 0x0102, v6(port, "fe80::1", 2, 1)},
		{"", false, 0, v4(0, 0, 0, 0, 0, 0)},
		{"", true, 0, v6([2]byte{}, "::")},
	}
	for _, tt := range tests {
		var ap netip.AddrPort
		if tt.addr != "" {
			ap = netip.MustParseAddrPort(tt.addr)
		}
		sa := Sockaddr{n: 100}
		for i := range sa.raw {
			sa.raw[i] = 0xff
		}
		sa.SetIP(ap, tt.ipv6, tt.zone)
		if !bytes.Equal(sa.Bytes(), tt.want) {
			t.Errorf("%q, IPv6 socket %v:\ngot  % x\nwant % x", tt.addr, tt.ipv6, sa.Bytes(), tt.want)
		}
	}
}

func TestSockaddrUnix(t *testing.T) {
	long := strings.Repeat("x", 107)
	tests := []struct {
		path, want string
		ok         bool
	}{
		{"", "\x01\x00", true},
		{"/tmp/s", "\x01\x00/tmp/s\x00", true},
		{"@name", "\x01\x00\x00name", true},
		{"\x00name", "\x01\x00\x00name", true},
		{"@", "\x01\x00\x00", true},
		{long, "\x01\x00" + long + "\x00", true},
		{long + "x", "", false},
		{"@" + long, "\x01\x00\x00" + long, true},
		{"@" + long + "x", "", false},
	}
	for _, tt := range tests {
		var sa Sockaddr
		err := sa.SetUnix(tt.path)
		if ok := err == nil; ok != tt.ok || !ok && err != syscall.EINVAL || string(sa.Bytes()) != tt.want {
			t.Errorf("%q: %q, %v; want %q", tt.path, sa.Bytes(), err, tt.want)
		}
	}
}

// What package syscall binds, a Sockaddr connects to.
func TestSockaddrUnixMeetsSyscall(t *testing.T) {
	for _, path := range []string{t.TempDir() + "/s", "@quoit-ring-test", "\x00quoit-ring-test2"} {
		ln, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(ln)
		if err := syscall.Bind(ln, &syscall.SockaddrUnix{Name: path}); err != nil {
			t.Fatal(err)
		}
		if err := unix.Listen(ln, 1); err != nil {
			t.Fatal(err)
		}
		r := newRing(t, Params{Entries: 4})
		var sa Sockaddr
		if err := sa.SetUnix(path); err != nil {
			t.Fatal(err)
		}
		fd := socket(t, unix.AF_UNIX)
		r.NextSQE().PrepConnect(fd, kept(t, &sa), 1)
		if c := reap(t, r, 1)[0]; c.Res != 0 {
			t.Errorf("connect to %q: %v", path, c.Err())
		}
	}
}

func TestSockaddrAddrPort(t *testing.T) {
	for _, text := range []string{"1.2.3.4:5", "[2001:db8::1]:443"} {
		for _, v6 := range []bool{false, true} {
			var sa Sockaddr
			ap := netip.MustParseAddrPort(text)
			sa.SetIP(ap, v6, 0)
			if got, ok := sa.AddrPort(); !ok || got != ap {
				t.Errorf("%s on an IPv6 socket %v: %v, %v", text, v6, got, ok)
			}
			sa.n--
			if got, ok := sa.AddrPort(); ok {
				t.Errorf("a short address: %v", got)
			}
		}
	}
	var sa Sockaddr
	if err := sa.SetUnix("/tmp/x"); err != nil {
		t.Fatal(err)
	}
	if got, ok := sa.AddrPort(); ok {
		t.Errorf("a unix address: %v", got)
	}
}
