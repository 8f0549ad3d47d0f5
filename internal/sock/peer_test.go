//go:build linux

package sock

import (
	"net"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/internal/testenv"
)

// The peer's address outlives a reset.
func TestPeer(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			t.Log(err) // no IPv6 here
			continue
		}
		defer ln.Close()
		client, s := testenv.Connect(t, ln)
		c, fd := client.(*net.TCPConn), descriptor(t, s.(*net.TCPConn))
		want := c.LocalAddr().(*net.TCPAddr)
		check := func(when string) {
			t.Helper()
			sa, err := Peer(fd)
			var got net.TCPAddr
			switch sa := sa.(type) {
			case *syscall.SockaddrInet4:
				got = net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}
			case *syscall.SockaddrInet6:
				got = net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}
			}
			if err != nil || !got.IP.Equal(want.IP) || got.Port != want.Port {
				t.Errorf("%s: %v, %v, want %v", when, &got, err, want)
			}
		}
		check("connected")
		if err := c.SetLinger(0); err != nil {
			t.Fatal(err)
		}
		c.Close()
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
			if _, err := unix.Getpeername(fd); err == unix.ENOTCONN {
				break
			} else if time.Now().After(end) {
				t.Fatal("not reset")
			}
		}
		check("reset")
	}
}

func TestPeerOfNone(t *testing.T) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if sa, err := Peer(fd); sa != nil || err != unix.ENOTCONN {
		t.Errorf("%v, %v", sa, err)
	}
}
