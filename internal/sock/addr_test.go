//go:build linux

package sock

import (
	"net"
	"reflect"
	"syscall"
	"testing"
)

func TestNetAddr(t *testing.T) {
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	v6 := [16]byte{0xfe, 0x80, 15: 1}
	for _, tt := range []struct {
		name string
		sa   syscall.Sockaddr
		tcp  bool
		want net.Addr
	}{
		{"IPv4", &syscall.SockaddrInet4{Port: 80, Addr: [4]byte{127, 0, 0, 1}}, true, &net.TCPAddr{IP: net.IP{127, 0, 0, 1}, Port: 80}},
		{"IPv6", &syscall.SockaddrInet6{Port: 80, Addr: v6}, true, &net.TCPAddr{IP: v6[:], Port: 80}},
		{"zone", &syscall.SockaddrInet6{ZoneId: uint32(lo.Index), Addr: v6}, true, &net.TCPAddr{IP: v6[:], Zone: "lo"}},
		{"zone without a name", &syscall.SockaddrInet6{ZoneId: 1<<31 - 1, Addr: v6}, true, &net.TCPAddr{IP: v6[:], Zone: "2147483647"}},
		{"unix", &syscall.SockaddrUnix{Name: "@x"}, false, &net.UnixAddr{Name: "@x", Net: "unix"}},
		{"none, TCP", nil, true, &net.TCPAddr{IP: net.IPv6unspecified}},
		{"none, unix", nil, false, &net.UnixAddr{Net: "unix"}},
	} {
		if got := NetAddr(tt.sa, tt.tcp); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %#v, want %#v", tt.name, got, tt.want)
		}
	}
}
