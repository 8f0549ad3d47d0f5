//go:build linux

package behaviour

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// A tcpRow is what the kernel shows about a socket to everybody, so that nobody
// has to ask for the socket's descriptor.
type tcpRow struct {
	local, remote string
	state         uint8
	queue         int // bytes not read yet, or conns not accepted yet
	inode         string
}

// row finds the socket of network tcp4 with these addresses, in the network of
// the calling thread. A listening socket has no remote one.
func (s *scene) row(local, remote string) (tcpRow, bool) {
	find := rowByProc
	if diagWorks() {
		find = rowByDiag
	}
	r, err := find(local, remote)
	if err == unix.ENOENT {
		return tcpRow{}, false
	}
	s.must(err)
	return r, true
}

const noRemote = "0.0.0.0:0"

// diagWorks reports whether sock_diag(7) can be asked: it may be a module that
// is not there, which looks as if there were no such socket.
var diagWorks = sync.OnceValue(func() bool {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	if unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}) != nil || unix.Listen(fd, 1) != nil {
		return false
	}
	sa, err := unix.Getsockname(fd)
	in, ok := sa.(*unix.SockaddrInet4)
	if err != nil || !ok {
		return false
	}
	_, err = rowByDiag(fmt.Sprint("127.0.0.1:", in.Port), noRemote)
	return err == nil
})

const sockDiagByFamily = 20 // SOCK_DIAG_BY_FAMILY

// rowByDiag asks for one socket, which takes microseconds.
func rowByDiag(local, remote string) (tcpRow, error) {
	l, err := netip.ParseAddrPort(local)
	if err != nil {
		return tcpRow{}, err
	}
	r, err := netip.ParseAddrPort(remote)
	if err != nil {
		return tcpRow{}, err
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return tcpRow{}, err
	}
	defer unix.Close(fd)
	// struct nlmsghdr, struct inet_diag_req_v2.
	var q [72]byte
	binary.NativeEndian.PutUint32(q[0:], uint32(len(q)))
	binary.NativeEndian.PutUint16(q[4:], sockDiagByFamily)
	binary.NativeEndian.PutUint16(q[6:], unix.NLM_F_REQUEST)
	q[16], q[17] = unix.AF_INET, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(q[20:], ^uint32(0)) // in any state
	binary.BigEndian.PutUint16(q[24:], l.Port())
	binary.BigEndian.PutUint16(q[26:], r.Port())
	copy(q[28:], l.Addr().AsSlice())
	copy(q[44:], r.Addr().AsSlice())
	binary.NativeEndian.PutUint64(q[64:], ^uint64(0)) // INET_DIAG_NOCOOKIE
	if err := unix.Sendto(fd, q[:], 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return tcpRow{}, err
	}
	var a [4096]byte
	n, _, err := unix.Recvfrom(fd, a[:], 0)
	switch {
	case err != nil:
		return tcpRow{}, err
	case n >= 20 && binary.NativeEndian.Uint16(a[4:]) == unix.NLMSG_ERROR:
		return tcpRow{}, syscall.Errno(-int32(binary.NativeEndian.Uint32(a[16:])))
	case n < 16+72:
		return tcpRow{}, fmt.Errorf("an answer of %d bytes", n)
	}
	m := a[16:n] // struct inet_diag_msg
	if binary.BigEndian.Uint16(m[6:]) != r.Port() {
		return tcpRow{}, unix.ENOENT // the listener that the conn was accepted from
	}
	return tcpRow{local, remote, m[1], int(binary.NativeEndian.Uint32(m[56:])), fmt.Sprint(binary.NativeEndian.Uint32(m[68:]))}, nil
}

// rowByProc looks through /proc/net/tcp, which takes milliseconds.
func rowByProc(local, remote string) (tcpRow, error) {
	f, err := os.Open("/proc/thread-self/net/tcp")
	if err != nil {
		return tcpRow{}, err
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	for sc.Scan() {
		v := strings.Fields(sc.Text())
		if len(v) < 10 || hexAddr(v[1]) != local || hexAddr(v[2]) != remote {
			continue
		}
		state, err := strconv.ParseUint(v[3], 16, 8)
		if err != nil {
			return tcpRow{}, err
		}
		_, rx, _ := strings.Cut(v[4], ":")
		queue, err := strconv.ParseUint(rx, 16, 32)
		return tcpRow{local, remote, uint8(state), int(queue), v[9]}, err
	}
	if err := sc.Err(); err != nil {
		return tcpRow{}, err
	}
	return tcpRow{}, unix.ENOENT
}

// hexAddr reads an address as /proc/net/tcp has it: a word of the machine, in
// hexadecimal, and the port.
func hexAddr(s string) string {
	host, port, _ := strings.Cut(s, ":")
	h, err := strconv.ParseUint(host, 16, 32)
	p, perr := strconv.ParseUint(port, 16, 16)
	if err != nil || perr != nil {
		return s
	}
	var ip [4]byte
	binary.NativeEndian.PutUint32(ip[:], uint32(h))
	return netip.AddrPortFrom(netip.AddrFrom4(ip), uint16(p)).String()
}
